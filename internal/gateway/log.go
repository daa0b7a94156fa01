package gateway

import (
	"context"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/internal/announce"
	"github.com/assent-gateway/assent/internal/translog"
)

// LogConfig says how the transparency log is named, and who hears of it.
type LogConfig struct {
	Public  bool   // anyone may read the log of any tenant
	Origin  string // prefix of every log's origin; "": "assent"
	Dir     string // gets a file for every checkpoint; "": none
	Webhook string // gets every checkpoint as a POST; "": none
}

// newLog makes the log; its outlets are checked here, so that a mistake in
// their settings stops the start.
func (g *Gateway) newLog() error {
	var outlets []translog.Outlet
	if g.cfg.TransparencyLog.Dir != "" {
		d, err := announce.NewDir(g.cfg.TransparencyLog.Dir)
		if err != nil {
			return err
		}
		outlets = append(outlets, d)
	}
	if g.cfg.TransparencyLog.Webhook != "" {
		w, err := announce.NewWebhook(g.cfg.TransparencyLog.Webhook)
		if err != nil {
			return err
		}
		outlets = append(outlets, w)
	}
	g.Tree = translog.New(g.db, g.vault.Log(), translog.Options{
		Origin: g.cfg.TransparencyLog.Origin, Interval: g.cfg.LogInterval, Outlets: outlets, Log: g.cfg.Log, Step: g.cfg.Step,
		Begin:  g.cfg.Telemetry.Checkpoint(),
		Closed: func(t consent.TenantID, err error) { g.Ledger.Shut(t, err) },
		Refresh: func(ctx context.Context, t consent.TenantID) error {
			_, err := g.Ledger.Head(ctx, t)
			return err
		},
	})
	return nil
}

// runLog signs checkpoints until stopLog.
func (g *Gateway) runLog() {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	g.stopLog = func() {
		cancel()
		<-done
	}
	go func() {
		defer close(done)
		_ = g.Tree.Run(ctx) // nil, when ctx ends
	}()
}

// tenantEvent is the sealed part of the entry that begins a tenant's ledger.
type tenantEvent struct {
	Event  string           `json:"event"` // created
	Tenant consent.TenantID `json:"tenant"`
}

// enterTenant records that a tenant was made, as its ledger's first entry.
func (g *Gateway) enterTenant(ctx context.Context, id consent.TenantID) error {
	head, err := g.Ledger.Head(ctx, id)
	if err != nil || head.Position > 0 {
		return err
	}
	return g.Ledger.Begin(ctx, id, consent.Note{Kind: consent.KindTenant, Body: tenantEvent{"created", id}})
}
