package storetest

import (
	"errors"
	"sync"
	"testing"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/internal/seal"
	"github.com/assent-gateway/assent/internal/translog"
	"github.com/assent-gateway/assent/retrieval"
)

// A VaultUnderTest is a vault's ports, with keys for the tenants of every
// fixture.
type VaultUnderTest struct {
	Ledger  consent.Vault
	Records retrieval.Records
	Log     translog.Vault
}

// A VaultAdapter is a vault under test. Open returns one that is fresh, has
// keys for the two tenants it is given and is closed by t.Cleanup.
type VaultAdapter struct {
	Open func(t *testing.T, tenants ...consent.TenantID) VaultUnderTest
}

// Vault checks consent.Vault, retrieval.Records and translog.Vault.
func Vault(t *testing.T, a VaultAdapter) {
	for _, c := range vaultCases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			t.Cleanup(func() {
				if t.Failed() {
					t.Logf("the contract: %s", c.contract)
				}
			})
			c.run(t, a.Open(t, tenantA, tenantB))
		})
	}
}

// entries are records of a journal from a position on.
func journalEntries(from consent.Position, n int) []consent.JournalRecord {
	recs := make([]consent.JournalRecord, n)
	for i := range recs {
		p := from + consent.Position(i)
		recs[i] = consent.JournalRecord{Position: p, Leaf: mac("leaf", int(p)), Kind: consent.KindConsent}
		if p%2 == 0 {
			recs[i].Payload = box("payload", int(p))
		}
	}
	return recs
}

func wantJournal(t *testing.T, v consent.Vault, tenant consent.TenantID, head consent.Position) {
	t.Helper()
	got, err := v.JournalHead(tenant)
	must(t, err)
	same(t, "journal head", got, head)
	for p := consent.Position(1); p <= head; p++ {
		leaf, err := v.JournalLeaf(tenant, p)
		must(t, err)
		same(t, "leaf", leaf, mac("leaf", int(p)))
	}
	if _, err := v.JournalLeaf(tenant, head+1); err == nil {
		t.Error("a leaf beyond the head")
	}
}

var vaultCases = []struct {
	name, contract string
	run            func(t *testing.T, v VaultUnderTest)
}{{
	name:     "tenants have keys of their own, that stay",
	contract: "consent/ports.go: Keys returns a tenant's keys; false when the tenant is unknown",
	run: func(t *testing.T, v VaultUnderTest) {
		a, ok := v.Ledger.Keys(tenantA)
		b, okB := v.Ledger.Keys(tenantB)
		if !ok || !okB || a == b || a.Lookup.IsZero() || a.Lookup == a.MAC {
			t.Error("keys are missing, or the same")
		}
		if again, _ := v.Ledger.Keys(tenantA); again != a {
			t.Error("keys changed")
		}
		if _, ok := v.Ledger.Keys(nowhere); ok {
			t.Error("an unknown tenant has keys")
		}
		mine, ok := v.Log.LogKeys(tenantA)
		theirs, okB := v.Log.LogKeys(tenantB)
		if !ok || !okB || len(mine.Seeds()) != 1 || mine.Seeds()[0] == theirs.Seeds()[0] || mine.Seeds()[0] == [32]byte(a.Lookup) {
			t.Error("signing seeds are missing, or the same")
		}
		if _, ok := v.Log.LogKeys(nowhere); ok {
			t.Error("an unknown tenant has a signing seed")
		}
	},
}, {
	name:     "people's keys open until they are destroyed",
	contract: "consent/ports.go: SubjectKey opens a subject's key; ErrKeyGone when it is destroyed. Destroy destroys keys, durably. Repeatable",
	run: func(t *testing.T, v VaultUnderTest) {
		keys, refs, err := v.Ledger.NewSubjectKeys(5)
		must(t, err)
		for i, ref := range refs {
			k, err := v.Ledger.SubjectKey(ref)
			must(t, err)
			if k != keys[i] || ref.IsZero() {
				t.Error("another key")
			}
		}
		for range 2 {
			must(t, v.Ledger.Destroy(refs[1], refs[3], seal.Ref{}))
			for i, ref := range refs {
				k, err := v.Ledger.SubjectKey(ref)
				if i%2 == 1 {
					wantErr(t, err, consent.ErrKeyGone)
				} else if err != nil || k != keys[i] {
					t.Errorf("key %d: %v", i, err)
				}
			}
		}
		_, err = v.Ledger.SubjectKey(seal.Ref{Slot: refs[0].Slot, ID: [16]byte{1}})
		wantErr(t, err, consent.ErrKeyGone)
		none, noRefs, err := v.Ledger.NewSubjectKeys(0)
		must(t, err)
		same(t, "keys", len(none)+len(noRefs), 0)
	},
}, {
	name:     "a record key opens with its parent only",
	contract: "retrieval/ports.go: Put makes keys durable, wrapped under the keys of their subjects; Open: ErrKeyGone when it or a parent is gone",
	run: func(t *testing.T, v VaultUnderTest) {
		parent, other := seal.NewKey(), seal.NewKey()
		closed, open := seal.NewKey(), seal.NewKey()
		refs, err := v.Records.Put([]retrieval.RecordKey{{Key: closed, Parent: &parent}, {Key: open}})
		must(t, err)
		must(t, v.Records.Warm(t.Context(), append(refs, seal.Ref{}, seal.Ref{ID: [16]byte{7}})))
		k, err := v.Records.Open(refs[0], &parent)
		must(t, err)
		k2, err := v.Records.Open(refs[1], nil)
		must(t, err)
		if k != closed || k2 != open {
			t.Error("another key")
		}
		for _, wrong := range []*seal.Key{&other, nil} {
			_, err := v.Records.Open(refs[0], wrong)
			wantErr(t, err, retrieval.ErrKeyGone)
		}
		_, err = v.Records.Open(refs[1], &parent)
		wantErr(t, err, retrieval.ErrKeyGone)
		must(t, v.Records.Warm(t.Context(), refs))
		must(t, v.Records.Destroy(refs...))
		must(t, v.Records.Destroy(refs...))
		_, err = v.Records.Open(refs[0], &parent)
		wantErr(t, err, retrieval.ErrKeyGone)
	},
}, {
	name:     "keys that are all zeros are refused",
	contract: "internal/vault: Neither key may be all zeros",
	run: func(t *testing.T, v VaultUnderTest) {
		if _, err := v.Records.Put([]retrieval.RecordKey{{Key: seal.Key{}}}); err == nil {
			t.Error("a zero key was taken")
		}
		if _, err := v.Records.Put([]retrieval.RecordKey{{Key: seal.NewKey(), Parent: &seal.Key{}}}); err == nil {
			t.Error("a zero parent was taken")
		}
	},
}, {
	name:     "a journal has no gaps, and none but the same leaf twice",
	contract: "consent/ports.go: AppendJournal: those that the journal has already are passed over; ErrDiverged, and nothing appended, when it has another leaf there; ErrJournalGap, and nothing appended, when they begin beyond the head",
	run: func(t *testing.T, v VaultUnderTest) {
		wantJournal(t, v.Ledger, tenantA, 0)
		must(t, v.Ledger.AppendJournal(tenantA, nil))
		wantErr(t, v.Ledger.AppendJournal(tenantA, journalEntries(2, 1)), consent.ErrJournalGap)
		wantJournal(t, v.Ledger, tenantA, 0)
		must(t, v.Ledger.AppendJournal(tenantA, journalEntries(1, 3)))
		wantErr(t, v.Ledger.AppendJournal(tenantA, journalEntries(5, 2)), consent.ErrJournalGap)
		must(t, v.Ledger.AppendJournal(tenantA, journalEntries(1, 3))) // all there
		must(t, v.Ledger.AppendJournal(tenantA, journalEntries(2, 1)))
		must(t, v.Ledger.AppendJournal(tenantA, journalEntries(2, 4))) // two there
		wantJournal(t, v.Ledger, tenantA, 5)
		other := journalEntries(4, 3)
		other[1].Leaf = mac("other", 5)
		wantErr(t, v.Ledger.AppendJournal(tenantA, other), consent.ErrDiverged)
		wantJournal(t, v.Ledger, tenantA, 5)
		wantJournal(t, v.Ledger, tenantB, 0)
		must(t, v.Ledger.AppendJournal(tenantB, journalEntries(1, 1)))
		wantJournal(t, v.Ledger, tenantB, 1)
		must(t, v.Ledger.MendJournal())
		wantJournal(t, v.Ledger, tenantA, 5)
		if err := v.Ledger.AppendJournal(nowhere, journalEntries(1, 1)); err == nil {
			t.Error("a journal of an unknown tenant")
		}
		head, err := v.Log.JournalHead(tenantA)
		must(t, err)
		same(t, "the log's journal head", head, consent.Position(5))
	},
}, {
	name:     "many that append the same entries at once append each once",
	contract: "consent/ports.go: since another gateway may have been faster",
	run: func(t *testing.T, v VaultUnderTest) {
		const n = 40
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				for p := consent.Position(1); p <= n; p += 2 {
					if err := v.Ledger.AppendJournal(tenantA, journalEntries(p, 2)); err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		wantJournal(t, v.Ledger, tenantA, n)
	},
}, {
	name:     "a checkpoint replaces the one it names",
	contract: "translog/ports.go: SetCheckpoint puts one in place of old (nil: of none). ErrConflict, and nothing changed, when the newest is not old",
	run: func(t *testing.T, v VaultUnderTest) {
		newest := func(want string) {
			t.Helper()
			got, err := v.Log.Checkpoint(tenantA)
			must(t, err)
			same(t, "newest", string(got), want)
		}
		newest("")
		wantErr(t, v.Log.SetCheckpoint(tenantA, []byte("none"), []byte("x")), translog.ErrConflict)
		must(t, v.Log.SetCheckpoint(tenantA, nil, []byte("one\n")))
		wantErr(t, v.Log.SetCheckpoint(tenantA, nil, []byte("x")), translog.ErrConflict)
		newest("one\n")
		results := make(chan error)
		for _, next := range []string{"two a", "two b"} {
			go func() { results <- v.Log.SetCheckpoint(tenantA, []byte("one\n"), []byte(next)) }()
		}
		first, second := <-results, <-results
		if (first == nil) == (second == nil) || !errors.Is(errors.Join(first, second), translog.ErrConflict) {
			t.Errorf("errors are %v and %v", first, second)
		}
		if other, err := v.Log.Checkpoint(tenantB); err != nil || other != nil {
			t.Errorf("the other tenant has %q, %v", other, err)
		}
		if err := v.Log.SetCheckpoint(nowhere, nil, []byte("x")); err == nil {
			t.Error("a checkpoint of an unknown tenant")
		}
	},
}}
