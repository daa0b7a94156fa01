package erasure

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/internal/seal"
)

// Deps are what a Service is made of. All but Log, Step, Late, Lease,
// MassLimit, Recipients and AnswerWithin are required.
type Deps struct {
	Ledger  *consent.Ledger
	Store   Store
	Corpus  Corpus
	Checker Checker
	Vault   Vault
	Tree    Log
	// Reviewer is asked by steps that Look; nil where none does.
	Reviewer Reviewer
	Targets  []Target
	Steps    []Step
	// Keys returns a tenant's keys; false when unknown.
	Keys func(consent.TenantID) (Keys, bool)
	Log  *slog.Logger
	// Recipients are told of erasures; nil: nobody is.
	Recipients Recipients
	// AnswerWithin is how long they may be silent; 0: 7 days. It ends with the
	// erasure's own time.
	AnswerWithin time.Duration
	// MassLimit is how many people one key may have erased in a day without a
	// second key's approval; 0: 1000.
	MassLimit int
	// Lease is for how long a job is this process's without a renewal, where
	// other processes carry out erasures of the same tenants; 0: none do.
	Lease time.Duration
	// Late is told of an open erasure of whose time 50, 80 or 100 percent are over;
	// nil: nobody is.
	Late func(percent int)
	// Step is called after every durable step of an erasure, by name, and
	// before and after each step of the cascade. Tests kill the process there.
	Step func(string)
}

const defaultMassLimit = 1000

// archiveFor is how long evidence is kept: what the CCPA's regulations ask for
// records of requests (24 months).
const archiveFor = 2 * 365 * 24 * time.Hour

// defaultDeadline holds where the policy names none.
const defaultDeadline = 30 * 24 * time.Hour

// A Service takes requests and carries them out.
type Service struct {
	Deps
	wake chan struct{}
	self [16]byte // of this process, as a holder of leases

	mu      sync.Mutex
	tenants []consent.TenantID
	working map[string]bool // erasures in progress in this process
	alerted map[string]int
	halfway map[consent.TenantID]bool // has, or may have, redactions that have not ended (redact.go)

	resuming sync.Mutex // held by who goes on with redactions

	counting sync.Mutex
	counts   map[consent.TenantID]*count // of people's erasures within a day
}

// NewService returns a service without tenants. Nothing is carried out before Run.
func NewService(d Deps) *Service {
	if d.Log == nil {
		d.Log = slog.New(slog.DiscardHandler)
	}
	if d.Step == nil {
		d.Step = func(string) {}
	}
	if d.AnswerWithin == 0 {
		d.AnswerWithin = defaultAnswerWithin
	}
	if d.Late == nil {
		d.Late = func(int) {}
	}
	if d.MassLimit == 0 {
		d.MassLimit = defaultMassLimit
	}
	s := &Service{
		Deps: d, wake: make(chan struct{}, 1), working: map[string]bool{},
		alerted: map[string]int{}, halfway: map[consent.TenantID]bool{}, counts: map[consent.TenantID]*count{},
	}
	rand.Read(s.self[:])
	return s
}

// Serve adds a tenant, whose open erasures Run goes on with.
func (s *Service) Serve(t consent.TenantID) {
	s.mu.Lock()
	s.tenants = append(s.tenants, t)
	s.halfway[t] = true // until it was looked
	s.mu.Unlock()
	s.poke()
}

func (s *Service) poke() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

func (s *Service) keys(t consent.TenantID) (Keys, error) {
	k, ok := s.Keys(t)
	if !ok {
		return Keys{}, consent.ErrUnknownTenant
	}
	return k, nil
}

// Request suppresses, and returns when that is durable: what is asked for is
// unreachable then. The same again while it is open returns the open one. A
// person whom nobody knows gets the same answer as anybody.
// consent.ErrRemembered when the event that asks was applied before.
func (s *Service) Request(ctx context.Context, t consent.TenantID, r Request) (Erasure, error) {
	if r.Once == (consent.Once{}) {
		return s.requestNow(ctx, t, r)
	}
	if _, applied, err := s.Ledger.Applied(ctx, t, r.Once); applied || err != nil {
		return Erasure{}, cmp.Or(err, consent.ErrRemembered)
	}
	e, err := s.requestNow(ctx, t, r)
	if err != nil {
		return e, err
	}
	// Of a request that made an entry this is remembered with it already. One
	// that met an open erasure changed nothing: a crash here lets the event come
	// again, and meet it again or ask anew.
	return e, s.Ledger.ApplyNow(ctx, t, r.Once, e.Position)
}

// requestNow repeats where, of the same person, something changed between the look
// for an open erasure and the entry.
func (s *Service) requestNow(ctx context.Context, t consent.TenantID, r Request) (Erasure, error) {
	for {
		e, err := s.request(ctx, t, r)
		if !errors.Is(err, consent.ErrErasureChanged) || ctx.Err() != nil {
			return e, err
		}
	}
}

func (s *Service) request(ctx context.Context, t consent.TenantID, r Request) (Erasure, error) {
	k, err := s.keys(t)
	if err != nil {
		return Erasure{}, err
	}
	regulation, within, err := s.Ledger.ErasureDeadline(ctx, t, r.Regulation, r.Jurisdiction, r.Subject)
	if err != nil {
		return Erasure{}, err
	}
	if within == 0 {
		within = defaultDeadline
	}
	j := job{Scope: r.Scope, Regulation: regulation, Jurisdiction: r.Jurisdiction, By: r.By}
	for _, target := range s.Targets {
		j.Targets = append(j.Targets, TargetReport{Name: target.Name, Kind: target.Kind, Goal: target.Goal, Level: Unreachable})
	}
	switch r.Scope {
	case ScopeSubject:
		if r.Subject.IsZero() {
			return Erasure{}, &InputError{"subject", "is required"}
		}
		e, open, at, err := s.same(ctx, k, t, r.Subject)
		if open || err != nil {
			return e, err
		}
		r.looked = at
	case ScopeDocument, ScopeSource, ScopeCollection:
		if j.Removal = r.was; len(r.was.Versions) > 0 {
			break
		}
		if j.Removal, err = s.Corpus.Resolve(ctx, t, r.Scope, r.Documents); err != nil {
			return Erasure{}, err
		}
	case ScopeRetention:
		j.Removal = consent.Removal{Expired: true}
	case ScopeWithdrawal:
		if j.Removal = r.withdrawal.Removal; len(j.Removal.Versions) == 0 {
			return Erasure{}, &InputError{"scope", "is not one of subject, document, source and collection"}
		}
	default:
		return Erasure{}, &InputError{"scope", "is not one of subject, document, source and collection"}
	}
	if r.Scope != ScopeSubject {
		e, open, round, err := s.sameDocuments(ctx, k, t, r.Scope, &j.Removal)
		if open || err != nil {
			return e, err
		}
		r.round = round
	}
	return s.suppress(ctx, k, t, r, j, within)
}

// open returns the open erasure of a name.
func (s *Service) open(ctx context.Context, k Keys, t consent.TenantID, name [32]byte) (Erasure, bool, error) {
	row, found, err := s.Store.OpenErasure(ctx, t, name)
	if err != nil || !found {
		return Erasure{}, false, err
	}
	e, err := s.show(ctx, k, t, &row)
	return e, true, err
}

func (s *Service) suppress(ctx context.Context, k Keys, t consent.TenantID, r Request, j job, within time.Duration) (Erasure, error) {
	id := "e" + strings.ToLower(rand.Text())[:20]
	archive, err := json.Marshal(r.Evidence)
	if err != nil {
		return Erasure{}, err
	}
	ref, err := s.address(ctx, t, id, &r, &j)
	if err != nil {
		s.forsake(ref)
		return Erasure{}, err
	}
	var row consent.ErasureRow
	wait := false
	if r.Scope == ScopeSubject {
		var done func()
		wait, done = s.mass(ctx, k, t, r.By, id)
		defer done()
	}
	_, err = s.Ledger.Suppress(ctx, t, consent.Suppression{
		Waits: wait, Once: r.Once, Ended: r.withdrawal.Storage,
		Subject: r.Subject, Removal: j.Removal, ID: id, Scope: string(r.Scope), Regulation: j.Regulation, Jurisdiction: r.Jurisdiction,
		Job: func(at consent.Suppressed) (consent.ErasureRow, error) {
			if r.looked.moved(at) {
				return row, consent.ErrErasureChanged // looked for again
			}
			j := j
			j.Subject, j.Behind, j.Key, j.At, j.Position = at.Mark, at.Behind, at.Key, at.At, at.Position
			j.Notice.Recipients = slices.Clone(j.Notice.Recipients)
			row = consent.ErasureRow{
				ID: id, State: uint8(Suppressed), Open: true, Version: 1, Position: at.Position,
				Created: at.At, Due: at.At + consent.Time(within), Key: ref, ArchiveUntil: at.At + consent.Time(archiveFor),
				Archive: seal.Seal(k.Archive, archive, jobAAD(t, id, "archive")),
			}
			row.Name = removalName(k, j.Scope, &j.Removal, r.round)
			if at.Mark != 0 {
				row.Name = personName(k, at.Mark, at.Round)
			}
			if wait {
				row.State = uint8(Received)
			} else if err := s.ask(t, id, &j, ref, row.Due, at.Position, at.At); err != nil {
				return row, err
			}
			var err error
			row.Sealed, err = j.seal(k, t, id)
			return row, err
		},
	})
	if errors.Is(err, consent.ErrErasureOpen) || errors.Is(err, consent.ErrRemembered) || errors.Is(err, consent.ErrErasureChanged) {
		s.forsake(ref) // after any other error a row may name it: if none does, the next start wipes it
	}
	if errors.Is(err, consent.ErrErasureOpen) { // somebody asked at the same time
		e, open, err := s.open(ctx, k, t, row.Name)
		if err == nil && !open {
			err = consent.ErrErasureChanged
		}
		return e, err
	}
	if err != nil {
		return Erasure{}, err
	}
	s.Step("erasure.suppressed") // a crash here leaves an open job: begun at the next start
	s.poke()
	return s.show(ctx, k, t, &row)
}

// forsake destroys a key that no row names. A failure leaves it to the next start.
func (s *Service) forsake(ref seal.Ref) {
	if ref.IsZero() {
		return
	}
	if err := s.Vault.Destroy(ref); err != nil {
		s.Log.Warn("unused keys left for the next start", "count", 1)
	}
}

// personName is of a mark and of the times that somebody was behind it: who came
// back meanwhile is not who is being erased.
func personName(k Keys, mark consent.SubjectNum, round int) [32]byte {
	b := binary.BigEndian.AppendUint64(nil, uint64(mark))
	if round > 0 {
		b = binary.BigEndian.AppendUint64(b, uint64(round))
	}
	return seal.MAC(k.Name, "assent erasure of a person", b)
}

// removalName is of documents, and of a round: of those that came while an erasure of
// the same was open.
func removalName(k Keys, s Scope, r *consent.Removal, round int) [32]byte {
	b := binary.BigEndian.AppendUint64(nil, uint64(r.Collection))
	b = append(append(b, r.Lookup[:]...), r.Source[:]...)
	for _, num := range r.Versions {
		b = binary.BigEndian.AppendUint64(b, uint64(num))
	}
	if round > 0 {
		b = binary.BigEndian.AppendUint64(append(b, "round"...), uint64(round))
	}
	return seal.MAC(k.Name, "assent erasure of documents", []byte(s), b)
}

// claim is what shows, to whoever holds it, that a receipt is theirs.
func claim(k Keys, id string) string {
	c := seal.MAC(k.Claim, "assent erasure claim", []byte(id))
	return base64.RawURLEncoding.EncodeToString(c[:])
}

// show opens a row for a reader.
func (s *Service) show(ctx context.Context, k Keys, t consent.TenantID, row *consent.ErasureRow) (Erasure, error) {
	j, err := openJob(k, t, row)
	if err != nil {
		return Erasure{}, err
	}
	head, err := s.Ledger.Head(ctx, t)
	if err != nil {
		return Erasure{}, err
	}
	return Erasure{
		ID: row.ID, State: State(row.State), Level: j.level(), Scope: j.Scope, Position: row.Position, Created: row.Created,
		Deadline: row.Due, Now: head.Now, Claim: claim(k, row.ID), Gathered: j.Gathered, Targets: j.Targets, Probes: j.Probes,
		Attempts: j.Attempts, Processors: j.Notice.report(),
	}, nil
}

// Get returns one erasure; ErrNotFound.
func (s *Service) Get(ctx context.Context, t consent.TenantID, id string) (Erasure, error) {
	k, row, err := s.row(ctx, t, id)
	if err != nil {
		return Erasure{}, err
	}
	return s.show(ctx, k, t, &row)
}

func (s *Service) row(ctx context.Context, t consent.TenantID, id string) (Keys, consent.ErasureRow, error) {
	k, err := s.keys(t)
	if err != nil {
		return k, consent.ErasureRow{}, err
	}
	row, found, err := s.Store.Erasure(ctx, t, id)
	if err == nil && !found {
		err = ErrNotFound
	}
	return k, row, err
}

// List returns a page of erasures.
func (s *Service) List(ctx context.Context, t consent.TenantID, p Page) ([]Erasure, error) {
	k, err := s.keys(t)
	if err != nil {
		return nil, err
	}
	rows, err := s.Store.Erasures(ctx, t, p)
	if err != nil {
		return nil, err
	}
	out := make([]Erasure, len(rows))
	for i := range rows {
		if out[i], err = s.show(ctx, k, t, &rows[i]); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// Receipt returns the receipt of a completed erasure; ErrNoReceipt.
func (s *Service) Receipt(ctx context.Context, t consent.TenantID, id string) ([]byte, error) {
	_, row, err := s.row(ctx, t, id)
	if err != nil {
		return nil, err
	}
	if len(row.Receipt) == 0 {
		return nil, ErrNoReceipt
	}
	return row.Receipt, nil
}

// Order returns an erasure as its steps see it.
func (s *Service) Order(ctx context.Context, t consent.TenantID, id string) (Order, error) {
	k, row, err := s.row(ctx, t, id)
	if err != nil {
		return Order{}, err
	}
	j, err := openJob(k, t, &row)
	if err != nil {
		return Order{}, err
	}
	return s.order(ctx, j, t, &row)
}
