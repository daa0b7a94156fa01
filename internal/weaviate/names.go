package weaviate

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"encoding/hex"

	"github.com/google/uuid"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/internal/seal"
	"github.com/assent-gateway/assent/retrieval"
)

// names is how a collection's passages, people and groups are called outside.
type names struct {
	key   seal.Key
	class string
	block cipher.Block
}

// newNames are those of one generation: nothing is called the same in two.
func newNames(key seal.Key, generation uint64) names {
	if generation != 0 {
		key = seal.Derive(key, "assent generation", number(int64(generation)))
	}
	k := seal.Derive(key, "assent object ids")
	block, err := aes.NewCipher(k[:])
	if err != nil {
		panic(err) // not reached: 32 bytes
	}
	return names{key: key, class: "Assent" + token(key, "assent class"), block: block}
}

// object is the id of a passage's object: number, passage and four zero bytes,
// permuted under the collection's key.
func (n names) object(ref retrieval.PassageRef) string {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:], uint64(ref.Doc))
	binary.BigEndian.PutUint32(b[8:], ref.N)
	n.block.Encrypt(b[:], b[:])
	return uuid.UUID(b).String()
}

// ref is what object made an id of; false for an id that is not the collection's.
func (n names) ref(id string) (retrieval.PassageRef, bool) {
	u, err := uuid.Parse(id)
	if err != nil {
		return retrieval.PassageRef{}, false
	}
	n.block.Decrypt(u[:], u[:])
	ref := retrieval.PassageRef{Doc: retrieval.DocNum(binary.BigEndian.Uint64(u[:])), N: binary.BigEndian.Uint32(u[8:])}
	ok := binary.BigEndian.Uint32(u[12:]) == 0 && ref.Doc > 0 && ref.N < retrieval.MaxPassages
	return ref, ok
}

func token(key seal.Key, label string, parts ...[]byte) string {
	mac := seal.MAC(key, label, parts...)
	return hex.EncodeToString(mac[:12])
}

func number(n int64) []byte { return binary.BigEndian.AppendUint64(nil, uint64(n)) }

func (n names) doc(num retrieval.DocNum) string {
	return token(n.key, "assent version", number(int64(num)))
}

func (n names) person(num consent.SubjectNum) string {
	return token(n.key, "assent person", number(int64(num)))
}

func (n names) people(nums []consent.SubjectNum) []string {
	out := make([]string, len(nums))
	for i, num := range nums {
		out[i] = n.person(num)
	}
	return out
}

// Who sees a passage: everyone in the tenant, or those with one of the tokens.
const everyone = "everyone"

func (n names) user(s consent.Subject) string { return token(n.key, "assent user", []byte(s.Reveal())) }
func (n names) group(g string) string         { return token(n.key, "assent group", []byte(g)) }
func (n names) owner(num consent.SubjectNum) string {
	return token(n.key, "assent owner sees", number(int64(num)))
}

// audience are the tokens of those who may see a passage.
func (n names) audience(p *retrieval.IndexPassage) []string {
	v := p.Head.Visibility
	if v.Level == retrieval.TenantWide {
		return []string{everyone}
	}
	var out []string
	for _, num := range p.Owners {
		out = append(out, n.owner(num))
	}
	if v.Level == retrieval.Listed {
		for _, u := range v.Users {
			out = append(out, n.user(u))
		}
		for _, g := range v.Groups {
			out = append(out, n.group(g))
		}
	}
	return out
}

// eyes are the tokens that a query's principal sees by.
func (n names) eyes(q *retrieval.Query) []string {
	out := []string{everyone}
	if !q.Principal.Subject.IsZero() {
		out = append(out, n.user(q.Principal.Subject))
	}
	if q.PrincipalNum != 0 {
		out = append(out, n.owner(q.PrincipalNum))
	}
	for _, g := range q.Principal.Groups {
		out = append(out, n.group(g))
	}
	return out
}

// Marks of the permission property besides purposes.
const (
	markNew = "new" // not judged by the applier yet: every search takes it along
	markAny = "any" // about nobody

	markCanary = "canary" // permitted to no one; no search takes it along
)

// permission is the mark for a purpose under a rule.
func (n names) permission(purpose string, r consent.Rule) string {
	return token(n.key, "assent permission", []byte(purpose), ruleBytes(r))
}

func ruleBytes(r consent.Rule) []byte {
	return append([]byte{byte(r.Joint), byte(r.Mentions)}, r.Default...)
}
