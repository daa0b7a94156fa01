package consent

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"
)

// testPolicy knows a purpose per way a law can look at it.
const testPolicy = `{
 "version": 1, "name": "test",
 "purposes": {"rag_retrieval": {"title": "r"}, "embedding": {"title": "e"}, "billing": {"title": "b"}},
 "consent_types": [
  {"type": "rag_retrieval_v1.0", "text": "one", "language": "en"},
  {"type": "rag_retrieval_v1.1", "text": "one and a bit", "language": "en", "accepts": ["rag_retrieval_v1.0"]},
  {"type": "embedding_v1.0", "text": "e", "language": "en", "validity": "5m"},
  {"type": "billing_v1.0", "text": "b", "language": "en"},
  {"type": "billing_v2.0", "text": "bb", "language": "en"}],
 "frameworks": {
  "gdpr": {"jurisdictions": ["DE", "FR"], "default": {"mode": "opt_in", "lawful_basis": "consent"},
    "purposes": {"billing": {"mode": "opt_out", "lawful_basis": "contract"}}},
  "short": {"jurisdictions": ["IT"], "default": {"mode": "opt_in", "lawful_basis": "consent", "validity": "3m"}},
  "ccpa": {"jurisdictions": ["US-CA"], "default": {"mode": "opt_in", "lawful_basis": "consent"},
    "purposes": {"rag_retrieval": {"mode": "opt_out", "lawful_basis": "notice", "signals": ["gpc"]}}}}}`

// base is minute 0 of the table.
var base = TimeOf(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC))

func minute(s string) Time {
	n, err := strconv.ParseFloat(s, 64)
	if err != nil {
		panic(err)
	}
	return base + Time(n*float64(time.Minute))
}

// fold applies entries written as "minute status type [acted=m] [expires=m]
// [in=J]", one after the other; "minute erased" is an erasure.
func fold(t *testing.T, r *rules, entries string) *state {
	t.Helper()
	s := &state{}
	for i, line := range strings.Split(entries, ";") {
		f := strings.Fields(line)
		if len(f) == 0 {
			continue
		}
		row := Row{Position: Position(i + 1), Kind: KindConsent, RecordedAt: minute(f[0])}
		if f[1] == "erased" {
			row.Kind = KindErasure
			s.apply(row, &r.registry)
			continue
		}
		var err error
		if row.Status, err = ParseStatus(f[1]); err != nil {
			t.Fatalf("entry %d: %v", i, err)
		}
		if row.Type, err = ParseType(f[2]); err != nil {
			t.Fatalf("entry %d: %v", i, err)
		}
		for _, opt := range f[3:] {
			name, value, _ := strings.Cut(opt, "=")
			switch name {
			case "acted":
				row.ActedAt = minute(value)
			case "expires":
				row.ExpiresAt = minute(value)
			case "in":
				row.Jurisdiction = Jurisdiction(value)
			default:
				t.Fatalf("entry %d: option", i)
			}
		}
		s.apply(row, &r.registry)
	}
	return s
}

func testRules(t *testing.T) *rules {
	t.Helper()
	p, err := ParsePolicy([]byte(testPolicy))
	if err != nil {
		t.Fatal(err)
	}
	r := &rules{policy: p, registry: newRegistry()}
	for _, pub := range p.ConsentTypes {
		r.registry.publish(pub, 1)
	}
	return r
}

// The decision of DESIGN §4, as a table. Time is minute 10 unless at says
// otherwise; the purpose is rag_retrieval unless for says otherwise.
func TestDecision(t *testing.T) {
	const rag, rag11 = "rag_retrieval_v1.0", "rag_retrieval_v1.1"
	for _, c := range []struct {
		name    string
		entries string
		for_    string
		at      string
		default_, tighten,
		gpc string
		want Reason
	}{
		// Each reason by itself.
		{name: "a purpose the policy does not know", for_: "profiling", want: ReasonPurposeUnknown},
		{name: "nobody said anything", want: ReasonNoRecord},
		{name: "a grant", entries: "1 granted " + rag11, want: ReasonGranted},
		{name: "a grant of an accepted earlier version", entries: "1 granted " + rag, want: ReasonGranted},
		{name: "a grant of a version that no longer counts", for_: "billing", entries: "1 granted billing_v1.0", want: ReasonStaleVersion},
		{name: "a denial", entries: "1 denied " + rag11, want: ReasonDenied},
		{name: "a revocation", entries: "1 granted " + rag11 + "; 2 revoked " + rag11, want: ReasonRevoked},
		{name: "an objection", entries: "1 objected " + rag11, want: ReasonObjection},
		{name: "a restriction", entries: "1 granted " + rag11 + "; 2 restricted " + rag11, want: ReasonRestricted},
		{name: "an erasure", entries: "1 granted " + rag11 + "; 2 erased", want: ReasonSuppressed},
		{name: "expired by its own expiry", entries: "1 granted " + rag11 + " expires=9", want: ReasonExpired},
		{name: "silence where the law is opt-out", default_: "US-CA", want: ReasonDefaultAllow},
		{name: "silence on another basis than consent", for_: "billing", default_: "DE", want: ReasonDefaultAllow},
		{name: "GPC where it denies", default_: "US-CA", gpc: "1", want: ReasonGPC},

		// Precedence: what stands earlier in the list wins.
		{name: "suppressed before restricted", entries: "1 restricted " + rag + "; 2 erased", want: ReasonSuppressed},
		{name: "restricted before revoked", entries: "1 restricted " + rag + "; 2 revoked " + rag, want: ReasonRestricted},
		{name: "refusal before GPC", entries: "1 revoked " + rag, default_: "US-CA", gpc: "1", want: ReasonRevoked},
		{name: "GPC before a grant", entries: "1 granted " + rag11, default_: "US-CA", gpc: "1", want: ReasonGPC},
		{name: "GPC says nothing where it does not deny", entries: "1 granted " + rag11, default_: "DE", gpc: "1", want: ReasonGranted},
		{name: "grant before default_allow", entries: "1 granted " + rag11, default_: "US-CA", want: ReasonGranted},
		{name: "default_allow before expired", entries: "1 granted " + rag11 + " expires=9", default_: "US-CA", want: ReasonDefaultAllow},
		{name: "expired before stale_version", for_: "billing", entries: "1 granted billing_v1.0; 2 granted billing_v2.0 expires=3", want: ReasonExpired},

		// Order.
		{name: "revoke, grant, revoke are three entries", entries: "1 revoked " + rag + "; 2 granted " + rag11 + "; 3 revoked " + rag, want: ReasonRevoked},
		{name: "a later grant ends a refusal", entries: "1 revoked " + rag + "; 2 granted " + rag11, want: ReasonGranted},
		{name: "a refusal of an old version refuses them all", entries: "1 granted " + rag11 + "; 2 revoked " + rag, want: ReasonRevoked},
		{name: "a late grant changes nothing", entries: "5 revoked " + rag + "; 6 granted " + rag11 + " acted=4", want: ReasonRevoked},
		{name: "a grant at the very time of the refusal is late", entries: "6 revoked " + rag + " acted=5; 7 granted " + rag11 + " acted=5", want: ReasonRevoked},
		{name: "a grant with a later time counts", entries: "6 revoked " + rag + " acted=4; 7 granted " + rag11 + " acted=5", want: ReasonGranted},
		{name: "a grant without a time is ordered by position", entries: "6 revoked " + rag + " acted=6; 7 granted " + rag11, want: ReasonGranted},
		{name: "late against the newest refusal, not the last recorded", entries: "6 revoked " + rag + " acted=6; 7 denied " + rag + " acted=2; 8 granted " + rag11 + " acted=4", want: ReasonDenied},
		{name: "a late refusal still refuses", entries: "5 granted " + rag11 + " acted=5; 6 revoked " + rag + " acted=1", want: ReasonRevoked},
		{name: "a replayed old grant after a refusal and a grant stays harmless", entries: "1 granted " + rag11 + " acted=1; 5 revoked " + rag + "; 6 granted " + rag11 + " acted=1", want: ReasonRevoked},
		{name: "unrestricted lifts restricted", entries: "1 granted " + rag11 + "; 2 restricted " + rag + "; 3 unrestricted " + rag, want: ReasonGranted},
		{name: "a grant does not lift a restriction", entries: "2 restricted " + rag + "; 3 granted " + rag11, want: ReasonRestricted},
		{name: "a late unrestricted changes nothing", entries: "5 restricted " + rag + "; 6 unrestricted " + rag + " acted=4", want: ReasonRestricted},
		{name: "an older restriction that comes later does not lower the bar", entries: "5 restricted " + rag + " acted=4; 6 restricted " + rag11 + " acted=2; 7 unrestricted " + rag + " acted=3", want: ReasonRestricted},
		{name: "unrestricted grants nothing", entries: "1 unrestricted " + rag, want: ReasonNoRecord},
		{name: "a late grant after an erasure", entries: "1 granted " + rag11 + "; 5 erased; 6 granted " + rag11 + " acted=4", want: ReasonSuppressed},
		{name: "a later grant brings a person back", entries: "1 granted " + rag11 + "; 5 erased; 6 granted " + rag11, want: ReasonGranted},
		{name: "back for one purpose is not back for another", for_: "billing", entries: "5 erased; 6 granted " + rag11, default_: "DE", want: ReasonSuppressed},

		// After a refusal only a counting, unexpired grant permits.
		{name: "never default_allow after a refusal", entries: "1 revoked " + rag + "; 2 granted " + rag11 + " expires=3", default_: "US-CA", want: ReasonExpired},
		{name: "never default_allow after a refusal, stale", for_: "billing", entries: "1 objected billing_v1.0; 2 granted billing_v1.0", default_: "DE", want: ReasonStaleVersion},
		{name: "never default_allow after an erasure and an expired grant", entries: "1 erased; 2 granted " + rag11 + " expires=3", default_: "US-CA", want: ReasonExpired},
		{name: "an objection where the basis is a contract", for_: "billing", entries: "1 objected billing_v2.0", default_: "DE", want: ReasonObjection},

		// Expiry.
		{name: "unexpired until its last nanosecond", entries: "1 granted " + rag11 + " expires=10.5", want: ReasonGranted},
		{name: "expired at its very moment", entries: "1 granted " + rag11 + " expires=10", want: ReasonExpired},
		{name: "expired by its type's validity", for_: "embedding", entries: "5 granted embedding_v1.0", want: ReasonExpired},
		{name: "valid within its type's validity", for_: "embedding", entries: "5.1 granted embedding_v1.0", want: ReasonGranted},
		{name: "validity counts from when the person acted", for_: "embedding", entries: "6 granted embedding_v1.0 acted=4", want: ReasonExpired},
		{name: "a renewed grant", for_: "embedding", entries: "1 granted embedding_v1.0; 6 granted embedding_v1.0", want: ReasonGranted},
		{name: "expired by the law's validity", entries: "6 granted " + rag11 + " in=IT", want: ReasonExpired},
		{name: "an older version's longer grant counts", entries: "1 granted " + rag + "; 2 granted " + rag11 + " expires=3", want: ReasonGranted},

		// Jurisdictions.
		{name: "unknown jurisdiction is opt-in", default_: "JP", want: ReasonNoRecord},
		{name: "a country without its subdivision", default_: "US", want: ReasonNoRecord},
		{name: "a subdivision falls back to its country", for_: "billing", default_: "DE-BY", want: ReasonDefaultAllow},
		{name: "the person's own before the collection's", for_: "billing", entries: "1 unrestricted billing_v2.0 in=US-CA", default_: "DE", want: ReasonNoRecord},
		{name: "the newest recorded is the person's", entries: "1 unrestricted " + rag + " in=DE; 2 unrestricted " + rag + " in=US-CA", want: ReasonDefaultAllow},
		{name: "a late grant does not move a person", entries: "5 restricted " + rag + " in=DE; 5 unrestricted " + rag + "; 6 revoked billing_v2.0; 7 granted billing_v2.0 acted=1 in=US-CA", want: ReasonNoRecord},
		{name: "a request may tighten", default_: "US-CA", tighten: "DE", want: ReasonNoRecord},
		{name: "a request cannot loosen", default_: "DE", tighten: "US-CA", want: ReasonNoRecord},
		{name: "tightened by validity", entries: "6 granted " + rag11, default_: "DE", tighten: "IT", want: ReasonExpired},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := testRules(t)
			q := Question{
				Purpose: "rag_retrieval", Default: Jurisdiction(c.default_), Tighten: Jurisdiction(c.tighten),
				Signals: Signals{GPC: c.gpc != ""}, Now: minute("10"),
			}
			if c.for_ != "" {
				q.Purpose = c.for_
			}
			if c.at != "" {
				q.Now = minute(c.at)
			}
			got := r.decide(fold(t, r, c.entries), q)
			if got.Reason != c.want {
				t.Errorf("reason %q, want %q", got.Reason, c.want)
			}
			allows := c.want == ReasonGranted || c.want == ReasonDefaultAllow
			if got.Allowed != allows {
				t.Errorf("allowed %v with reason %q", got.Allowed, got.Reason)
			}
		})
	}
}

func TestDecisionWithoutPolicy(t *testing.T) {
	d := (&rules{registry: newRegistry()}).decide(nil, Question{Purpose: "rag_retrieval"})
	if d.Allowed || d.Reason != ReasonPolicyUnknown {
		t.Errorf("got %+v, want policy_unknown", d)
	}
}

func TestBuiltinPolicy(t *testing.T) {
	p := Builtin()
	for _, purpose := range []string{"rag_retrieval", "embedding", "model_training", "evaluation"} {
		for j, want := range map[Jurisdiction]Mode{"DE": OptIn, "GB": OptIn, "NO": OptIn, "US-CA": OptOut, "US": OptIn, "JP": OptIn, "": OptIn} {
			if got := p.rule(purpose, j).Mode; got != want {
				t.Errorf("%s in %q: %s, want %s", purpose, j, got, want)
			}
		}
	}
}

// People of a document: verdicts written a (allow), b (block), s (silent, or
// no grant), e (erased).
func TestRule(t *testing.T) {
	letters := map[rune]Verdict{'a': Allow, 'b': Block, 's': 0, 'e': Block | Erased}
	verdicts := func(s string) (out []Verdict) {
		for _, c := range s {
			out = append(out, letters[c])
		}
		return out
	}
	for _, c := range []struct {
		owners, mentions string
		joint            Joint
		policy           MentionPolicy
		want             bool
	}{
		{"", "", AllOwners, RefusalBlocks, false}, // nobody's is not everybody's
		{"", "a", AnyOwner, RefusalBlocks, false},
		{"a", "", AllOwners, RefusalBlocks, true},
		{"s", "", AllOwners, RefusalBlocks, false},
		{"b", "", AllOwners, RefusalBlocks, false},
		{"aa", "", AllOwners, RefusalBlocks, true},
		{"as", "", AllOwners, RefusalBlocks, false},
		{"ab", "", AllOwners, RefusalBlocks, false},
		{"ab", "", AnyOwner, RefusalBlocks, true},
		{"ae", "", AnyOwner, RefusalBlocks, false}, // erased is not outvoted
		{"ss", "", AnyOwner, RefusalBlocks, false},
		{"a", "s", AllOwners, RefusalBlocks, true}, // silence of the mentioned
		{"a", "b", AllOwners, RefusalBlocks, false},
		{"a", "e", AnyOwner, RefusalBlocks, false},
		{"a", "ab", AllOwners, RefusalBlocks, false},
		{"a", "s", AllOwners, MustPermit, false},
		{"a", "a", AllOwners, MustPermit, true},
	} {
		r := Rule{Joint: c.joint, Mentions: c.policy}
		if got := r.Permits(verdicts(c.owners), verdicts(c.mentions)); got != c.want {
			t.Errorf("owners %q mentions %q joint %d mentions %d: %v, want %v", c.owners, c.mentions, c.joint, c.policy, got, c.want)
		}
	}
}

func TestSubjectNeverPrints(t *testing.T) {
	s, err := ParseSubject("user:canary-ada")
	if err != nil {
		t.Fatal(err)
	}
	type inner struct{ who Subject }
	type outer struct {
		in  inner
		ptr *inner
		all map[string]Subject
	}
	v := outer{inner{s}, &inner{s}, map[string]Subject{"k": s}}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		if out := fmt.Sprintf(verb, v) + fmt.Sprintf(verb, s) + fmt.Sprintf(verb, v.ptr); strings.Contains(out, "canary") || strings.Contains(out, "63616e617279") {
			t.Errorf("%s prints the identifier", verb)
		}
	}
}

func TestParseSubject(t *testing.T) {
	for in, want := range map[string]string{
		"ada": "user:ada", "user:ada": "user:ada", "email:Ada@Example.ORG": "email:ada@example.org",
		"User:ada": "user:User:ada", ":ada": "user::ada", "a b": "user:a b", " ada": "user: ada",
		"Perlis, A. J.": "user:Perlis, A. J.", "e\u0301": "user:\u00e9", "x-1_y:z": "x-1_y:z",
		"": "", "user:": "", "a\x00b": "", "a\nb": "", "\xff": "", "a\u0085b": "",
		strings.Repeat("a", 507): "user:" + strings.Repeat("a", 507), strings.Repeat("a", 508): "",
	} {
		got, err := ParseSubject(in)
		if (err != nil) != (want == "") || got.Reveal() != want {
			t.Errorf("ParseSubject(%q) = %q, %v; want %q", in, got.Reveal(), err, want)
		}
	}
}

func TestParseType(t *testing.T) {
	for in, want := range map[string]string{
		"rag_retrieval_v1.0": "rag_retrieval_v1.0", "RAG_Retrieval_V2": "rag_retrieval_v2.0", "x_v0": "x_v0.0",
		"a_v1_v2.3": "a_v1_v2.3", "rag": "", "_v1.0": "", "rag_v": "", "rag_v1.": "", "rag_v01": "", "rag_v1.0.0": "",
		"rag_v70000": "", "1rag_v1": "", "rag-x_v1": "", "rag_v+1": "", "rag_v1.-1": "",
	} {
		got, err := ParseType(in)
		if (err != nil) != (want == "") || err == nil && got.String() != want {
			t.Errorf("ParseType(%q) = %v, %v; want %q", in, got, err, want)
		}
	}
}
