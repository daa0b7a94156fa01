package storetest

import (
	"context"
	"errors"
	"path/filepath"
	"testing"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/internal/credential"
	"github.com/assent-gateway/assent/internal/vault"
)

// replayCases drive the ledger itself over the store and a vault: what a store
// was given back from a backup must take, at the positions it had.
var replayCases = []testCase{{
	name:     "a ledger put back from a backup is replayed at the original positions",
	contract: "consent/replay.go: Replay appends to a ledger that is behind its journal what it lacks, at the original positions",
	run: func(t *testing.T, f *fixture) {
		v, err := vault.Create(filepath.Join(t.TempDir(), "vault"), vault.Options{})
		must(t, err)
		t.Cleanup(func() { _ = v.Close() })
		must(t, v.AddTenant(string(tenantA)))
		newest := consent.NewLedger(f.Store, v.Consent(), consent.Options{})
		must(t, newest.Open(f.ctx, tenantA))
		_, err = newest.EnterPolicy(f.ctx, tenantA, nil)
		must(t, err)
		say(f.ctx, t, newest, "old", consent.Granted)
		say(f.ctx, t, newest, "both", consent.Granted)

		old := f.again() // as of now
		must(t, old.AddTenant(f.ctx, credential.TenantRow{ID: tenantA, CreatedAt: 1}, nil, nil))
		var backup consent.Batch
		must(t, f.Subjects(f.ctx, tenantA, func(s consent.SubjectRow) error {
			backup.Subjects = append(backup.Subjects, s)
			return nil
		}))
		must(t, f.Rows(f.ctx, tenantA, 0, func(r consent.Row) error {
			backup.Rows = append(backup.Rows, r)
			return nil
		}))
		must(t, old.Append(f.ctx, tenantA, func(consent.Head) (consent.Batch, error) { return backup, nil }))

		say(f.ctx, t, newest, "both", consent.Revoked)
		say(f.ctx, t, newest, "new", consent.Denied)
		say(f.ctx, t, newest, "grantee", consent.Granted)
		say(f.ctx, t, newest, "old", consent.Restricted)
		_, err = newest.Enter(f.ctx, tenantA, consent.Note{Kind: consent.KindKey, Body: "k"})
		must(t, err)

		restored := consent.NewLedger(old, v.Consent(), consent.Options{})
		if err := restored.Open(f.ctx, tenantA); consent.Why(err) != consent.Why(consent.ErrBehindJournal) {
			t.Fatalf("an old ledger opens: %v", err)
		}
		gap, err := restored.Gap(f.ctx, tenantA)
		must(t, err)
		same(t, "gap", gap, consent.Gap{From: 4, To: 8, Lost: 1})
		must(t, restored.Replay(f.ctx, tenantA))
		must(t, restored.Replay(f.ctx, tenantA)) // nothing to do
		must(t, restored.Open(f.ctx, tenantA))

		want := f.rows(t, tenantA, 0)
		var got []consent.Row
		must(t, old.Rows(f.ctx, tenantA, 0, func(r consent.Row) error {
			got = append(got, r)
			return nil
		}))
		for i := range got {
			if got[i].Kind == consent.KindLost {
				same(t, "the leaf of a lost entry", got[i].Leaf, want[i].Leaf)
				same(t, "its person", got[i].Subject, want[i].Subject)
				want[i], got[i] = consent.Row{}, consent.Row{}
			}
		}
		same(t, "rows", got, want)
		answers := func(l *consent.Ledger) (reasons []consent.Reason) {
			a, err := l.Decide(f.ctx, tenantA, []consent.Subject{person(t, "old"), person(t, "both"), person(t, "new"), person(t, "grantee")},
				consent.Question{Purpose: "rag_retrieval"})
			must(t, err)
			for _, d := range a.Decisions {
				reasons = append(reasons, d.Reason)
			}
			return reasons
		}
		same(t, "decisions", answers(restored), []consent.Reason{
			consent.ReasonRestricted, consent.ReasonRevoked, consent.ReasonDenied, consent.ReasonNoRecord,
		})
		say(f.ctx, t, restored, "grantee", consent.Granted) // is asked again
		same(t, "asked again", answers(restored)[3], consent.ReasonGranted)
	},
}, {
	name:     "a ledger that is not the journal's is not replayed",
	contract: "consent/replay.go: what is there must be what the journal names (ErrDiverged, ErrTampered)",
	run: func(t *testing.T, f *fixture) {
		v, err := vault.Create(filepath.Join(t.TempDir(), "vault"), vault.Options{})
		must(t, err)
		t.Cleanup(func() { _ = v.Close() })
		must(t, v.AddTenant(string(tenantA)))
		l := consent.NewLedger(f.Store, v.Consent(), consent.Options{})
		must(t, l.Open(f.ctx, tenantA))
		_, err = l.EnterPolicy(f.ctx, tenantA, nil)
		must(t, err)
		say(f.ctx, t, l, "a", consent.Granted)
		other := f.again()
		must(t, other.AddTenant(f.ctx, credential.TenantRow{ID: tenantA, CreatedAt: 1}, nil, nil))
		must(t, other.Append(f.ctx, tenantA, func(consent.Head) (consent.Batch, error) {
			return consent.Batch{Rows: []consent.Row{entry(1, 0)}}, nil
		}))
		err = consent.NewLedger(other, v.Consent(), consent.Options{}).Replay(f.ctx, tenantA)
		if !errors.Is(err, consent.ErrTampered) && !errors.Is(err, consent.ErrDiverged) {
			t.Errorf("replayed onto another ledger: %v", err)
		}
		head, err := other.Head(f.ctx, tenantA)
		must(t, err)
		same(t, "head", head.Position, consent.Position(1))
	},
}}

func person(t *testing.T, name string) consent.Subject {
	t.Helper()
	s, err := consent.ParseSubject(name)
	must(t, err)
	return s
}

func say(ctx context.Context, t *testing.T, l *consent.Ledger, who string, status consent.Status) {
	t.Helper()
	typ, err := consent.ParseType("rag_retrieval_v1.0")
	must(t, err)
	out, err := l.Record(ctx, tenantA, []consent.Entry{{Subject: person(t, who), Type: typ, Status: status}}, consent.Once{})
	must(t, err)
	must(t, out[0].Err)
}
