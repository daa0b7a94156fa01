package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"
)

// consentImport streams files of entries to the ledger.
func consentImport(ctx context.Context, s *session, args []string) error {
	fs := newFlags("assent consent import [flags] FILE…")
	batch := fs.Int("batch", 1000, "entries a request, 1 to 1000")
	patience := fs.Duration("patience", 2*time.Minute, "how long to go on trying while the gateway does not answer")
	lenient := fs.Bool("lenient", false, "exit with status 0 although entries were invalid")
	files, err := fs.parse(s, args)
	if err != nil {
		return err
	}
	switch {
	case len(files) == 0:
		return fs.mistake("which FILE? (- is stdin)")
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
	// A wrong address is told at once, not when patience ends.
	if _, err := c.call(ctx, http.MethodGet, "/healthz", nil, nil); err != nil {
		return err
	}
	t := newTally(in, "recorded", "unchanged", "invalid")
	f := &feed{
		// One request at a time: of two entries about one person the later counts.
		client: c, path: "/v1/consent", batch: *batch, flights: 1, patience: *patience,
		done: t.result,
	}
	if err := s.stream(ctx, f, in, t, describeEntry); err != nil {
		return err
	}
	switch invalid := t.of("invalid"); {
	case t.total() == 0:
		return errors.New("there is no entry in what was given")
	case !*lenient && invalid > 0:
		return fmt.Errorf("%s of the entries are invalid", number(invalid))
	}
	return nil
}

// describeEntry names an entry by its person, for the list of invalid ones.
func describeEntry(l *line) {
	var e struct {
		UserID string `json:"user_id"`
	}
	if json.Unmarshal(l.text, &e) == nil { // if not, the gateway says invalid
		l.name = e.UserID
	}
}
