package httpapi

import (
	"context"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/internal/credential"
	"github.com/assent-gateway/assent/retrieval"
)

// Engine is what New returns, with its routes to be read.
func Engine(d Deps) *gin.Engine { return engine(d) }

// A Line is a line of the route table.
type Line struct {
	Method, Path string
	Scope        string // as openapi.yaml's x-assent-scope
}

// Table is the route table.
func Table() []Line {
	var out []Line
	for _, r := range (&api{}).routes() {
		scope := ""
		switch r.need.level {
		case public:
			scope = "public"
		case anyKey:
			scope = "any"
		case bootstrap:
			scope = "bootstrap"
		default:
			for i, name := range r.need.anyOf.Names() {
				if i > 0 {
					scope += "|"
				}
				scope += name
			}
		}
		out = append(out, Line{r.method, r.path, scope})
	}
	return out
}

// ScopesOf are those of which a route wants one.
func ScopesOf(method, path string) (credential.Scopes, bool) {
	for _, r := range (&api{}).routes() {
		if r.method == method && r.path == path {
			return r.need.anyOf, r.need.level == scoped
		}
	}
	return 0, false
}

// Decoders, for fuzzing.
var (
	SplitDocuments = splitDocuments
	ReadSearch     = readSearch
	VectorField    = vectorField
	ParseTime      = parseTime
	Coarse         = coarse
	Decode         = decode
)

// ReadDocument reads one document.
func ReadDocument(raw []byte) retrieval.Submission { return readDocument(raw) }

// ReadConsent reads one consent entry.
func ReadConsent(raw []byte) (consent.Entry, error) { return readConsent(raw) }

// OpenAPI is the served document.
func OpenAPI() []byte { return openAPI }

// ProblemOf is what a client is told of an error.
func ProblemOf(err error) (status int, code, field string) {
	p := problemOf(err)
	return p.Status, p.Code, p.Field
}

// Locks are the locks of Idempotency-Keys.
type Locks struct{ l keyLocks }

// NewLocks returns some.
func NewLocks() *Locks { return &Locks{} }

// Lock is keyLocks.lock.
func (l *Locks) Lock(ctx context.Context, key [32]byte) (func(), error) { return l.l.lock(ctx, key) }

// Held is how many keys somebody holds or waits for.
func (l *Locks) Held() int { return len(l.l.held) }

// Limiter is the limit of keys.
type Limiter struct{ l *limiter }

// NewLimiter returns one.
func NewLimiter(perSecond float64, now func() time.Time) *Limiter {
	return &Limiter{newLimiter(perSecond, now)}
}

// Take is limiter.take.
func (l *Limiter) Take(key string, oracle bool) time.Duration { return l.l.take(key, oracle) }

// Len is how many keys are remembered.
func (l *Limiter) Len() int { return len(l.l.keys) }
