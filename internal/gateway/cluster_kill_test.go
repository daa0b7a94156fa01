package gateway_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/internal/gateway"
	"github.com/assent-gateway/assent/retrieval"
)

// child starts one more gateway in a process of its own.
func (c *cluster) child(t *testing.T, crash string) *child {
	t.Helper()
	cfg := c.config(gateway.Config{})
	return startChild(t, cfg.VaultDir, crash, "ASSENT_TEST_POSTGRES="+cfg.PostgresURL, "ASSENT_TEST_VAULT="+cfg.VaultURL)
}

// A gateway dies between any two durable steps of a write. The others go on
// without an error; what it acknowledged is there, what it did not is whole or
// absent, and the next write at another gateway finds the journal whole.
func TestAGatewayKilledBetweenStepsLeavesTheOthersServing(t *testing.T) {
	c := newCluster(t, server(t))
	stays := c.open(gateway.Config{})
	say(t, stays, consent.Granted, []string{"owner"}, rag, emb)
	makeCollection(t, stays, "kill", retrieval.Spec{})
	s := newSaid()
	ct, err := consent.ParseType(rag)
	if err != nil {
		t.Fatal(err)
	}
	round := 0
	for _, step := range []string{
		"slots.write", "slots.synced", "tx.begin", "tx.commit", "tx.committed", "journal.write", "journal.synced", "applied",
	} {
		for _, n := range []int{3, 8} {
			round++
			dies := c.child(t, fmt.Sprintf("%s:%d", step, n))
			ctx, stop := context.WithCancel(t.Context())
			var wg sync.WaitGroup
			wg.Go(func() {
				for i := 0; ctx.Err() == nil; i++ {
					e := consent.Entry{Subject: subject(t, fmt.Sprintf("stays%d-%d", round, i)), Type: ct, Status: consent.Revoked}
					out, err := stays.Ledger.Record(t.Context(), gateway.DefaultTenant, []consent.Entry{e}, consent.Once{})
					if err == nil {
						err = out[0].Err
					}
					if err != nil {
						t.Errorf("%s %d: a write at the other gateway: %v", step, n, err)
						return
					}
				}
			})
			if dies.url != "" {
				done := make(chan struct{})
				go func() {
					s.drive(dies, round)
					close(done)
				}()
				select {
				case <-dies.dead:
				case <-time.After(60 * time.Second):
					t.Fatal("the step was never reached")
				}
				<-done
			}
			stop()
			wg.Wait()
			say(t, stays, consent.Revoked, []string{fmt.Sprintf("after%d", round)}, rag)
			c.wantWholeJournal(t, stays)
			s.checkGateway(t, stays)
			if t.Failed() {
				t.Fatalf("after a crash at %s %d", step, n)
			}
		}
	}
	t.Logf("%d crashes; %d people and %d documents acknowledged", round, len(s.status), len(s.texts))
}
