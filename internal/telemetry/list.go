package telemetry

import (
	"strconv"

	"go.opentelemetry.io/otel/attribute"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/internal/broker"
	"github.com/assent-gateway/assent/retrieval"
)

// A label is an attribute key with all the words it may hold. To add to the
// list is to decide that none of them can say anything of a person.
type label struct {
	key   attribute.Key
	words map[string]attribute.KeyValue
	other attribute.KeyValue
}

func newLabel(key string, words ...string) label {
	l := label{key: attribute.Key(key), words: map[string]attribute.KeyValue{}, other: attribute.String(key, other)}
	for _, w := range words {
		l.words[w] = attribute.String(key, w)
	}
	return l
}

// other stands for every word that is not on the list.
const other = "other"

// of is the one way to an attribute.
func (l label) of(word string) attribute.KeyValue {
	if kv, ok := l.words[word]; ok {
		return kv
	}
	return l.other
}

// Steps are the names of spans, and the values of the label "step".
const (
	stepPermit     = "permit"
	stepHead       = "head_read"
	stepAppend     = "ledger_append"
	stepJournal    = "journal"
	stepCheckpoint = "checkpoint"
	stepSearch     = "search"
	stepEmbed      = "embed"
	stepIndex      = "index"
	stepGate       = "second_gate"
	stepIngest     = "ingest"
	stepApply      = "apply"
	spanRequest    = "request"
)

var steps = []string{
	stepPermit, stepHead, stepAppend, stepJournal, stepCheckpoint,
	stepSearch, stepEmbed, stepIndex, stepGate, stepIngest, stepApply,
}

// Outcomes of a step.
const (
	outcomeOK          = "ok"
	outcomeCanceled    = "canceled"
	outcomeUnavailable = "unavailable" // the ledger or another dependency
	outcomeError       = "error"       // anything else, a caller's mistake included
)

// list is every label there is.
type list struct {
	step, outcome, reason, dropped, mode, completeness, status label
	kind, used                                                 label
	method, route, code                                        label
	broker, direction, fate                                    label
}

func newList(routes []string) list {
	l := list{
		step:    newLabel("step", steps...),
		outcome: newLabel("outcome", outcomeOK, outcomeCanceled, outcomeUnavailable, outcomeError),
		reason: newLabel("reason", words(
			consent.ReasonUnavailable, consent.ReasonUnresolved, consent.ReasonPurposeUnknown, consent.ReasonPolicyUnknown,
			consent.ReasonSuppressed, consent.ReasonRestricted, consent.ReasonDenied, consent.ReasonRevoked, consent.ReasonObjection,
			consent.ReasonGPC, consent.ReasonGranted, consent.ReasonDefaultAllow, consent.ReasonExpired, consent.ReasonStaleVersion,
			consent.ReasonNoRecord)...),
		dropped:      newLabel("cause", "collection", "retention", "seal", "visibility", "filter", "consent", "body", "tenant", "absent", "foreign", "gone", "hidden", "canary"),
		mode:         newLabel("mode", "vector", "keyword", "hybrid"),
		completeness: newLabel("completeness", words(retrieval.Complete, retrieval.Short, retrieval.Degraded)...),
		status:       newLabel("status", words(retrieval.Stored, retrieval.Unchanged, retrieval.Refused, retrieval.InvalidDoc)...),
		method:       newLabel("method", "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "CONNECT", "OPTIONS", "TRACE"),
		route:        newLabel("route", append([]string{"unmatched"}, routes...)...),
		code:         newLabel("code"),
		broker:       newLabel("broker", "kafka", "amqp"),
		direction:    newLabel("direction", words(broker.In, broker.Out)...),
		fate:         newLabel("fate", fates...),
		kind: newLabel("kind", "index_entry", "row_without_key", "key_without_row", "part_without_row", "file_without_row",
			"probe_without_erasure", "object_without_row"),
		used: newLabel("used", "50", "80", "100"),
	}
	for code := 100; code < 600; code++ {
		s := strconv.Itoa(code)
		l.code.words[s] = attribute.String("code", s)
	}
	return l
}

func words[S ~string](of ...S) []string {
	out := make([]string, len(of))
	for i, w := range of {
		out[i] = string(w)
	}
	return out
}

// labels by key, for the second gate.
func (l list) labels() map[attribute.Key]label {
	out := map[attribute.Key]label{}
	for _, one := range []label{l.step, l.outcome, l.reason, l.dropped, l.mode, l.completeness, l.status, l.method, l.route, l.code, l.broker, l.direction, l.fate, l.kind, l.used} {
		out[one.key] = one
	}
	return out
}

// admit reports whether an attribute is on the list, key and word.
func (l list) admit(labels map[attribute.Key]label, kv attribute.KeyValue) bool {
	one, ok := labels[kv.Key]
	if !ok || kv.Value.Type() != attribute.STRING {
		return false
	}
	word := kv.Value.AsString()
	_, known := one.words[word]
	return known || word == other
}
