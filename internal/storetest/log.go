package storetest

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/internal/translog"
)

func checkpoint(i int) []byte {
	return fmt.Appendf(nil, "assent/tenant\n%d\nroot\n\n— signature\n", i)
}

func nodes(level uint8, from, n int) []translog.Node {
	var out []translog.Node
	for i := range n {
		out = append(out, translog.Node{Level: level, Index: uint64(from + i), Hash: mac(fmt.Sprint("node ", level), from+i)})
	}
	return out
}

func hashes(nodes []translog.Node) []translog.Hash {
	var out []translog.Hash
	for _, n := range nodes {
		out = append(out, n.Hash)
	}
	return out
}

func (f *fixture) newest(t *testing.T, tenant consent.TenantID) string {
	t.Helper()
	c, err := f.LogCheckpoint(f.ctx, tenant)
	must(t, err)
	return string(c)
}

func (f *fixture) hashes(t *testing.T, tenant consent.TenantID, level uint8, index uint64, n int) []translog.Hash {
	t.Helper()
	h, err := f.LogHashes(f.ctx, tenant, level, index, n)
	must(t, err)
	return h
}

var logCases = []testCase{{
	name:     "a log begins without a checkpoint and without nodes",
	contract: "translog/ports.go: LogCheckpoint returns a tenant's newest checkpoint; nil when there is none",
	run: func(t *testing.T, f *fixture) {
		for _, id := range []consent.TenantID{tenantA, nowhere} {
			c, err := f.LogCheckpoint(f.ctx, id)
			must(t, err)
			if c != nil {
				t.Errorf("there is a checkpoint of %d bytes", len(c))
			}
			for _, level := range []uint8{0, 1, 63} {
				same(t, "hashes", f.hashes(t, id, level, 0, 1), []translog.Hash(nil))
			}
		}
	},
}, {
	name:     "a checkpoint takes the place of the one it was made after, and of no other",
	contract: "translog/ports.go: ErrConflict, and nothing changed, when the newest is not old",
	run: func(t *testing.T, f *fixture) {
		advance := func(old, c []byte, n []translog.Node) error { return f.AdvanceLog(f.ctx, tenantA, old, c, n) }
		wantErr(t, advance(checkpoint(1), checkpoint(2), nodes(1, 0, 1)), translog.ErrConflict)
		same(t, "newest", f.newest(t, tenantA), "")
		must(t, advance(nil, checkpoint(1), nil))
		wantErr(t, advance(nil, checkpoint(2), nodes(1, 0, 1)), translog.ErrConflict)
		wantErr(t, advance(checkpoint(2), checkpoint(3), nodes(1, 0, 1)), translog.ErrConflict)
		wantErr(t, advance(checkpoint(1)[:5], checkpoint(3), nil), translog.ErrConflict)
		same(t, "newest", f.newest(t, tenantA), string(checkpoint(1)))
		same(t, "nodes of what conflicted", f.hashes(t, tenantA, 1, 0, 9), []translog.Hash(nil))
		must(t, advance(checkpoint(1), checkpoint(2), nodes(1, 0, 1)))
		must(t, advance(checkpoint(2), checkpoint(2), nil))
		same(t, "newest", f.newest(t, tenantA), string(checkpoint(2)))
		same(t, "nodes", f.hashes(t, tenantA, 1, 0, 9), hashes(nodes(1, 0, 1)))
		wantErr(t, f.AdvanceLog(f.ctx, nowhere, nil, checkpoint(1), nil), consent.ErrUnknownTenant)
	},
}, {
	name:     "of writers that race one wins each round",
	contract: "translog/ports.go: AdvanceLog puts a checkpoint in place of old",
	run: func(t *testing.T, f *fixture) {
		var old []byte
		for round := range 10 {
			var won atomic.Int64
			var wg sync.WaitGroup
			for w := range 8 {
				wg.Go(func() {
					if f.AdvanceLog(f.ctx, tenantA, old, checkpoint(round*8+w), nil) == nil {
						won.Add(1)
					}
				})
			}
			wg.Wait()
			if won.Load() != 1 {
				t.Fatalf("%d writers won", won.Load())
			}
			old = []byte(f.newest(t, tenantA))
		}
	},
}, {
	name:     "nodes come back by level and index, up to the first that is missing",
	contract: "translog/ports.go: LogHashes returns at most n hashes of a level from index on, ascending, up to the first that is missing",
	run: func(t *testing.T, f *fixture) {
		all := nodes(1, 0, 300)
		must(t, f.AdvanceLog(f.ctx, tenantA, nil, checkpoint(1), append(nodes(1, 301, 2), append(nodes(2, 0, 1), all...)...)))
		same(t, "from the middle", f.hashes(t, tenantA, 1, 256, 10), hashes(all[256:266]))
		same(t, "to the gap", f.hashes(t, tenantA, 1, 290, 256), hashes(all[290:]))
		same(t, "at the gap", f.hashes(t, tenantA, 1, 300, 5), []translog.Hash(nil))
		same(t, "behind it", f.hashes(t, tenantA, 1, 301, 5), hashes(nodes(1, 301, 2)))
		same(t, "the level above", f.hashes(t, tenantA, 2, 0, 256), hashes(nodes(2, 0, 1)))
		same(t, "none asked for", f.hashes(t, tenantA, 1, 0, 0), []translog.Hash(nil))
		same(t, "another tenant's", f.hashes(t, tenantB, 1, 0, 5), []translog.Hash(nil))
	},
}, {
	name:     "a node that is there already is overwritten",
	contract: "translog/ports.go: A node that is there already is overwritten",
	run: func(t *testing.T, f *fixture) {
		must(t, f.AdvanceLog(f.ctx, tenantA, nil, checkpoint(1), nodes(1, 0, 2)))
		other := translog.Node{Level: 1, Index: 1, Hash: mac("other", 1)}
		must(t, f.AdvanceLog(f.ctx, tenantA, checkpoint(1), checkpoint(2), []translog.Node{other}))
		same(t, "nodes", f.hashes(t, tenantA, 1, 0, 9), []translog.Hash{nodes(1, 0, 1)[0].Hash, other.Hash})
	},
}, {
	name:     "level 0 are the leaves of the ledger",
	contract: "translog/ports.go: Level 0 are the leaves of committed entries: index 0 is that of position 1",
	run: func(t *testing.T, f *fixture) {
		f.append(t, tenantA, 1, 5)
		f.append(t, tenantB, 1, 1)
		want := []translog.Hash{mac("leaf", 1), mac("leaf", 2), mac("leaf", 3), mac("leaf", 4), mac("leaf", 5)}
		same(t, "all", f.hashes(t, tenantA, 0, 0, 256), want)
		same(t, "some", f.hashes(t, tenantA, 0, 1, 3), want[1:4])
		same(t, "behind the head", f.hashes(t, tenantA, 0, 5, 3), []translog.Hash(nil))
		same(t, "another tenant's", f.hashes(t, tenantB, 0, 0, 256), want[:1])
	},
}, {
	name:     "entries come as they were written, as many as asked for",
	contract: "translog/ports.go: LogEntries returns at most n committed entries after a position, ascending",
	run: func(t *testing.T, f *fixture) {
		f.append(t, tenantA, 1, 5)
		all := f.rows(t, tenantA, 0)
		for _, c := range []struct{ after, n, from, to int }{{0, 256, 0, 5}, {0, 2, 0, 2}, {3, 1, 3, 4}, {5, 3, 5, 5}, {1, 0, 0, 0}} {
			got, err := f.LogEntries(f.ctx, tenantA, consent.Position(c.after), c.n)
			must(t, err)
			same(t, fmt.Sprintf("%d after %d", c.n, c.after), got, all[c.from:c.to])
		}
		got, err := f.LogEntries(f.ctx, tenantB, 0, 9)
		must(t, err)
		same(t, "another tenant's", got, []consent.Row(nil))
	},
}}
