package embedded

import (
	"cmp"
	"slices"

	"github.com/assent-gateway/assent/retrieval"
)

// versions checks passages to add and sorts them by version and number.
func (c *collection) versions(add []retrieval.IndexPassage) ([][]retrieval.IndexPassage, error) {
	add = slices.Clone(add)
	slices.SortStableFunc(add, func(a, b retrieval.IndexPassage) int {
		if d := cmp.Compare(a.Head.Ref.Doc, b.Head.Ref.Doc); d != 0 {
			return d
		}
		return cmp.Compare(a.Head.Ref.N, b.Head.Ref.N)
	})
	var out [][]retrieval.IndexPassage
	for i := range add {
		if !c.fits(&add[i]) {
			return nil, errChange
		}
		if i == 0 || add[i].Head.Ref.Doc != add[i-1].Head.Ref.Doc {
			out = append(out, add[i:i+1:i+1])
			continue
		}
		if !agree(&add[i-1], &add[i]) {
			return nil, errChange
		}
		last := &out[len(out)-1]
		*last = add[i-len(*last) : i+1 : i+1]
	}
	return out, nil
}

// fits reports whether a passage has the collection's shape.
func (c *collection) fits(p *retrieval.IndexPassage) bool {
	h := &p.Head
	ok := len(h.Codes.Code) == c.dimensions && bound(h.Codes.Scale) && bound(h.Codes.Residual) &&
		(p.Vector == nil || len(p.Vector) == c.dimensions && finite(p.Vector))
	for i, t := range h.Terms {
		ok = ok && t.Count > 0 && (i == 0 || t.Hash > h.Terms[i-1].Hash)
	}
	return ok
}

// agree reports whether two passages of a version say the same of it.
func agree(p, q *retrieval.IndexPassage) bool {
	a, b := &p.Head, &q.Head
	return a.Ref.N != b.Ref.N && a.DocID == b.DocID && a.Personal == b.Personal && p.RetainUntil == q.RetainUntil &&
		slices.Equal(p.Owners, q.Owners) && slices.Equal(p.Mentions, q.Mentions) &&
		a.Visibility.Level == b.Visibility.Level && slices.Equal(a.Visibility.Users, b.Visibility.Users) &&
		slices.Equal(a.Visibility.Groups, b.Visibility.Groups)
}

func bound(f float32) bool { return f >= 0 && f-f == 0 }

func finite(v []float32) bool {
	for _, x := range v {
		if x-x != 0 {
			return false
		}
	}
	return true
}
