package httpapi

import (
	"context"
	"errors"
	"net/http"
	"strconv"

	"github.com/gin-gonic/gin"
	"github.com/go-json-experiment/json"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/erasure"
	"github.com/assent-gateway/assent/internal/credential"
	"github.com/assent-gateway/assent/internal/events"
	"github.com/assent-gateway/assent/internal/translog"
	"github.com/assent-gateway/assent/retrieval"
	"github.com/assent-gateway/assent/training"
)

// A problem is an error as a client sees it (RFC 9457). All of its texts are
// constants; Field is a name of ours or of a header.
type problem struct {
	Type   string `json:"type"` // "urn:assent:problem:" and Code
	Title  string `json:"title"`
	Status int    `json:"status"`
	Code   string `json:"code"` // stable; what a client switches on
	Detail string `json:"detail,omitempty"`
	Field  string `json:"field,omitempty"`

	retryAfter int // seconds; 0: no header
}

func (p *problem) Error() string { return "httpapi: " + p.Code }

func newProblem(status int, code, title string) *problem {
	return &problem{Type: "urn:assent:problem:" + code, Title: title, Status: status, Code: code}
}

// Problems that arise here.
var (
	errNoRoute    = newProblem(http.StatusNotFound, "not_found", "There is nothing here, or nothing you may see")
	errNoMethod   = newProblem(http.StatusMethodNotAllowed, "method_not_allowed", "The method is not one of those in Allow")
	errScope      = newProblem(http.StatusForbidden, "scope_missing", "The key lacks the scope this needs")
	errNamespace  = newProblem(http.StatusForbidden, "namespace_not_permitted", "The key may not speak for principals of that namespace")
	errTooLarge   = newProblem(http.StatusRequestEntityTooLarge, "too_large", "The body is larger than 8 MiB")
	errMediaType  = newProblem(http.StatusUnsupportedMediaType, "unsupported_media_type", "The body is not of a type this route takes")
	errInput      = newProblem(http.StatusBadRequest, "invalid_input", "The request is not valid")
	errInternal   = newProblem(http.StatusInternalServerError, "internal", "Something went wrong here")
	errLedger     = newProblem(http.StatusServiceUnavailable, "ledger_unavailable", "The consent ledger cannot be asked, so nothing is permitted")
	errDependency = newProblem(http.StatusServiceUnavailable, "dependency_unavailable", "Something the gateway needs cannot be reached")
)

// table says how errors of the domains look outside: the first that fits.
var table = []struct {
	is error
	*problem
}{
	{credential.ErrUnauthenticated, newProblem(http.StatusUnauthorized, "unauthenticated", "No valid key came with the request")},
	{credential.ErrForbidden, errScope},
	{credential.ErrNotFound, errNoRoute},
	{credential.ErrUnavailable, errDependency},
	{consent.ErrPurposeUnknown, newProblem(http.StatusForbidden, "purpose_not_permitted", "The purpose is outside the policy or the key")},
	{retrieval.ErrNotFound, errNoRoute},
	{retrieval.ErrForbidden, errScope},
	{retrieval.ErrKeyGone, errNoRoute},
	{retrieval.ErrModeUnavailable, newProblem(http.StatusBadRequest, "mode_unavailable", "The collection cannot be searched in that mode")},
	{retrieval.ErrNoRebuild, newProblem(http.StatusConflict, "no_rebuild", "The index is this gateway's own, and is never rebuilt")},
	{retrieval.ErrEmbedderMismatch, newProblem(http.StatusConflict, "embedder_mismatch", "The collection was built with another embedder")},
	{retrieval.ErrEmbedder, errDependency},
	{retrieval.ErrPosition, newProblem(http.StatusConflict, "position_not_reached", "The position asked for was not reached in time")},
	{translog.ErrPending, newProblem(http.StatusConflict, "position_not_reached", "The position asked for was not reached in time")},
	{translog.ErrNotFound, errNoRoute},
	{retrieval.ErrConflict, newProblem(http.StatusConflict, "conflict", "What is stored stands against this change")},
	{consent.ErrKeyMismatch, newProblem(http.StatusConflict, "idempotency_key_reused", "The Idempotency-Key was used with another request")},
	{consent.ErrPublished, newProblem(http.StatusConflict, "already_published", "That version is published with another content and never changes")},
	{consent.ErrSubjectExists, newProblem(http.StatusConflict, "conflict", "What is stored stands against this change")},
	{consent.ErrIdentifierTaken, newProblem(http.StatusConflict, "identifier_taken", "The identifier belongs to another person")},
	{consent.ErrErasureOpen, newProblem(http.StatusConflict, "conflict", "What is stored stands against this change")},
	{consent.ErrErasureChanged, newProblem(http.StatusConflict, "conflict", "What is stored stands against this change")},
	{erasure.ErrNotFound, errNoRoute},
	{erasure.ErrState, newProblem(http.StatusConflict, "erasure_state", "The erasure is not in a state in which that can be done")},
	{erasure.ErrSameKey, newProblem(http.StatusForbidden, "second_key_needed", "Another key than the one that asked has to decide")},
	{erasure.ErrNoReceipt, newProblem(http.StatusConflict, "receipt_not_ready", "There is no receipt yet")},
	{erasure.ErrUnavailable, errDependency},
	{erasure.ErrSignature, newProblem(http.StatusForbidden, "signature_invalid", "It is not signed by the key that is registered")},
	{events.ErrUnavailable, errDependency},
	{consent.ErrUnknownTenant, errLedger},
	{training.ErrNotFound, errNoRoute},
	{training.ErrNotReady, newProblem(http.StatusConflict, "manifest_not_ready", "The manifest is being built, or its build failed")},
	{training.ErrStale, newProblem(http.StatusConflict, "manifest_stale", "The manifest holds rows of people who no longer permit")},
	{training.ErrExpired, newProblem(http.StatusConflict, "manifest_expired", "The manifest's lease has ended")},
	{training.ErrErased, newProblem(http.StatusGone, "manifest_erased", "The manifest holds rows of an erased person, or its files are gone")},
	{training.ErrConflict, newProblem(http.StatusConflict, "conflict", "What is stored stands against this change")},
	{training.ErrElsewhere, newProblem(http.StatusServiceUnavailable, "manifest_elsewhere", "Another gateway keeps the files of the manifest: ask that one")},
}

// problemOf returns what a client is told of an error.
func problemOf(err error) problem {
	var own *problem
	if errors.As(err, &own) {
		return *own
	}
	if field, reason, ok := inputError(err); ok {
		p := *errInput
		p.Field, p.Detail = field, reason
		return p
	}
	var size *http.MaxBytesError
	if errors.As(err, &size) {
		return *errTooLarge
	}
	for _, row := range table {
		if errors.Is(err, row.is) {
			return row.more(err)
		}
	}
	if errors.Is(err, consent.ErrUnavailable) {
		p := *errLedger
		p.Detail, p.retryAfter = consent.Why(err), 1
		return p
	}
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return errDependency.more(err)
	}
	return *errInternal
}

// more adds what comes with a status.
func (p *problem) more(error) problem {
	out := *p
	if p.Status == http.StatusServiceUnavailable || p.Code == "position_not_reached" {
		out.retryAfter = 1
	}
	if p.Code == "mode_unavailable" {
		out.Field = "mode"
	}
	return out
}

// inputError returns field and reason of a domain's input error.
func inputError(err error) (field, reason string, ok bool) {
	var r *retrieval.InputError
	var l *consent.InputError
	var k *credential.InputError
	var m *training.InputError
	var e *erasure.InputError
	var p *events.InputError
	switch {
	case errors.As(err, &r):
		return r.Field, r.Reason, true
	case errors.As(err, &l):
		return l.Field, l.Reason, true
	case errors.As(err, &k):
		return k.Field, k.Reason, true
	case errors.As(err, &m):
		return m.Field, m.Reason, true
	case errors.As(err, &e):
		return e.Field, e.Reason, true
	case errors.As(err, &p):
		return p.Field, p.Reason, true
	}
	return "", "", false
}

// outage reports whether an adapter failed, rather than we.
func (a *api) outage(err error) bool {
	for _, o := range a.Outages {
		if errors.Is(err, o) {
			return true
		}
	}
	return false
}

// fail answers with a problem. What the client is not told of a failure of
// ours, the log is, by kind.
func (a *api) fail(w gin.ResponseWriter, err error) {
	p := problemOf(err)
	if p.Status == http.StatusInternalServerError && a.outage(err) {
		p = errDependency.more(err)
	}
	if p.Status >= 500 && !errors.Is(err, context.Canceled) { // a client that went away is no failure
		a.Log.Error("request failed", "status", p.Status, "code", p.Code, "error", err)
	}
	if w.Written() {
		panic(http.ErrAbortHandler) // part of an answer is out: cut it, so that it does not look whole
	}
	h := w.Header()
	h.Set("Content-Type", "application/problem+json")
	if p.Status == http.StatusUnauthorized {
		h.Set("WWW-Authenticate", `Bearer realm="assent"`)
	}
	if p.retryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(p.retryAfter))
	}
	body, err := json.Marshal(p)
	if err != nil {
		body = []byte(`{}`) // constants always encode
	}
	w.WriteHeader(p.Status)
	w.Write(append(body, '\n'))
}
