package retrieval

import (
	"testing"

	"github.com/assent-gateway/assent/consent"
)

// Names are found in every letter case and form, as whole words only.
func TestNamesAreCutOut(t *testing.T) {
	t.Parallel()
	n := NamesOf([]consent.Subject{subject(t, "user:ada"), subject(t, "email:Ada@Example.org"), subject(t, "user:zoë"), subject(t, "user:strauß"), subject(t, "tel:+49 30 1234"), subject(t, "user:王伟"), subject(t, "user:김철수"), subject(t, "user:สม")})
	for text, want := range map[string]string{
		"":                                   "",
		"Nobody is here.":                    "Nobody is here.",
		"Ada wrote.":                         "[redacted] wrote.",
		"ask ada":                            "ask [redacted]",
		"ADA, ada;ada":                       "[redacted], [redacted];[redacted]",
		"Adam in Canada, ada_1, ada2":        "Adam in Canada, ada_1, ada2",
		"from ada@example.ORG to x":          "from [redacted] to x",
		"mailto:ada@example.org?s":           "mailto:[redacted]?s",
		"Strauß, STRAUSS, strau":             "[redacted], [redacted], strau",
		"bada@example.org":                   "bada@example.org",
		"user:ada and email:ada@example.org": "[redacted] and [redacted]",
		"Zoë is ZOE\u0308, not zoe":          "[redacted] is [redacted], not zoe",
		"call +49 30 1234 or +49 30 12345":   "call [redacted] or +49 30 12345",
		"ada's \u00e9ada ada\u0301":          "[redacted]'s \u00e9ada ada\u0301",
		"\xff ada":                           "\xff [redacted]",
		"我叫王伟。":                              "我叫[redacted]。",
		"김철수가 왔다":                            "[redacted]가 왔다",
		"ask王伟1":                             "ask[redacted]1",
		"กสมก สมัก":                          "ก[redacted]ก สมัก",
	} {
		got, changed := n.Cut(text)
		if got != want || changed != (text != want) || n.In(text) != changed {
			t.Errorf("%q: %q, changed %v, found %v; want %q", text, got, changed, n.In(text), want)
		}
	}
	m := n.metadata(map[string]Value{
		"ada": IntValue(1), "by": StringValue("Ada"), "list": ListValue(StringValue("ada"), StringValue("bob")), "n": IntValue(7), "b": BoolValue(true),
	})
	if len(m) != 4 || m["by"].Text() != RedactionMark || m["list"].At(0).Text() != RedactionMark || m["list"].At(1).Text() != "bob" {
		t.Errorf("metadata: %v", m)
	}
	if m := NamesOf([]consent.Subject{subject(t, "user:42")}).metadata(map[string]Value{"id": IntValue(42), "year": IntValue(2042)}); len(m) != 1 {
		t.Errorf("a number that is a name stays: %v", m)
	}
	v := n.visibility(Visibility{Listed, []consent.Subject{subject(t, "user:ada"), subject(t, "user:bob")}, []string{"staff", "team ada"}})
	if len(v.Users) != 1 || len(v.Groups) != 1 {
		t.Errorf("visibility: %v", v)
	}
}
