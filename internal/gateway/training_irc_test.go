package gateway_test

import (
	"errors"
	"math/rand/v2"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/eval"
	"github.com/assent-gateway/assent/internal/gateway"
	"github.com/assent-gateway/assent/retrieval"
	"github.com/assent-gateway/assent/training"
)

// A thousand people withdraw: check says stale and names exactly their rows,
// and so does the diff with what is built then; one is erased: revoked. On the
// dev part of the chat; with ASSENT_IRC_TRAIN=1 on the train part, which takes
// minutes.
func TestThousandWithdrawAndOneIsErased(t *testing.T) {
	name, leave := "irc/dev_docs.jsonl", 300
	if os.Getenv("ASSENT_IRC_TRAIN") != "" {
		name, leave = "irc/train_docs.jsonl.gz", 1000
	}
	docs, err := eval.LoadDocs(sharedData(t, name))
	if err != nil {
		t.Fatal(err)
	}
	g := openGateway(t, gateway.Config{})
	who := owners(docs)
	say(t, g, consent.Granted, who, rag, emb, trn)
	makeCollection(t, g, "irc", retrieval.Spec{})
	ingest(t, g, "irc", docs)
	rand.New(rand.NewPCG(9, 9)).Shuffle(len(who), func(i, j int) { who[i], who[j] = who[j], who[i] })
	optedOut := len(who) * 3 / 10
	say(t, g, consent.Revoked, who[:optedOut], trn)
	s := spec("irc")
	s.Linkable, s.Formats = true, []string{"jsonl"}
	began := time.Now()
	m := manifest(t, g, s)
	t.Logf("%d rows of %d documents and %d people, %d of whom opted out, in %s", m.Rows, len(docs), len(who), optedOut, time.Since(began).Round(time.Millisecond))
	rows := rowsOf(t, g, m)
	ownersOf := map[string][]string{}
	for _, d := range docs {
		ownersOf[d.ID] = d.Owners
	}
	leaving := map[string]bool{}
	for _, p := range who[optedOut : optedOut+leave] {
		leaving[p] = true
	}
	var theirs []string
	for _, r := range rows {
		if slices.ContainsFunc(ownersOf[r.ID], func(p string) bool { return leaving[p] }) {
			theirs = append(theirs, r.Row)
		}
	}
	slices.Sort(theirs)
	say(t, g, consent.Revoked, who[optedOut:optedOut+leave], trn)
	began = time.Now()
	c, err := g.Training.Check(t.Context(), trainer, m.ID)
	took := time.Since(began)
	if err != nil || c.Status != training.Stale {
		t.Fatal(c.Status, err)
	}
	var dropped, removed []string
	for _, token := range c.Drop {
		dropped = append(dropped, token.String())
	}
	slices.Sort(dropped)
	if !slices.Equal(dropped, theirs) || len(theirs) < leave {
		t.Fatalf("%d rows to drop, theirs are %d", len(dropped), len(theirs))
	}
	next := manifest(t, g, s)
	if err := g.Training.Diff(t.Context(), trainer, m.ID, next.ID, func(ch training.Change) error {
		if ch.Op == "removed" {
			removed = append(removed, ch.Row.String())
		} else {
			t.Error("a row was added")
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	slices.Sort(removed)
	if !slices.Equal(removed, theirs) || next.Rows != m.Rows-uint64(len(theirs)) {
		t.Fatalf("%d removed, theirs are %d", len(removed), len(theirs))
	}
	t.Logf("%d people withdrew: check names their %d rows, and no other, in %s; the diff agrees", leave, len(theirs), took.Round(time.Millisecond))

	// One of those who stayed is erased.
	erased := who[len(who)-1]
	n := 0
	for _, r := range rows {
		if slices.Contains(ownersOf[r.ID], erased) {
			n++
		}
	}
	if err := g.Suppress(t.Context(), subject(t, erased)); err != nil {
		t.Fatal(err)
	}
	if c, err = g.Training.Check(t.Context(), trainer, next.ID); err != nil || c.Status != training.Revoked || len(c.Drop) != n || c.Reasons["erased"] != uint64(n) {
		t.Errorf("after an erasure: %s, %d to drop, %v", c.Status, len(c.Drop), err)
	}
	if _, _, err := g.Training.OpenFile(t.Context(), trainer, next.ID, "manifest.json"); !errors.Is(err, training.ErrErased) {
		t.Errorf("files that hold an erased person: %v", err)
	}
	if again := manifest(t, g, s); again.Rows != next.Rows-uint64(n) {
		t.Errorf("rebuilt: %d rows", again.Rows)
	}
}
