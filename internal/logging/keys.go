package logging

import (
	"log/slog"
	"net/http"
	"regexp"
	"slices"

	"github.com/assent-gateway/assent/consent"
)

// A shape says which values a key takes, and what is written of them.
type shape func(h *handler, v slog.Value) (slog.Value, bool)

// allowed is the list. To add to it is to decide that no value under that key
// can hold anything of a person: not an identifier, a text, a header or a query.
var allowed = map[string]shape{
	"count": number, "bytes": number, "status": number, "position": number, "corpus_position": number,
	"tenants": number, "collections": number, "documents": number, "passages": number, "dropped": number, "damaged": number,
	"entries": number, "dimensions": number, "lines": number, "attempt": number, "pid": number,

	"duration": duration, "wait": duration, "uptime": duration,

	"method": oneOf(http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch,
		http.MethodDelete, http.MethodConnect, http.MethodOptions, http.MethodTrace, "other"),
	"route": matching(`^(/[A-Za-z0-9_.:*{}/-]{0,95}|unmatched)$`),
	"code":  word, "reason": word, "step": word, "component": word, "state": word, "kind": word,
	"version":    matching(`^[A-Za-z0-9_.+-]{1,64}$`),
	"addr":       matching(`^[0-9A-Za-z.:\[\]-]{1,64}$`), // where the gateway listens, never a client
	"panic_type": matching(`^[A-Za-z0-9_.*\[\]]{1,96}$`),
	"key_id":     id, "decision_id": id, "job_id": id,

	"why":   oneOf(whys()...),
	"error": failure,
}

// whys are the reasons that the ledger gives for being closed.
func whys() []string {
	var out []string
	for _, err := range []error{
		consent.ErrUnavailable, consent.ErrBehindJournal, consent.ErrDiverged,
		consent.ErrTampered, consent.ErrJournal, consent.ErrHeadBackwards, consent.ErrReplayed,
	} {
		out = append(out, consent.Why(err))
	}
	return out
}

var (
	word = matching(`^[a-z0-9_.-]{1,64}$`)
	id   = matching(`^[A-Za-z0-9_.:-]{1,64}$`)
)

func matching(pattern string) shape {
	re := regexp.MustCompile(pattern)
	return func(_ *handler, v slog.Value) (slog.Value, bool) {
		s, ok := text(v)
		return slog.StringValue(s), ok && re.MatchString(s)
	}
}

func oneOf(words ...string) shape {
	return func(_ *handler, v slog.Value) (slog.Value, bool) {
		s, ok := text(v)
		return slog.StringValue(s), ok && slices.Contains(words, s)
	}
}

// text returns a string; values that only know how to print themselves are none.
func text(v slog.Value) (string, bool) {
	if v.Kind() != slog.KindString {
		return "", false
	}
	return v.String(), true
}

func number(_ *handler, v slog.Value) (slog.Value, bool) {
	switch v.Kind() {
	case slog.KindInt64, slog.KindUint64:
		return v, true
	}
	switch n := v.Any().(type) {
	case consent.Position:
		return slog.Uint64Value(uint64(n)), true
	}
	return v, false
}

func duration(_ *handler, v slog.Value) (slog.Value, bool) {
	return v, v.Kind() == slog.KindDuration
}
