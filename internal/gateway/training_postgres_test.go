package gateway_test

import (
	"io"
	"strings"
	"testing"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/internal/gateway"
	"github.com/assent-gateway/assent/internal/postgres"
	"github.com/assent-gateway/assent/internal/testpg"
	"github.com/assent-gateway/assent/retrieval"
	"github.com/assent-gateway/assent/training"
)

// The same ledger and corpus in Postgres, with the same secrets, on another
// number of workers: the same bytes.
func TestPostgresMakesTheSameManifest(t *testing.T) {
	server := testpg.Start(t)
	g := openGateway(t, gateway.Config{Training: gateway.TrainingConfig{Workers: 1, ShardRows: 11}})
	makeCollection(t, g, "a", retrieval.Spec{})
	say(t, g, consent.Granted, people30(), rag, emb, trn)
	ingest(t, g, "a", invented(people30()...))
	say(t, g, consent.Revoked, people30()[:11], trn)
	s := spec("a")
	s.IncludeText = true
	s.Splits = []training.Split{{Name: "test", Share: 400_000}, {Name: "train", Share: 600_000}}
	m := manifest(t, g, s)
	want := map[string]string{}
	for _, f := range m.Files {
		if strings.HasPrefix(f.Name, "data/") || f.Name == "manifest.json" {
			want[f.Name] = string(file(t, g, m.ID, f.Name))
		}
	}
	db, err := postgres.Open(t.Context(), server.Database(t), postgres.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := g.CopyTo(t.Context(), db); err != nil {
		t.Fatal(err)
	}
	other, err := g.TrainingOver(t.Context(), db, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	s.AtPosition, s.AtCorpus, s.AtCorpusHead = m.LedgerPos, m.CorpusPos, false
	g.Training = other
	again := manifest(t, g, s)
	if again.Digest != m.Digest || again.Withheld != 0 || m.Rows != 38 {
		t.Errorf("%d rows, %d withheld, of %d", again.Rows, again.Withheld, m.Rows)
	}
	same := 0
	for _, f := range again.Files {
		if _, ok := want[f.Name]; !ok {
			continue
		}
		r, _, err := other.OpenFile(t.Context(), trainer, again.ID, f.Name)
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(r)
		r.Close()
		if err != nil || string(b) != want[f.Name] {
			t.Errorf("%s differs, %v", f.Name, err)
		}
		same++
	}
	if same != len(want) || same < 9 {
		t.Errorf("%d files of %d", same, len(want))
	}
	// From here Postgres is the ledger: who withdraws there is withheld there.
	ct, _ := consent.ParseType(trn)
	if _, err := other.Ledger.Record(t.Context(), gateway.DefaultTenant, []consent.Entry{{Subject: subject(t, people30()[20]), Type: ct, Status: consent.Revoked}}, consent.Once{}); err != nil {
		t.Fatal(err)
	}
	if c, err := other.Check(t.Context(), trainer, again.ID); err != nil || c.Status != training.Stale || len(c.Drop) != 2 {
		t.Errorf("%+v %v", c, err)
	}
	uses, err := other.Uses(t.Context(), trainer, subject(t, people30()[20]))
	if err != nil || len(uses) != 1 || uses[0].Permitted {
		t.Errorf("%+v %v", uses, err)
	}
}
