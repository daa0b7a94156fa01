package embedded

import (
	"context"
	"math"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/retrieval"
)

// Marks of the version that a test removes: if one is met anywhere, the
// version is not gone.
const (
	markText   = "canary"
	markDoc    = 0x5ca1ab1e5ca1ab1e
	markPerson = 0x0dd1ebeef0dd1eb0
	markOther  = 0x0dd1ebeef0dd1eb1
	markHash   = 0xfeedfacecafebeef
	markTime   = 0x7ead11febadcab1e
	markCode   = -101
)

var markFloat = float32(0.123456)

// look walks everything that can be reached from v, slices to their capacity,
// and counts what carries a mark.
func look(v reflect.Value, seen map[uintptr]bool, found map[string]int) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() && !seen[v.Pointer()] {
			seen[v.Pointer()] = true
			look(v.Elem(), seen, found)
		}
	case reflect.Interface:
		look(v.Elem(), seen, found)
	case reflect.Struct:
		for i := range v.NumField() {
			look(v.Field(i), seen, found)
		}
	case reflect.Slice:
		v = v.Slice3(0, v.Cap(), v.Cap())
		for i := range v.Len() {
			look(v.Index(i), seen, found)
		}
	case reflect.Array:
		for i := range v.Len() {
			look(v.Index(i), seen, found)
		}
	case reflect.Map:
		for it := v.MapRange(); it.Next(); {
			look(it.Key(), seen, found)
			look(it.Value(), seen, found)
		}
	case reflect.String:
		if strings.Contains(v.String(), markText) {
			found["text"]++
		}
	case reflect.Int64:
		switch v.Int() {
		case markDoc:
			found["document number"]++
		case markPerson, markOther:
			found["person"]++
		case markTime:
			found["time"]++
		}
	case reflect.Uint64:
		if v.Uint() == markHash {
			found["term hash"]++
		}
	case reflect.Int8:
		if v.Int() == markCode {
			found["code"]++
		}
	case reflect.Float32:
		if float32(v.Float()) == markFloat {
			found["vector"]++
		}
	}
}

func (w *world) marks() map[string]int {
	found := map[string]int{}
	c := w.index.collection(coll)
	s := c.scratch.Get()
	look(reflect.ValueOf(c), map[uintptr]bool{}, found)
	look(reflect.ValueOf(s), map[uintptr]bool{}, found)
	c.scratch.Put(s)
	return found
}

func marked(t testing.TB, passages int) []retrieval.IndexPassage {
	t.Helper()
	user, err := consent.ParseSubject("user:" + markText)
	if err != nil {
		t.Fatal(err)
	}
	vector := []float32{markFloat, 0, 0, 0, 0, 0, 0, float32(math.Sqrt(1 - float64(markFloat)*float64(markFloat)))}
	codes := retrieval.Quantise(vector)
	codes.Code[3] = markCode
	codes.Residual = 1
	out := make([]retrieval.IndexPassage, passages)
	for i := range out {
		out[i] = retrieval.IndexPassage{
			Head: retrieval.Head{
				Ref: retrieval.PassageRef{Doc: markDoc, N: uint32(i)}, DocID: markText, Personal: true,
				Visibility: retrieval.Visibility{Level: retrieval.Listed, Users: []consent.Subject{user}, Groups: []string{markText}},
				Values:     map[string]retrieval.Value{markText: retrieval.ListValue(retrieval.StringValue(markText))},
				Terms:      []retrieval.TermCount{{Hash: 1 << 40, Count: 1}, {Hash: markHash, Count: 2}}, Length: 3, Codes: codes,
			},
			Owners: []consent.SubjectNum{markPerson}, Mentions: []consent.SubjectNum{markOther}, RetainUntil: markTime, Vector: vector,
		}
	}
	return out
}

func TestNothingOfARemovedVersionRemains(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	for name, remove := range map[string]func(w *world) error{
		"removed": func(w *world) error {
			return w.index.Apply(ctx, coll, retrieval.Change{Remove: []retrieval.DocNum{markDoc}})
		},
		"removed beside additions": func(w *world) error {
			return w.index.Apply(ctx, coll, retrieval.Change{Remove: []retrieval.DocNum{markDoc, 1, markDoc}, Add: w.document(0)})
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for seed := range uint64(10) {
				w := newWorld(t, seed, 0)
				w.people.restart(consent.Allow)
				for range 5 {
					w.change(t)
				}
				if err := w.index.Apply(ctx, coll, retrieval.Change{Add: marked(t, 3)}); err != nil {
					t.Fatal(err)
				}
				for range 5 {
					w.change(t)
				}
				// Searches leave masks, scratch and cached vectors behind.
				ask := func() bool {
					hit := false
					for mode := retrieval.ModeVector; mode <= retrieval.ModeHybrid; mode++ {
						q := retrieval.Query{Collection: coll, K: 1000, Mode: mode, Vector: w.vector(), Terms: []uint64{1 << 40, markHash}, PrincipalNum: markPerson}
						got, err := w.index.search(ctx, w.people, q)
						if err != nil {
							t.Fatal(err)
						}
						for _, f := range got {
							hit = hit || f.Ref.Doc == markDoc
						}
					}
					return hit
				}
				if !ask() {
					t.Fatal("the version is not found while it is there")
				}
				all := []string{"text", "document number", "person", "time", "term hash", "code", "vector"}
				before := w.marks()
				for _, what := range all {
					if before[what] == 0 {
						t.Errorf("the look-out does not see the %s of a version that is there", what)
					}
				}
				if err := remove(w); err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(map[string]int{}, w.marks()); diff != "" {
					t.Errorf("remains: %s", diff)
				}
				if ask() {
					t.Error("the removed version is found")
				}
				if err := remove(w); err != nil {
					t.Errorf("removing what is absent: %v", err)
				}
			}
		})
	}
}

func TestDropLeavesNothing(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	w := newWorld(t, 1, 0)
	if err := w.index.Apply(ctx, coll, retrieval.Change{Add: marked(t, 3)}); err != nil {
		t.Fatal(err)
	}
	c := w.index.collection(coll)
	blocks, vector := c.blocks, c.vectors[0]
	if err := w.index.Drop(ctx, coll); err != nil {
		t.Fatal(err)
	}
	found := map[string]int{}
	for _, kept := range []any{c, blocks, vector, w.index} {
		look(reflect.ValueOf(kept), map[uintptr]bool{}, found)
	}
	if len(found) != 0 {
		t.Errorf("remains: %v", found)
	}
}

// Removing everything must leave the structure as good as new.
func TestEmptiedCollectionIsEmpty(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	w := newWorld(t, 9, 0)
	for range 30 {
		w.change(t)
	}
	var ch retrieval.Change
	for num := range w.docs {
		ch.Remove = append(ch.Remove, num)
	}
	if err := w.index.Apply(ctx, coll, ch); err != nil {
		t.Fatal(err)
	}
	c := w.index.collection(coll)
	sizes := map[string]int{
		"byNum": len(c.byNum), "owned": len(c.owned), "mentioned": len(c.mentioned), "users": len(c.users), "groups": len(c.groups),
		"terms": len(c.terms.ord), "alive": c.alive.count(), "everyone": c.everyone.count(), "retained": c.retained.count(),
		"documents not free": len(c.docs) - len(c.freeDocs), "passages not free": len(c.passages) - len(c.slab.free),
		"terms not free": len(c.terms.hash) - len(c.terms.free), "bytes of vectors": int(w.index.budget.used.Load()),
	}
	for what, n := range sizes {
		if n != 0 {
			t.Errorf("%s: %d", what, n)
		}
	}
}
