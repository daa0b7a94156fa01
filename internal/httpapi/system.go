package httpapi

import (
	_ "embed"
	"errors"
	"net/http"

	"github.com/assent-gateway/assent/consent"
)

//go:embed openapi.yaml
var openAPI []byte

type healthOut struct {
	Status string `json:"status"`
}

// A readyOut names, beside the status, what is wrong though the gateway serves.
type readyOut struct {
	Status string   `json:"status"`
	Alarms []string `json:"alarms,omitempty"`
}

// health answers whenever the process does.
func (c *call) health() error { return c.json(http.StatusOK, healthOut{"alive"}) }

// ready answers 200 when the gateway may serve.
func (c *call) ready() error {
	err := c.Ready(c.ctx())
	switch {
	case err == nil:
		out := readyOut{Status: "ready"}
		if c.Alarms != nil {
			out.Alarms = c.Alarms()
		}
		return c.json(http.StatusOK, out)
	case errors.Is(err, consent.ErrUnavailable):
		return err
	}
	return errDependency
}

func (c *call) openAPI() error {
	c.answer(http.StatusOK, "application/yaml", openAPI)
	return nil
}

// metrics answers Prometheus, where the gateway serves metrics on this listener.
func (c *call) metrics() error {
	if c.Metrics == nil {
		return errNoRoute
	}
	c.Metrics.ServeHTTP(c.w, c.r)
	return nil
}
