package consent

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Embedding is the purpose that every retrieval and every ingest needs as well.
const Embedding = "embedding"

// MaxPolicy is the largest policy in bytes: it must fit an entry of the log.
const MaxPolicy = 48 << 10

// ErrPolicy reports a policy that is not valid; the text says where.
var ErrPolicy = errors.New("consent: policy is not valid")

// A Mode says what silence means.
type Mode string

// OptIn: no record means no. OptOut: no record means yes, until a refusal.
const (
	OptIn  Mode = "opt_in"
	OptOut Mode = "opt_out"
)

// A PurposeRule is what a framework says about a purpose.
type PurposeRule struct {
	Mode        Mode     `json:"mode"`
	LawfulBasis string   `json:"lawful_basis"`
	Validity    string   `json:"validity,omitempty"` // of a grant; see ParseDuration
	Signals     []string `json:"signals,omitempty"`  // signals that deny: "gpc"

	validity time.Duration
}

// A Framework is a privacy law as data.
type Framework struct {
	Jurisdictions []Jurisdiction         `json:"jurisdictions"`
	Default       PurposeRule            `json:"default"`
	Purposes      map[string]PurposeRule `json:"purposes,omitempty"`
	Deadlines     map[string]string      `json:"deadlines,omitempty"` // e.g. "erasure": "30d"
}

// A Purpose is why data is used.
type Purpose struct {
	Title string `json:"title"`
}

// A PublishedType is a consent type with the text people agreed to.
type PublishedType struct {
	Type     string   `json:"type"`
	Text     string   `json:"text"`
	Language string   `json:"language"`
	Validity string   `json:"validity,omitempty"` // of a grant; "" is unlimited
	Accepts  []string `json:"accepts,omitempty"`  // earlier versions whose grants still count

	parsed   Type
	accepts  []Type
	validity time.Duration
	position Position
}

// Position is the ledger entry that published the type.
func (p PublishedType) Position() Position { return p.position }

// Digest is SHA-256 of the text, in hex with its algorithm named.
func (p PublishedType) Digest() string {
	sum := sha256.Sum256([]byte(p.Text))
	return "sha256:" + hex.EncodeToString(sum[:])
}

// A Policy is the data that decides: frameworks, purposes, consent types. It
// is stored whole in the ledger; its digest is in every decision.
type Policy struct {
	Version      int                  `json:"version"`
	Name         string               `json:"name"`
	Purposes     map[string]Purpose   `json:"purposes"`
	ConsentTypes []PublishedType      `json:"consent_types"`
	Frameworks   map[string]Framework `json:"frameworks"`
	// WithdrawalGrace is how long data is kept that no purpose permits any more,
	// counted from when the last permission ended; see ParseDuration. "": 30 days.
	WithdrawalGrace string `json:"withdrawal_grace,omitempty"`

	raw    []byte
	digest string
	where  map[Jurisdiction]string // jurisdiction → framework
}

// ParsePolicy reads a policy and checks all of it. The policy's bytes, as
// given, are what its digest covers and what the ledger stores.
func ParsePolicy(raw []byte) (*Policy, error) {
	if len(raw) > MaxPolicy {
		return nil, fmt.Errorf("%w: larger than %d bytes", ErrPolicy, MaxPolicy)
	}
	var p Policy
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&p); err != nil {
		return nil, fmt.Errorf("%w: not the JSON that the schema asks for: %w", ErrPolicy, err)
	}
	if _, err := dec.Token(); err != io.EOF {
		return nil, fmt.Errorf("%w: data after the policy", ErrPolicy)
	}
	if err := p.check(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrPolicy, err)
	}
	sum := sha256.Sum256(raw)
	p.raw, p.digest = bytes.Clone(raw), "sha256:"+hex.EncodeToString(sum[:])
	return &p, nil
}

// Digest is SHA-256 of the policy's bytes, "sha256:" and hex.
func (p *Policy) Digest() string { return p.digest }

func (p *Policy) check() error {
	if p.Version < 0 || p.Name == "" {
		return errors.New("version and name are required")
	}
	if _, ok := p.Purposes[Embedding]; !ok {
		return errors.New("purposes: embedding is missing, and without it nothing can be stored")
	}
	if _, err := ParseDuration(p.WithdrawalGrace); err != nil {
		return fmt.Errorf("withdrawal_grace: %w", err)
	}
	for name := range p.Purposes {
		if !ValidPurpose(name) {
			return errors.New("purposes: a name is not [a-z][a-z0-9_]*")
		}
	}
	for i := range p.ConsentTypes {
		if err := p.ConsentTypes[i].check(); err != nil {
			return fmt.Errorf("consent_types[%d]: %w", i, err)
		}
		if _, ok := p.Purposes[p.ConsentTypes[i].parsed.Purpose]; !ok {
			return fmt.Errorf("consent_types[%d]: its purpose is not declared", i)
		}
	}
	p.where = make(map[Jurisdiction]string)
	for name, f := range p.Frameworks {
		if err := p.checkFramework(name, &f); err != nil {
			return fmt.Errorf("frameworks: %s: %w", name, err)
		}
		p.Frameworks[name] = f
	}
	return nil
}

func (p *Policy) checkFramework(name string, f *Framework) error {
	for i, j := range f.Jurisdictions {
		parsed, err := ParseJurisdiction(string(j))
		if err != nil || parsed == "" {
			return fmt.Errorf("jurisdictions[%d] is not ISO 3166", i)
		}
		if other, taken := p.where[parsed]; taken {
			return fmt.Errorf("jurisdictions[%d] is in framework %s too", i, other)
		}
		p.where[parsed] = name
	}
	if err := f.Default.check(); err != nil {
		return fmt.Errorf("default: %w", err)
	}
	for purpose, rule := range f.Purposes {
		if _, ok := p.Purposes[purpose]; !ok {
			return errors.New("purposes: a rule for a purpose that is not declared")
		}
		if err := rule.check(); err != nil {
			return fmt.Errorf("purposes: %s: %w", purpose, err)
		}
		f.Purposes[purpose] = rule
	}
	for what, d := range f.Deadlines {
		if _, err := ParseDuration(d); err != nil {
			return fmt.Errorf("deadlines: %s: %w", what, err)
		}
	}
	return nil
}

func (r *PurposeRule) check() (err error) {
	if r.Mode != OptIn && r.Mode != OptOut {
		return errors.New("mode is neither opt_in nor opt_out")
	}
	if r.LawfulBasis == "" {
		return errors.New("lawful_basis is required")
	}
	for _, s := range r.Signals {
		if s != "gpc" {
			return errors.New("signals: only gpc is known")
		}
	}
	r.validity, err = ParseDuration(r.Validity)
	return err
}

func (t *PublishedType) check() (err error) {
	if t.parsed, err = ParseType(t.Type); err != nil {
		return err
	}
	if t.Text == "" || len(t.Text) > 16<<10 {
		return errors.New("text is required, at most 16 KiB")
	}
	if t.Language == "" || len(t.Language) > 35 {
		return errors.New("language is required, a BCP 47 tag")
	}
	if t.validity, err = ParseDuration(t.Validity); err != nil {
		return fmt.Errorf("validity: %w", err)
	}
	t.Type = t.parsed.String()
	t.accepts = t.accepts[:0]
	for i, a := range t.Accepts {
		at, err := ParseType(a)
		if err != nil || at.Purpose != t.parsed.Purpose || !t.parsed.Later(at) {
			return fmt.Errorf("accepts[%d] is not an earlier version of the same purpose", i)
		}
		t.accepts = append(t.accepts, at)
		t.Accepts[i] = at.String()
	}
	return nil
}

// unknownRule holds wherever no framework does: no record means no.
var unknownRule = PurposeRule{Mode: OptIn, LawfulBasis: "consent"}

// rule returns what holds for a purpose in a jurisdiction: that of the
// subdivision, else of the country, else opt-in.
func (p *Policy) rule(purpose string, j Jurisdiction) PurposeRule {
	name, ok := p.where[j]
	if !ok {
		name, ok = p.where[j.Country()]
	}
	if !ok {
		return unknownRule
	}
	f := p.Frameworks[name]
	if r, ok := f.Purposes[purpose]; ok {
		return r
	}
	return f.Default
}

// ParseDuration reads a span of time: Go's form ("720h"), days ("30d"), or
// ISO 8601 in years, months, weeks and days ("P1Y", "P13M": a year is 365
// days, a month 30). "" is 0, unlimited.
func ParseDuration(s string) (time.Duration, error) {
	errDuration := errors.New("not a span of time such as 720h, 30d or P1Y")
	const (
		day     = 24 * time.Hour
		maxSpan = 200 * 365 * day
	)
	var d time.Duration
	switch {
	case s == "":
		return 0, nil
	case strings.HasPrefix(s, "P"):
		units := map[byte]time.Duration{'Y': 365 * day, 'M': 30 * day, 'W': 7 * day, 'D': day}
		for rest := s[1:]; rest != ""; {
			i := strings.IndexAny(rest, "YMWD")
			if i < 1 {
				return 0, errDuration
			}
			n, err := strconv.ParseUint(rest[:i], 10, 16)
			if err != nil {
				return 0, errDuration
			}
			unit := units[rest[i]]
			if n > uint64(maxSpan/unit) { // which else could come round to a short one
				return 0, errDuration
			}
			if d += time.Duration(n) * unit; d > maxSpan {
				return 0, errDuration
			}
			rest = rest[i+1:]
		}
	case strings.HasSuffix(s, "d"):
		n, err := strconv.ParseUint(s[:len(s)-1], 10, 16)
		if err != nil {
			return 0, errDuration
		}
		d = time.Duration(n) * day
	default:
		var err error
		if d, err = time.ParseDuration(s); err != nil {
			return 0, errDuration
		}
	}
	if d <= 0 || d > maxSpan {
		return 0, errDuration
	}
	return d, nil
}

// registry is every consent type a ledger has published.
type registry struct {
	types   map[Type]*PublishedType
	current map[string]Type // purpose → its highest version
}

func newRegistry() registry {
	return registry{types: map[Type]*PublishedType{}, current: map[string]Type{}}
}

// publish adds a type that is not there; what is there never changes.
func (r *registry) publish(t PublishedType, at Position) {
	if _, ok := r.types[t.parsed]; ok {
		return
	}
	t.position = at
	r.types[t.parsed] = &t
	if cur, ok := r.current[t.parsed.Purpose]; !ok || t.parsed.Later(cur) {
		r.current[t.parsed.Purpose] = t.parsed
	}
}

// same reports whether a published version says the same as t.
func (p *PublishedType) same(t PublishedType) bool {
	return p.Text == t.Text && p.Language == t.Language && p.validity == t.validity && slices.Equal(p.accepts, t.accepts)
}

// counts reports whether a grant of version t counts today.
func (r *registry) counts(t Type) bool {
	if _, ok := r.types[t]; !ok {
		return false
	}
	cur := r.current[t.Purpose]
	return cur == t || slices.Contains(r.types[cur].accepts, t)
}

func (r *registry) sorted() []PublishedType {
	out := make([]PublishedType, 0, len(r.types))
	for _, t := range r.types {
		out = append(out, *t)
	}
	slices.SortFunc(out, func(a, b PublishedType) int {
		if c := strings.Compare(a.parsed.Purpose, b.parsed.Purpose); c != 0 {
			return c
		}
		if a.parsed.Later(b.parsed) {
			return 1
		}
		return -1
	})
	return out
}
