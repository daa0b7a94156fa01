package seal

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

// leaks tells whether text shows the key in any of the ways that fmt, slog
// and json write bytes.
func leaks(text string, k Key) bool {
	lower := strings.ToLower(text)
	for _, form := range []string{
		string(k[:8]), hex.EncodeToString(k[:8]),
		strings.Trim(fmt.Sprint(k[:8]), "[]"),                                             // 1 2 3
		strings.ReplaceAll(strings.Trim(fmt.Sprint(k[:8]), "[]"), " ", ","),               // 1,2,3
		strings.TrimSuffix(strings.TrimPrefix(fmt.Sprintf("%#v", k[:8]), "[]byte{"), "}"), // 0x1, 0x2
		strings.Trim(fmt.Sprintf("%o", k[:8]), "[]"),
		strings.Trim(fmt.Sprintf("%b", k[:8]), "[]"),
	} {
		if strings.Contains(lower, strings.ToLower(form)) {
			return true
		}
	}
	return false
}

type nested struct {
	Name string
	Held held
}

type held struct {
	Exported Key
	hidden   func() Key
	keys     map[string]func() Key
	anyKey   any
}

func TestKeyNeverPrints(t *testing.T) {
	t.Parallel()
	k := Key([]byte("seventhirtytwoletterslongsecret!"))
	inside := held{Exported: k, hidden: Hold(k), keys: map[string]func() Key{"a": Hold(k)}, anyKey: Hold(k)}
	holders := map[string]any{
		"key": k, "pointer": &k, "slice": []Key{k}, "map": map[string]Key{"a": k},
		"map key": map[Key]int{k: 1}, "held": inside, "pointer to held": &inside,
		"nested": nested{"n", inside}, "nil pointer": (*Key)(nil),
		"error": fmt.Errorf("with %v: %w", k, errors.ErrUnsupported),
	}
	verbs := []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "% x", "%#x", "%d", "%o", "%b", "%c", "%U", "%t", "%e", "%!"}
	for name, holder := range holders {
		for _, verb := range verbs {
			if got := fmt.Sprintf(verb, holder); leaks(got, k) {
				t.Errorf("%s under %s: %s", name, verb, got)
			}
		}
		for _, handler := range []func(*bytes.Buffer) slog.Handler{
			func(w *bytes.Buffer) slog.Handler { return slog.NewTextHandler(w, nil) },
			func(w *bytes.Buffer) slog.Handler { return slog.NewJSONHandler(w, nil) },
		} {
			var w bytes.Buffer
			slog.New(handler(&w)).Info("message", "attribute", holder)
			if leaks(w.String(), k) {
				t.Errorf("%s in a log: %s", name, w.String())
			}
		}
		if got, err := json.Marshal(holder); err == nil && leaks(string(got), k) {
			t.Errorf("%s in json: %s", name, got)
		}
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x"} {
		if got := fmt.Sprintf(verb, k); got != redacted {
			t.Errorf("%s prints %q", verb, got)
		}
	}
	if Hold(k)() != k {
		t.Error("Hold returns another key")
	}

	// The limits that the comment of Key names, and the reason for Hold. If fmt
	// ever calls methods there, these fail and Hold can go.
	for verb, holder := range map[string]any{
		"%v": struct{ k Key }{k}, "%s": struct{ k *Key }{&k}, "%p": k,
	} {
		if got := fmt.Sprintf(verb, holder); !leaks(got, k) {
			t.Errorf("%T under %s is redacted after all: %s", holder, verb, got)
		}
	}
}

func TestZeroClears(t *testing.T) {
	t.Parallel()
	k := NewKey()
	if k.IsZero() || k == NewKey() {
		t.Fatal("NewKey is not random")
	}
	if k.Zero(); !k.IsZero() || k != (Key{}) {
		t.Fatal("Zero left something")
	}
	if !(Ref{Slot: 4}).IsZero() || (Ref{ID: [16]byte{15: 1}}).IsZero() {
		t.Fatal("Ref.IsZero looks at the wrong field")
	}
}
