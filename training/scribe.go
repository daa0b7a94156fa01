package training

import (
	"context"
	"crypto/sha256"
	"encoding/binary"

	"golang.org/x/sync/errgroup"

	"github.com/assent-gateway/assent/internal/seal"
)

// A task is a document whose rows are to be made.
type task struct {
	d  *Document
	h  *heard
	at int // index of the collection
}

// batchTasks are handed over at a time: a channel for each document would cost
// as much as its digest.
const batchTasks = 256

// scribes make records of documents, each into runs of its own.
type scribes struct {
	g     *errgroup.Group
	ctx   context.Context
	tasks chan []task
	batch []task
	over  bool
}

func newScribes(ctx context.Context, b *build, mkey seal.Key, into *runs) *scribes {
	s := &scribes{tasks: make(chan []task, b.Workers)}
	s.g, s.ctx = errgroup.WithContext(ctx)
	for range b.Workers {
		w := &scribe{b: b, key: seal.Hold(mkey), sha: b.job.Spec.Linkable, columns: b.columns(),
			sorter: &sorter{runs: into, limit: b.SortBytes / b.Workers}}
		s.g.Go(func() error { return guarded(b.Log, func() error { return w.work(s.ctx, s.tasks) }) })
	}
	return s
}

// give hands a document over.
func (s *scribes) give(t task) error {
	if s.batch = append(s.batch, t); len(s.batch) < batchTasks {
		return nil
	}
	return s.hand()
}

func (s *scribes) hand() error {
	select {
	case s.tasks <- s.batch:
		s.batch = make([]task, 0, batchTasks)
		return nil
	case <-s.ctx.Done():
		return s.ctx.Err()
	}
}

// stop ends the scribes and returns what failed first.
func (s *scribes) stop() error {
	if !s.over {
		s.over = true
		close(s.tasks)
	}
	return s.g.Wait()
}

// finish waits until everything handed over is in runs.
func (s *scribes) finish() error {
	if err := s.hand(); err != nil {
		return s.first(err)
	}
	return s.stop()
}

// first is why a scribe failed, else err: that of a context which a scribe
// ended says nothing.
func (s *scribes) first(err error) error {
	if failed := s.stop(); failed != nil {
		return failed
	}
	return err
}

// A scribe makes records.
type scribe struct {
	b       *build
	key     func() seal.Key // the manifest's
	sha     bool
	columns Columns
	sorter  *sorter
	line    []byte
	number  []byte
	rec     record
}

func (w *scribe) work(ctx context.Context, tasks <-chan []task) error {
	for batch := range tasks {
		if err := ctx.Err(); err != nil {
			return err
		}
		for _, t := range batch {
			if err := w.document(t); err != nil {
				return err
			}
		}
	}
	return w.sorter.flush()
}

// document makes the rows of a document.
func (w *scribe) document(t task) error {
	d, c := t.d, &t.h.cast
	secret := c.secret()
	w.rec.entry = entry{
		split: c.split, collection: uint32(t.at), doc: d.Num, nobody: d.People.Nobody, retain: d.RetainUntil,
		owners: d.People.Owners, mentions: d.People.Mentions,
	}
	w.rec.content = true
	w.rec.row = Row{
		Document: token(secret, "assent document", []byte(w.b.job.Cols[t.at].Name), []byte(d.ID)),
		Subjects: c.pseudonyms, Types: t.h.types, Basis: t.h.basis, Split: w.b.job.Spec.Splits[c.split].Name,
	}
	if d.Source != "" {
		w.rec.row.Source = token(w.key(), "assent source", []byte(d.Source))
	}
	for i, text := range d.Texts {
		if err := w.passage(d, secret, uint32(i), text); err != nil {
			return err
		}
	}
	return nil
}

// passage makes a row.
func (w *scribe) passage(d *Document, secret seal.Key, n uint32, text string) error {
	row := &w.rec.row
	w.number = binary.BigEndian.AppendUint32(w.number[:0], n)
	row.Token = token(secret, "assent row", row.Document[:], w.number)
	row.Content = seal.MAC(secret, "assent content", []byte(text))
	row.Text, row.PassageID, row.DocumentID = "", "", ""
	if w.b.job.Spec.IncludeText {
		row.Text = text
	}
	if w.sha {
		row.PassageID, row.DocumentID, row.SHA256 = d.PassageID(int(n)), d.ID, sha256.Sum256([]byte(text))
	}
	w.rec.n, w.rec.token = n, row.Token
	// The leaf of RFC 6962 §2.1, of the row's line without its newline.
	w.line = row.AppendLine(append(w.line[:0], 0), w.columns)
	w.rec.leaf = sha256.Sum256(w.line)
	return w.sorter.add(&w.rec)
}
