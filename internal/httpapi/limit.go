package httpapi

import (
	"math"
	"net/http"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// Shares of the limit of a key.
const (
	burstSeconds = 2  // what a key that was silent may ask at once
	oracleShare  = 10 // one in so many, for what answers yes or no about what is hidden
	maxLimiters  = 4096
)

// oracles are routes whose answers, asked often enough, tell whether something
// that is hidden is there, or what somebody said.
var oracles = map[string]bool{
	"POST /v1/passages/check":              true,
	"GET /v1/collections/:c/documents/:id": true,
	"POST /v1/consent/decide":              true,
	"POST /consent/decide":                 true,
}

// limiter is a token bucket per API key, and a smaller one for oracles. It is
// this gateway's alone: behind n gateways a key gets n times as much.
type limiter struct {
	perSecond float64
	now       func() time.Time

	mu   sync.Mutex
	keys map[string]*buckets
}

type buckets struct{ all, oracle *rate.Limiter }

// newLimiter; 0 requests a second are no limit.
func newLimiter(perSecond float64, now func() time.Time) *limiter {
	if perSecond <= 0 {
		return nil
	}
	return &limiter{perSecond: perSecond, now: now, keys: map[string]*buckets{}}
}

func bucket(perSecond float64) *rate.Limiter {
	return rate.NewLimiter(rate.Limit(perSecond), max(1, int(burstSeconds*perSecond)))
}

// take lets a request pass, or says after how long the next may.
func (l *limiter) take(key string, oracle bool) (wait time.Duration) {
	if l == nil {
		return 0
	}
	now := l.now()
	l.mu.Lock()
	defer l.mu.Unlock()
	b := l.keys[key]
	if b == nil {
		l.sweep(now)
		b = &buckets{bucket(l.perSecond), bucket(l.perSecond / oracleShare)}
		l.keys[key] = b
	}
	if oracle {
		if wait := spend(b.oracle, now); wait > 0 {
			return wait
		}
	}
	return spend(b.all, now)
}

// spend takes one token, or none and says when there is one.
func spend(b *rate.Limiter, now time.Time) time.Duration {
	r := b.ReserveN(now, 1)
	wait := r.DelayFrom(now)
	if wait > 0 {
		r.CancelAt(now)
	}
	return wait
}

// sweep forgets keys whose buckets are full: new ones are the same.
func (l *limiter) sweep(now time.Time) {
	if len(l.keys) < maxLimiters {
		return
	}
	for key, b := range l.keys {
		if b.all.TokensAt(now) >= float64(b.all.Burst()) && b.oracle.TokensAt(now) >= float64(b.oracle.Burst()) {
			delete(l.keys, key)
		}
	}
}

var errLimited = newProblem(http.StatusTooManyRequests, "rate_limited", "The key asks more often than it may")

// limit counts a request against its key; before scope and body are looked at.
func (c *call) limit() error {
	wait := c.limiter.take(c.key.ID, oracles[c.route.method+" "+c.route.path])
	if wait == 0 {
		return nil
	}
	c.Observer.Limited(c.route.path)
	p := *errLimited
	p.retryAfter = int(math.Ceil(wait.Seconds()))
	return &p
}
