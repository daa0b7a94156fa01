package postgres

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/retrieval"
)

// Versions with so many passages that their heads are read in several steps.
func TestWhatIsRetiredBetweenTwoStepsOfAStreamComesWhole(t *testing.T) {
	db := open(t, database(t), Options{})
	prepare(t, db)
	const each, n = liveParts*2/5 - 1, 3
	var in retrieval.Intake
	for range n {
		d := newDocument().Docs[0]
		d.Passages = each
		in.Docs = append(in.Docs, d)
		for i := range uint32(each) {
			in.Heads = append(in.Heads, retrieval.PartRow{Ref: retrieval.PassageRef{Doc: d.Num, N: each - 1 - i}, Sealed: []byte{1}})
		}
	}
	if err := commit(db, in); err != nil {
		t.Fatal(err)
	}
	calls := 0
	err := db.Live(t.Context(), "t", func(d retrieval.DocRow, heads []retrieval.PartRow) error {
		if calls++; calls == 1 {
			var all retrieval.Intake
			for _, d := range in.Docs {
				all.Retire = append(all.Retire, d.Num)
			}
			if err := commit(db, all); err != nil {
				t.Error(err)
			}
		}
		if len(heads) != int(d.Passages) {
			t.Errorf("version %d has %d heads, want %d", calls, len(heads), d.Passages)
		}
		for i, h := range heads {
			if h.Ref != (retrieval.PassageRef{Doc: d.Num, N: uint32(i)}) {
				t.Fatalf("head %d is %v", i, h.Ref)
			}
		}
		return nil
	})
	if err != nil || calls != 1+n {
		t.Errorf("%d versions, error %v", calls, err)
	}
}

// Streams hold a connection each; some are left for what their callbacks ask.
func TestCallbacksOfStreamsMayAsk(t *testing.T) {
	db := open(t, database(t), Options{Readers: 2})
	prepare(t, db)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			err := db.Rows(ctx, "t", 0, func(consent.Row) error {
				time.Sleep(5 * time.Millisecond) // the others come meanwhile
				_, err := db.Head(ctx, "t")
				return err
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}
