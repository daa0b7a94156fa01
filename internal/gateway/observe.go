package gateway

import (
	"net/http"

	"github.com/assent-gateway/assent/internal/httpapi"
	"github.com/assent-gateway/assent/internal/telemetry"
)

// observe lets metrics look at what has no moment of its own.
func (g *Gateway) observe() (err error) {
	g.stopWatch, err = g.cfg.Telemetry.Watch(telemetry.Sources{
		Ready: g.Ready, Ledger: g.Ledger.Stats, Log: g.Tree.Stats, KeySlots: g.KeySlots,
	})
	return err
}

// watchHTTP is what the HTTP interface has of telemetry; two nils without.
func (g *Gateway) watchHTTP() (http.Handler, httpapi.Observer) {
	if g.cfg.Telemetry == nil {
		return nil, nil
	}
	var metrics http.Handler
	if g.cfg.MetricsHere {
		metrics = g.cfg.Telemetry.Handler()
	}
	return metrics, g.cfg.Telemetry.HTTP()
}
