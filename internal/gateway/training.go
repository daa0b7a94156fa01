package gateway

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/erasure"
	"github.com/assent-gateway/assent/internal/erasecheck"
	"github.com/assent-gateway/assent/internal/parquetrows"
	"github.com/assent-gateway/assent/internal/sealedfile"
	"github.com/assent-gateway/assent/internal/translog"
	"github.com/assent-gateway/assent/retrieval"
	"github.com/assent-gateway/assent/training"
)

// TrainingConfig is for tests: sizes that production leaves as they are.
type TrainingConfig struct {
	Workers, ShardRows, SortBytes int
	FileFault                     func(op string) error
}

// newTraining makes the service of training manifests. Their files lie in the
// data directory, sealed.
func (g *Gateway) newTraining() error {
	dir, err := g.manifestsDir()
	if err != nil {
		return err
	}
	g.manifests = dir
	files, err := sealedfile.Open(dir, g.cfg.Training.FileFault)
	if err != nil {
		return err
	}
	g.Training = training.NewService(training.Deps{
		Ledger: g.Ledger, Corpus: pastCorpus{g.Retrieval}, Manifests: g.db, Lineage: g.db, Contents: g.db, Departures: departures{g}, Files: files,
		Formats: []training.Format{training.JSONL{}, parquetrows.New()},
		Vault:   g.vault.Manifests(), Notary: notary{g.Tree}, Log: g.cfg.Log, Step: g.cfg.Step,
		Workers: g.cfg.Training.Workers, ShardRows: g.cfg.Training.ShardRows, SortBytes: g.cfg.Training.SortBytes,
	})
	return nil
}

// manifestsDir is where the files of manifests are. Gateways on a Postgres that
// were given the same data directory have one each there: who holds a manifest
// builds it.
func (g *Gateway) manifestsDir() (string, error) {
	dir := filepath.Join(g.cfg.DataDir, "manifests")
	if g.lock != nil { // of the whole data directory
		return dir, nil
	}
	for i := 1; i <= maxGateways; i++ {
		if i > 1 {
			dir = filepath.Join(g.cfg.DataDir, fmt.Sprint("manifests-", i))
		}
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return "", fmt.Errorf("gateway: make the directory of manifests: %w", err)
		}
		lock, err := lockDir(dir)
		if err == nil {
			g.lock = lock
			return dir, nil
		}
		if !errors.Is(err, ErrInUse) {
			return "", err
		}
	}
	return "", ErrInUse
}

// runTraining builds manifests until stopTraining.
func (g *Gateway) runTraining() {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	g.stopTraining = func() {
		cancel()
		<-done
	}
	go func() {
		defer close(done)
		_ = g.Training.Run(ctx) // nil, when ctx ends
	}()
}

// pastCorpus is training.Corpus over retrieval.
type pastCorpus struct{ s *retrieval.Service }

func (c pastCorpus) Head(ctx context.Context, t consent.TenantID) (uint64, error) {
	p, err := c.s.Catalogue.CorpusHead(ctx, t)
	return uint64(p), err
}

func (c pastCorpus) Select(ctx context.Context, who training.Caller, names []string, filter []byte) ([]training.Collection, error) {
	cols, _, err := c.s.Selection(ctx, retrieval.Caller{Tenant: who.Tenant, Collections: who.Collections}, names, filter)
	if err != nil {
		return nil, trainingError(err)
	}
	out := make([]training.Collection, len(cols))
	for i, col := range cols {
		out[i] = training.Collection{ID: int64(col.ID), Name: col.Name, Rule: col.Rule()}
	}
	return out, nil
}

func trainingError(err error) error {
	var input *retrieval.InputError
	switch {
	case errors.Is(err, retrieval.ErrNotFound):
		return training.ErrNotFound
	case errors.As(err, &input):
		return &training.InputError{Field: input.Field, Reason: input.Reason}
	}
	return err
}

func (c pastCorpus) Rule(ctx context.Context, t consent.TenantID, id int64) (consent.Rule, bool, error) {
	col, err := c.s.CollectionByID(ctx, t, retrieval.CollectionID(id))
	if errors.Is(err, retrieval.ErrNotFound) {
		return consent.Rule{}, false, nil
	}
	return col.Rule(), err == nil, err
}

func (c pastCorpus) Condemned(ctx context.Context, t consent.TenantID, r consent.Removing) (nums []int64, err error) {
	o := erasure.Order{Position: r.At, At: r.Asked, Removal: r.Removal}
	err = c.s.EachCondemned(ctx, t, erasecheck.WhichOf(o), func(docs []retrieval.DocNum) error {
		nums = append(nums, numbers(docs)...)
		return nil
	})
	return nums, err
}

var levels = map[string]retrieval.Level{"private": retrieval.Private, "listed": retrieval.Listed, "tenant": retrieval.TenantWide}

func (c pastCorpus) Page(ctx context.Context, t consent.TenantID, s training.Selection, after int64, f func(*training.Document) error) (int64, bool, error) {
	q := retrieval.PastQuery{At: retrieval.CorpusPosition(s.At)}
	for _, col := range s.Collections {
		q.Collections = append(q.Collections, retrieval.CollectionID(col.ID))
	}
	for _, v := range s.Visibilities {
		q.Levels = append(q.Levels, levels[v])
	}
	if s.Filter != nil {
		var err error
		if q.Filter, err = retrieval.ParseFilter(s.Filter, nil); err != nil {
			return after, false, trainingError(err) // it was checked when it was taken
		}
	}
	return c.s.Past(ctx, t, q, after, func(d *retrieval.PastDocument) error {
		out := training.Document{
			Num: int64(d.Num), Collection: int64(d.Collection), ID: d.Meta.ID, Source: d.Meta.Source,
			StoredAt: d.Meta.Provenance.At, People: d.People, RetainUntil: d.RetainUntil, Passages: d.Passages, Gone: d.Gone,
			PassageID: d.PassageID,
		}
		for _, b := range d.Bodies {
			out.Texts = append(out.Texts, b.Text)
		}
		return f(&out)
	})
}

// notary is training.Notary over the transparency log.
type notary struct{ log *translog.Log }

// provePatience bounds how long an entry waits for a checkpoint, which is
// signed ten times a second.
const provePatience = time.Minute

func (n notary) Prove(ctx context.Context, t consent.TenantID, p consent.Position) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, provePatience)
	defer cancel()
	cp, err := n.log.Await(ctx, t, p)
	if err != nil {
		return nil, err
	}
	proof, err := n.log.Proof(ctx, t, p, cp)
	return proof.Text(), err
}

func (n notary) Sign(ctx context.Context, t consent.TenantID, payloadType string, payload []byte) ([]byte, error) {
	return n.log.SignStatement(ctx, t, payloadType, payload)
}
