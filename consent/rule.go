package consent

// A Verdict is what the ledger says about one person for one purpose
// (and for embedding, which every retrieval needs as well).
type Verdict uint8

// Allow is set when the person may be used. Block is set when the person
// refused, objected, is restricted or erased: what silence is not. Never both.
const (
	Allow Verdict = 1 << iota
	Block
	// Erased is set, with Block, when the person is suppressed: then not even
	// another owner's permission counts.
	Erased
)

// Joint says how a document's owners combine.
type Joint uint8

// AllOwners: every owner must permit (the default). AnyOwner: one is enough,
// unless an owner is erased.
const (
	AllOwners Joint = iota
	AnyOwner
)

// MentionPolicy says what silence of a mentioned person means.
type MentionPolicy uint8

// RefusalBlocks: a refusal blocks, silence does not (the default).
// MustPermit: a mentioned person counts like an owner.
const (
	RefusalBlocks MentionPolicy = iota
	MustPermit
)

// A Rule says how the people of a document combine, and in which jurisdiction
// people are whose own is not known. It is a collection's.
type Rule struct {
	Joint    Joint
	Mentions MentionPolicy
	Default  Jurisdiction
}

// Permits reports whether a document may be used whose owners and mentioned
// people have these verdicts. A document without an owner may not.
func (r Rule) Permits(owners, mentions []Verdict) bool {
	if len(owners) == 0 {
		return false
	}
	allowed := 0
	for _, v := range owners {
		if v&Erased != 0 {
			return false
		}
		if v&Allow != 0 {
			allowed++
		}
	}
	if allowed == 0 || r.Joint != AnyOwner && allowed < len(owners) {
		return false
	}
	for _, v := range mentions {
		if v&Block != 0 || r.Mentions == MustPermit && v&Allow == 0 {
			return false
		}
	}
	return true
}
