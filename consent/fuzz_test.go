package consent

import (
	"encoding/json"
	"testing"
)

// FuzzParsePolicy: what is taken for a policy decides every question without
// failing, denies those it says nothing about, and says the same after a round
// trip; its bytes are what its digest covers.
func FuzzParsePolicy(f *testing.F) {
	f.Add(builtin)
	f.Add([]byte(`{"version":1,"name":"x","purposes":{"embedding":{"title":"i"}},"consent_types":[{"type":"embedding_v1.0","text":"t","language":"en","validity":"P1Y"}],
		"frameworks":{"f":{"jurisdictions":["DE","US-CA"],"default":{"mode":"opt_out","lawful_basis":"b","validity":"8760h","signals":["gpc"]},"purposes":{"embedding":{"mode":"opt_in","lawful_basis":"c"}},"deadlines":{"erasure":"30d"}}}}`))
	f.Add([]byte(`{"version":-1}`))
	f.Add([]byte(`null`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		p, err := ParsePolicy(raw)
		if err != nil {
			if p != nil {
				t.Fatal("a policy beside an error")
			}
			return
		}
		same, err := ParsePolicy(p.raw)
		if err != nil || same.Digest() != p.Digest() || string(p.raw) != string(raw) {
			t.Fatalf("its own bytes are another policy: %v", err)
		}
		again, err := json.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		round, err := ParsePolicy(again)
		if err != nil {
			if len(again) > MaxPolicy {
				return
			}
			t.Fatalf("not taken after a round trip: %v", err)
		}
		a, b := &rules{policy: p, registry: newRegistry()}, &rules{policy: round, registry: newRegistry()}
		for _, j := range []Jurisdiction{"", "DE", "US-CA", "US", "ZZ", "AQ"} {
			for _, purpose := range []string{Embedding, "rag_retrieval", "nobody_knows"} {
				q := Question{Purpose: purpose, Default: j, Signals: Signals{GPC: true}, Now: 1}
				d := a.decide(nil, q)
				if d != b.decide(nil, q) {
					t.Errorf("%s in %q is decided otherwise after a round trip", purpose, j)
				}
				_, declared := p.Purposes[purpose]
				covered := p.where[j] != "" || len(j) == 5 && p.where[j[:2]] != ""
				if d.Allowed && (!declared || !covered || d.Reason != ReasonDefaultAllow) {
					t.Errorf("%s in %q is allowed: %+v", purpose, j, d)
				}
				if strict := a.decide(nil, Question{Purpose: purpose, Default: j, Tighten: "DE", Now: 1}); strict.Allowed && !a.decide(nil, Question{Purpose: purpose, Default: "DE", Now: 1}).Allowed {
					t.Errorf("%s in %q, tightened, is wider", purpose, j)
				}
			}
		}
	})
}
