package retrieval

import (
	"strings"
	"testing"
)

// FuzzPassageID: an id that is taken is the one way to write its passage, and
// every passage has an id.
func FuzzPassageID(f *testing.F) {
	f.Add(passageID(PassageRef{1, 0}), int64(1), uint32(0))
	f.Add(passageID(PassageRef{1<<63 - 1, MaxPassages}), int64(1<<63-1), uint32(MaxPassages))
	f.Add("p_AAAAAAAAAAEA", int64(0), uint32(1<<31))
	f.Add("p_AAAAAAAAAAGAAA", int64(-1), uint32(200)) // a number written longer than it is
	f.Add("p_AAAAAAAAAAEB", int64(7), uint32(128))
	f.Add("", int64(7), uint32(1))
	f.Fuzz(func(t *testing.T, id string, doc int64, n uint32) {
		if ref, ok := parsePassageID(id); ok {
			if passageID(ref) != id {
				t.Errorf("%q is another way to write %v", id, ref)
			}
			if ref.Doc <= 0 || ref.N > MaxPassages {
				t.Errorf("%q is no passage: %v", id, ref)
			}
		} else if ref != (PassageRef{}) {
			t.Errorf("%q is refused and names %v", id, ref)
		}
		ref := PassageRef{DocNum(doc), n}
		written := passageID(ref)
		back, ok := parsePassageID(written)
		if valid := doc > 0 && n <= MaxPassages; ok != valid || ok && back != ref {
			t.Errorf("%v is written %q and read %v, %v", ref, written, back, ok)
		}
		if len(written) > 32 || strings.ContainsAny(written, "+/=") {
			t.Errorf("%q does not fit a URL", written)
		}
	})
}
