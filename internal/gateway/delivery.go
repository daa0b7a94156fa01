package gateway

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"sync"
	"time"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/erasure"
	"github.com/assent-gateway/assent/internal/events"
	"github.com/assent-gateway/assent/internal/seal"
	"github.com/assent-gateway/assent/internal/webhook"
)

const (
	// deliveryLease is for how long one of several gateways delivers to a sink
	// without saying that it still does.
	deliveryLease = 30 * time.Second
	// processorsEvery is how soon a gateway sees processors that another registered.
	processorsEvery = 2 * time.Second
	// brokerLongest is after how long at most a sink of the operator's own, which
	// was down for long, is tried again.
	brokerLongest = 15 * time.Second
)

// newStream makes what derives events from the ledger, and what delivers them.
func (g *Gateway) newStream() {
	g.Events = &events.Stream{Ledger: g.Ledger, Names: names{g}, Lineage: lineage{g}, Store: g.db, Origin: g.Tree.Origin}
	g.deliveries.changed = make(chan struct{}, 1)
	g.Processors = &events.Processors{Store: g.db, Ledger: g.Ledger, Changed: g.deliveries.poke, Key: func(t consent.TenantID) (seal.Key, bool) {
		keys, ok := g.vault.Consent().Keys(t)
		return seal.Derive(keys.Payload, "assent processors"), ok
	}}
}

// names are those that erasures keep.
type names struct{ g *Gateway }

func (n names) Told(ctx context.Context, t consent.TenantID, erasure string) (events.Told, error) {
	told, err := n.g.Erasure.Told(ctx, t, erasure)
	return events.Told(told), err
}

// recipients are those whom erasures are told to: processors that want to hear
// of them, and what hands events on.
type recipients struct{ g *Gateway }

func (r recipients) Recipients(ctx context.Context, t consent.TenantID) ([]erasure.Recipient, error) {
	var out []erasure.Recipient
	for _, name := range r.g.deliveries.sinksOf(t) {
		out = append(out, erasure.Recipient{Name: name, Role: "broker", Broker: erasure.HandsOn})
	}
	all, err := r.g.Processors.List(ctx, t)
	for i := range all {
		if p := &all[i]; p.Wants(events.Erasure) {
			out = append(out, erasure.Recipient{Name: p.Name, Role: string(p.Role), Key: p.PublicKey})
		}
	}
	return out, err
}

func (r recipients) Notice(t consent.TenantID, id string, at consent.Position, when consent.Time, j consent.Jurisdiction, told erasure.Told) ([32]byte, error) {
	c := consent.Change{Row: consent.Row{Position: at, RecordedAt: when, Jurisdiction: j}, Erasure: consent.ErasureEvent{ID: id}}
	raw, err := r.g.Events.Suppressed(t, c, events.Told(told))
	return sha256.Sum256(raw), err
}

func (r recipients) Delivered(ctx context.Context, t consent.TenantID, broker string) (consent.Position, error) {
	at, _, err := r.g.db.Cursor(ctx, t, broker)
	return at, err
}

// deliveries are what takes events to sinks: those of processors, which come
// and go, and those that Deliver added.
type deliveries struct {
	changed chan struct{}

	mu      sync.Mutex
	fixed   []*events.Delivery
	running map[sinkKey]*running
	ctx     context.Context // nil before they run, and after
	wg      sync.WaitGroup
}

type sinkKey struct {
	tenant consent.TenantID
	name   string
}

type running struct {
	version uint64
	stop    func() // returns when nothing is sent any more
}

func (d *deliveries) poke() {
	select {
	case d.changed <- struct{}{}:
	default:
	}
}

func (d *deliveries) sinksOf(t consent.TenantID) (names []string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, f := range d.fixed {
		if f.Tenant == t {
			names = append(names, f.Name)
		}
	}
	return names
}

// Deliver takes every event of a tenant to a sink, from the first entry of its
// ledger on, until Close. Where events are has to be told under the same name at
// every gateway and every start; the name is a word. Erasures wait until the sink
// has the event that tells of them, as long as they wait for processors.
func (g *Gateway) Deliver(ctx context.Context, t consent.TenantID, name string, s events.Sink) error {
	if !events.ValidName(name) {
		return errors.New("gateway: not a name of a sink")
	}
	if err := g.db.StartCursor(ctx, t, name, 0); err != nil {
		return err
	}
	delivery := g.delivery(t, name, s)
	delivery.Longest = brokerLongest
	d := &g.deliveries
	d.mu.Lock()
	defer d.mu.Unlock()
	d.fixed = append(d.fixed, delivery)
	if d.ctx != nil {
		d.start(sinkKey{t, name}, 0, delivery, nil)
	}
	return nil
}

func (g *Gateway) delivery(t consent.TenantID, name string, s events.Sink) *events.Delivery {
	d := &events.Delivery{Tenant: t, Name: name, Sink: s, Stream: g.Events, Log: g.cfg.Log, Step: g.cfg.Step}
	if g.cfg.PostgresURL != "" {
		if d.Lease = g.cfg.DeliveryLease; d.Lease == 0 {
			d.Lease = deliveryLease
		}
	}
	return d
}

// runDeliveries delivers until stopDeliveries.
func (g *Gateway) runDeliveries() {
	ctx, cancel := context.WithCancel(context.Background())
	d := &g.deliveries
	d.mu.Lock()
	d.ctx, d.running = ctx, map[sinkKey]*running{}
	for _, f := range d.fixed {
		d.start(sinkKey{f.Tenant, f.Name}, 0, f, nil)
	}
	d.mu.Unlock()
	g.stopDeliveries = func() {
		d.mu.Lock()
		d.ctx = nil
		d.mu.Unlock()
		cancel()
		d.wg.Wait()
	}
	d.wg.Go(func() {
		tick := time.NewTicker(processorsEvery)
		defer tick.Stop()
		for {
			for _, t := range g.open.tenants() {
				g.reconcileProcessors(ctx, t)
			}
			select {
			case <-ctx.Done():
				return
			case <-d.changed:
			case <-tick.C:
			}
		}
	})
}

// start runs a delivery. The caller holds mu.
func (d *deliveries) start(key sinkKey, version uint64, delivery *events.Delivery, end func()) {
	ctx, cancel := context.WithCancel(d.ctx)
	done := make(chan struct{})
	d.running[key] = &running{version, func() { cancel(); <-done }}
	d.wg.Go(func() {
		defer close(done)
		defer cancel()
		_ = delivery.Run(ctx) // nil, when ctx ends
		if end != nil {
			end()
		}
	})
}

// reconcileProcessors starts what is registered and stops what is not. What
// changed is stopped before it is started as it is now.
func (g *Gateway) reconcileProcessors(ctx context.Context, t consent.TenantID) {
	all, err := g.Processors.List(ctx, t)
	if err != nil {
		if ctx.Err() == nil {
			g.cfg.Log.Warn("processors cannot be read", "error", err)
		}
		return
	}
	there := map[string]*events.Processor{}
	for i := range all {
		there[all[i].Sink()] = &all[i]
	}
	d := &g.deliveries
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.ctx == nil {
		return
	}
	for key, r := range d.running {
		if key.tenant != t || r.version == 0 { // of another, or fixed
			continue
		}
		if p := there[key.name]; p == nil || p.Version != r.version {
			r.stop()
			delete(d.running, key)
		}
	}
	for name, p := range there {
		key := sinkKey{t, name}
		if d.running[key] != nil {
			continue
		}
		hook := webhook.New(p.URL, p.Secret, g.answered(t, p.Name))
		delivery := g.delivery(t, name, hook)
		delivery.Batch = 1
		wants := *p
		delivery.Wants = func(e *events.Event) bool { return wants.Wants(e.Kind) }
		d.start(key, p.Version, delivery, hook.Close)
	}
}

// answered takes what a processor answers to the event that tells it to erase.
// Anything but a plain yes or no leaves it silent, and so does a signature that
// is not its own: it may still acknowledge.
func (g *Gateway) answered(t consent.TenantID, processor string) func(ctx context.Context, event, answer []byte) error {
	return func(ctx context.Context, event, answer []byte) error {
		var told struct {
			Type string
			Data struct{ ID, State string }
		}
		var said struct {
			Acknowledged *bool  `json:"acknowledged"`
			Signature    []byte `json:"signature"`
		}
		if json.Unmarshal(event, &told) != nil || told.Type != events.TypeSuppressed || told.Data.State != "suppressed" ||
			json.Unmarshal(answer, &said) != nil || said.Acknowledged == nil {
			return nil
		}
		a := erasure.Answer{Event: sha256.Sum256(event), Says: erasure.Refused, Signature: said.Signature}
		if *said.Acknowledged {
			a.Says = erasure.Acknowledged
		}
		err := g.Erasure.Answer(ctx, t, told.Data.ID, processor, a)
		switch {
		case errors.Is(err, erasure.ErrSignature):
			g.cfg.Log.Warn("a processor's acknowledgement is not signed by its key", "job_id", told.Data.ID, "component", processor)
		case errors.Is(err, erasure.ErrNotFound), errors.Is(err, erasure.ErrState):
		default:
			return err
		}
		return nil
	}
}

// tenants lists those that are open here.
func (o *opened) tenants() (ids []consent.TenantID) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for id, op := range o.once {
		select {
		case <-op.done:
			if op.err == nil {
				ids = append(ids, id)
			}
		default:
		}
	}
	return ids
}
