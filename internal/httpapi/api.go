package httpapi

import (
	"log/slog"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"
)

// api is what handlers share.
type api struct {
	Deps
	locks   keyLocks
	limiter *limiter
}

// New returns the gateway's HTTP interface.
func New(d Deps) http.Handler { return engine(d) }

func engine(d Deps) *gin.Engine {
	if d.Log == nil {
		d.Log = slog.New(slog.DiscardHandler)
	}
	// Gin knows a debug mode for the whole process, in which it prints every
	// route to the standard output; nothing else depends on it.
	if gin.Mode() == gin.DebugMode {
		gin.SetMode(gin.ReleaseMode)
	}
	if d.Observer == nil {
		d.Observer = unobserved{}
	}
	if d.Now == nil {
		d.Now = time.Now
	}
	a := &api{Deps: d, limiter: newLimiter(d.RateLimit, d.Now)}
	e := gin.New()
	e.RedirectTrailingSlash = false // a redirect repeats the path
	e.HandleMethodNotAllowed = true
	// An identifier in a path may hold an escaped slash or plus: Gin splits the
	// path as it was sent, and call.param decodes, since Gin would make a space
	// of "+".
	e.UseEscapedPath = true
	e.UnescapePathValues = false
	e.ForwardedByClientIP = false
	e.Use(a.watch)
	e.NoRoute(func(g *gin.Context) { a.fail(g.Writer, errNoRoute) })
	e.NoMethod(func(g *gin.Context) { a.fail(g.Writer, errNoMethod) })
	for _, rt := range a.routes() {
		e.Handle(rt.method, rt.path, a.serve(rt))
		if rt.method == http.MethodGet { // net/http leaves the body of its answer out
			e.Handle(http.MethodHead, rt.path, a.serve(rt))
		}
	}
	return e
}

// serve runs a route's handler behind everything that comes first.
func (a *api) serve(rt route) gin.HandlerFunc {
	return func(g *gin.Context) {
		c := &call{api: a, w: g.Writer, r: g.Request, params: g.Params, route: rt}
		if err := c.run(); err != nil {
			a.fail(g.Writer, err)
		}
	}
}

func (c *call) run() error {
	if c.route.need.level != public {
		if err := c.authenticate(); err != nil {
			return err
		}
		if err := c.limit(); err != nil {
			return err
		}
		if err := c.route.need.check(&c.key); err != nil {
			return err
		}
		if err := c.identify(); err != nil {
			return err
		}
		if c.Enter != nil {
			if err := c.Enter(c.ctx(), c.tenant()); err != nil {
				return err
			}
		}
	}
	if err := c.readQuery(); err != nil {
		return err
	}
	return c.route.handle(c)
}
