package storetest

import (
	"testing"
	"time"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/internal/events"
)

// Events checks events.Store.
func Events(t *testing.T, a Adapter) { run(t, a, "Events", eventCases) }

var eventCases = []testCase{{
	name:     "a cursor moves from where it is and from nowhere else",
	contract: "internal/events/store.go: false, and nothing changed, when it is elsewhere or not there",
	run: func(t *testing.T, f *fixture) {
		at := func(tenant consent.TenantID) int {
			t.Helper()
			p, found, err := f.Cursor(f.ctx, tenant, "s")
			must(t, err)
			if !found {
				return 999
			}
			return int(p)
		}
		move := func(from, to consent.Position, stale ...events.Stale) bool {
			t.Helper()
			moved, err := f.Advance(f.ctx, tenantA, "s", from, to, stale)
			must(t, err)
			return moved
		}
		same(t, "before it is there", at(tenantA), 999)
		same(t, "moved before it is there", move(0, 1, events.Stale{Manifest: "m", Position: 1}), false)
		must(t, f.StartCursor(f.ctx, tenantA, "s", 3))
		must(t, f.StartCursor(f.ctx, tenantA, "s", 7))
		same(t, "started once", at(tenantA), 3)
		same(t, "of another tenant", at(tenantB), 999)
		same(t, "moved from elsewhere", move(2, 9, events.Stale{Manifest: "m", Position: 1}), false)
		none, err := f.StaleAt(f.ctx, tenantA, 0, 100)
		must(t, err)
		same(t, "stale after moves that were none", len(none), 0)
		same(t, "moved", move(3, 9, events.Stale{Manifest: "b", Position: 5}, events.Stale{Manifest: "a", Position: 5}, events.Stale{Manifest: "a", Position: 6}), true)
		same(t, "at", at(tenantA), 9)
		same(t, "moved on", move(9, 12, events.Stale{Manifest: "b", Position: 11}, events.Stale{Manifest: "c", Position: 12}), true)
		got, err := f.StaleAt(f.ctx, tenantA, 4, 12)
		must(t, err)
		same(t, "each manifest by its first entry", got, []events.Stale{{Manifest: "a", Position: 5}, {Manifest: "b", Position: 5}, {Manifest: "c", Position: 12}})
		got, err = f.StaleAt(f.ctx, tenantA, 5, 11)
		must(t, err)
		same(t, "between", len(got), 0)
		must(t, f.DropCursor(f.ctx, tenantA, "s"))
		must(t, f.DropCursor(f.ctx, tenantA, "s"))
		same(t, "dropped", at(tenantA), 999)
	},
}, {
	name:     "a cursor is one holder's until its lease ends",
	contract: "internal/events/store.go: false when another's has not ended, or when there is no cursor",
	run: func(t *testing.T, f *fixture) {
		hold := func(who byte, lease time.Duration) bool {
			t.Helper()
			at, mine, err := f.HoldCursor(f.ctx, tenantA, "s", [16]byte{who}, lease)
			must(t, err)
			if mine && at != 4 {
				t.Errorf("held at %d", at)
			}
			return mine
		}
		same(t, "without a cursor", hold(1, time.Minute), false)
		must(t, f.StartCursor(f.ctx, tenantA, "s", 4))
		same(t, "first", hold(1, time.Minute), true)
		same(t, "another meanwhile", hold(2, time.Minute), false)
		same(t, "renewed", hold(1, time.Hour), true)
		same(t, "given back", hold(1, 0), true)
		same(t, "another after", hold(2, time.Minute), true)
		f.clock.move(2 * time.Minute)
		same(t, "after its end", hold(1, time.Minute), true)
	},
}, {
	name:     "processors are kept by name",
	contract: "internal/events/store.go: Processors returns them by name",
	run: func(t *testing.T, f *fixture) {
		put := func(name string, sealed []byte) bool {
			t.Helper()
			made, err := f.PutProcessor(f.ctx, tenantA, name, sealed)
			must(t, err)
			return made
		}
		same(t, "made", put("b", box("x", 1)), true)
		same(t, "made", put("a", box("x", 2)), true)
		same(t, "replaced", put("b", box("x", 3)), false)
		got, err := f.Processors(f.ctx, tenantA)
		must(t, err)
		same(t, "listed", got, []events.ProcessorRow{{Name: "a", Version: 1, Sealed: box("x", 2)}, {Name: "b", Version: 2, Sealed: box("x", 3)}})
		must(t, f.DropProcessor(f.ctx, tenantA, "a"))
		must(t, f.DropProcessor(f.ctx, tenantA, "a"))
		got, err = f.Processors(f.ctx, tenantA)
		must(t, err)
		same(t, "left", len(got), 1)
		got, err = f.Processors(f.ctx, tenantB)
		must(t, err)
		same(t, "of another tenant", len(got), 0)
	},
}}
