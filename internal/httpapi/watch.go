package httpapi

import (
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/gin-gonic/gin"
)

var methods = []string{
	http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch,
	http.MethodDelete, http.MethodConnect, http.MethodOptions, http.MethodTrace,
}

// watch is access log and recovery. It writes the route's template, never the
// path; no address, no header; of a panic its type, never its value. Gin's own
// print all of these.
func (a *api) watch(g *gin.Context) {
	start := time.Now()
	h := g.Writer.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	method := g.Request.Method
	if !slices.Contains(methods, method) {
		method = "other"
	}
	ctx, end := a.Observer.Request(g.Request.Context(), method, template(g))
	g.Request = g.Request.WithContext(ctx)
	defer func() {
		p := recover()
		aborted := p == http.ErrAbortHandler
		if p != nil && !aborted {
			a.Log.Error("panic", "panic_type", fmt.Sprintf("%T", p), "route", template(g))
			if aborted = g.Writer.Written(); !aborted {
				a.fail(g.Writer, errInternal)
			}
		}
		end(g.Writer.Status())
		a.Log.Info("request", "method", method, "route", template(g), "status", g.Writer.Status(),
			"bytes", max(0, g.Writer.Size()), "duration", time.Since(start))
		if aborted {
			panic(http.ErrAbortHandler) // the server closes the connection and says nothing
		}
	}()
	g.Next()
}

func template(g *gin.Context) string {
	if path := g.FullPath(); path != "" {
		return path
	}
	return "unmatched"
}
