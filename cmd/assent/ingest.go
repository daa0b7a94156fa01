package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"
)

const ingestUsage = `assent ingest --collection C [flags] FILE…

Sends documents, one JSON object a line (gzip too; - is stdin), and makes the
collection when it is absent. Documents go out as they are. Sending them again
is safe: what is there already is unchanged, so an interrupted run is gone on
with by running it again. The exit status is 0 although documents were refused
or invalid, unless --strict.`

// ingest streams files of documents to a collection.
func ingest(ctx context.Context, s *session, args []string) error {
	fs := newFlags(ingestUsage)
	collection := fs.String("collection", "", "the collection's `name`")
	visibility := fs.String("visibility", "tenant", "default visibility of a new collection: `tenant|private`")
	jurisdiction := fs.String("jurisdiction", "", "jurisdiction of a new collection, such as `DE`")
	batch := fs.Int("batch", 256, "documents a request, 1 to 1000")
	patience := fs.Duration("patience", 2*time.Minute, "how long to go on trying while the gateway does not answer")
	strict := fs.Bool("strict", false, "exit with status 1 when a document was invalid")
	files, err := fs.parse(s, args)
	if err != nil {
		return err
	}
	if err := fs.need("collection"); err != nil {
		return err
	}
	switch {
	case len(files) == 0:
		return fs.mistake("which FILE? (- is stdin)")
	case *visibility != "tenant" && *visibility != "private":
		return fs.mistake("--visibility is neither tenant nor private")
	case *batch < 1 || *batch > 1000:
		return fs.mistake("--batch is not 1 to 1000")
	}
	in, err := newInput(files, s.in)
	if err != nil {
		return err
	}
	c, err := s.client()
	if err != nil {
		return err
	}
	want := collectionSettings{DefaultVisibility: *visibility, Jurisdiction: *jurisdiction}
	made, err := c.ensureCollection(ctx, *collection, want)
	if err != nil {
		return err
	}
	switch {
	case made:
		fmt.Fprintf(s.err, "made the collection %s, default visibility %s\n", *collection, *visibility)
	case fs.given("visibility") || fs.given("jurisdiction"):
		fmt.Fprintf(s.err, "the collection %s was there already and keeps its settings\n", *collection)
	}
	t := newTally(in, "stored", "unchanged", "refused", "invalid")
	f := &feed{
		client: c, path: path("v1", "collections", *collection, "documents"),
		batch: *batch, flights: 2, patience: *patience,
		done: t.result,
	}
	if err := s.stream(ctx, f, in, t, describeDocument); err != nil {
		return err
	}
	switch invalid := t.of("invalid"); {
	case t.total() == 0:
		return errors.New("there is no document in what was given")
	case *strict && invalid > 0:
		return fmt.Errorf("%s of the documents are invalid", number(invalid))
	}
	return nil
}

// stream runs a feed with its progress on stderr and its summary on stdout.
func (s *session) stream(ctx context.Context, f *feed, in *input, t *tally, describe func(*line)) error {
	p := showProgress(s.err, t.progress)
	f.waiting = func(why error) {
		p.note(fmt.Sprintf("%v; trying again for up to %v", why, f.patience))
	}
	err := f.run(ctx, in, describe)
	p.stop()
	if t.total() > 0 {
		t.summary(s.out)
	}
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		err = errors.New("interrupted")
	}
	return fmt.Errorf("%w\nnot everything was sent: run the same command again to go on", err)
}

// describeDocument reads what the client itself needs of a document.
func describeDocument(l *line) {
	var d struct {
		ID string `json:"id"`
	}
	if json.Unmarshal(l.text, &d) == nil { // if not, the gateway says invalid
		l.name, l.order = d.ID, d.ID
	}
}

type collectionSettings struct {
	DefaultVisibility string `json:"default_visibility"`
	Jurisdiction      string `json:"jurisdiction,omitempty"`
}

// ensureCollection makes a collection unless it is there, and reports whether
// it did.
func (c *client) ensureCollection(ctx context.Context, name string, want collectionSettings) (bool, error) {
	at := path("v1", "collections", name)
	if _, err := c.call(ctx, http.MethodGet, at, nil, nil); !answered(err, http.StatusNotFound) {
		return false, err
	}
	status, err := c.call(ctx, http.MethodPut, at, want, nil)
	return status == http.StatusCreated, err
}
