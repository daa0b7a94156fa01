package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/assent-gateway/assent/internal/verify"
)

const (
	maxCheckpoint = 1 << 20
	progressEvery = 2 * time.Second
)

func (s *session) consistency(ctx context.Context, args []string) error {
	f := newFlags(`assent-verify consistency --key VKEY OLD NEW [--log URL|DIR]
Checks that the log at checkpoint NEW continues the log at checkpoint OLD. When
the sizes differ the proof is made from tiles of the log. OLD and NEW are files
with a checkpoint, or a .tlog-proof or receipt, which holds one.`)
	log := f.String("log", "", "where the log's tiles are: `URL|DIR`")
	token := f.String("token", "", "a bearer `TOKEN` for a URL (default: $ASSENT_KEY)")
	files, trust, err := f.parse(s, args, 2)
	if err != nil {
		return err
	}
	older, err := checkpoint(trust, "OLD", files[0])
	if err != nil {
		return err
	}
	newer, err := checkpoint(trust, "NEW", files[1])
	if err != nil {
		return err
	}
	var src verify.Source
	if *log != "" {
		var closeLog func()
		if src, closeLog, err = s.open(f, *log, *token); err != nil {
			return err
		}
		defer closeLog()
	} else if older.Size < newer.Size && older.Size > 0 {
		return f.mistake("the sizes differ: --log is needed for the tiles between them")
	}
	if err := verify.Extends(ctx, src, older, newer); err != nil {
		return err
	}
	_, err = fmt.Fprintf(s.out, "verified: the log %q of %d entries continues the one of %d entries\n",
		newer.Origin, newer.Size, older.Size)
	return err
}

// readCheckpoint reads a file with a checkpoint, or a proof, which ends in one.
func readCheckpoint(name string) ([]byte, error) {
	b, err := readFile(name, maxCheckpoint)
	if bytes.HasPrefix(b, []byte("c2sp.org/tlog-proof@v1\n")) {
		_, b, _ = bytes.Cut(b, []byte("\n\n"))
	}
	return b, err
}

// checkpoint opens the checkpoint in a file.
func checkpoint(trust verify.Trust, which, name string) (verify.Checkpoint, error) {
	b, err := readCheckpoint(name)
	if err != nil {
		return verify.Checkpoint{}, err
	}
	c, err := trust.Checkpoint(b)
	if err != nil {
		return verify.Checkpoint{}, fmt.Errorf("%s: %w", which, err)
	}
	return c, nil
}

func (s *session) log(ctx context.Context, args []string) error {
	f := newFlags(`assent-verify log --key VKEY URL|DIR [--old CHECKPOINT]
Walks a whole log: its checkpoint, every tile, every entry. DIR is a copy with
the same paths. Without --old a log that was rewritten as a whole, by someone
who holds its key, cannot be told from an honest one.`)
	old := f.String("old", "", "a `FILE` with an earlier checkpoint (or a proof or receipt, which holds one), which the log must continue")
	save := f.String("save", "", "write the checkpoint to `FILE` once all verifies: --old of the next time")
	lost := f.Bool("lost", false, "accept entries of which a restore from a backup left only the leaf, and count them")
	token := f.String("token", "", "a bearer `TOKEN` for a URL (default: $ASSENT_KEY)")
	where, trust, err := f.parse(s, args, 1)
	if err != nil {
		return err
	}
	walk := verify.Walk{Trust: trust, Lost: *lost, Progress: s.progress()}
	if *old != "" {
		if walk.Old, err = readCheckpoint(*old); err != nil {
			return err
		}
	}
	src, closeLog, err := s.open(f, where[0], *token)
	if err != nil {
		return err
	}
	defer closeLog()
	walk.Source = src
	r, err := walk.Run(ctx)
	if err != nil {
		return err
	}
	if *save != "" {
		if err := saveWhole(*save, r.Note); err != nil {
			return err
		}
	}
	_, err = io.WriteString(s.out, sentence(r))
	return err
}

// saveWhole replaces a file, or leaves it as it is: it may be the only earlier
// checkpoint that there is.
func saveWhole(name string, content []byte) error {
	f, err := os.CreateTemp(filepath.Dir(name), ".checkpoint-*")
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err == nil {
		err = f.Chmod(0o644)
	}
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), name)
	}
	if err != nil {
		err = errors.Join(err, os.Remove(f.Name()))
	}
	return err
}

func sentence(r verify.Report) string {
	c := r.Checkpoint
	text := fmt.Sprintf("verified: the log %q, all of %d entries and %d tiles, as its checkpoint signs", c.Origin, c.Size, r.Tiles)
	if r.Old != nil {
		text += fmt.Sprintf(", continues the one of %d entries", r.Old.Size)
	}
	if r.Lost > 0 {
		text += fmt.Sprintf("; of %d entries only the leaf is left", r.Lost)
	}
	if r.Uncovered > 0 {
		text += fmt.Sprintf("; %d files that the checkpoint does not cover were not checked", r.Uncovered)
	}
	return text + "; witnesses: 0\n"
}

// open opens a log by its address or directory.
func (s *session) open(f *flags, where, token string) (verify.Source, func(), error) {
	if strings.HasPrefix(where, "https://") || strings.HasPrefix(where, "http://") {
		if token == "" {
			token = s.getenv("ASSENT_KEY")
		}
		r, err := verify.NewRemote(where, token)
		if err != nil {
			return nil, nil, f.mistake(err.Error())
		}
		return r, func() {}, nil
	}
	m, err := verify.OpenMirror(where)
	if err != nil {
		return nil, nil, err
	}
	return m, func() { _ = m.Close() }, nil // read only
}

// progress returns what shows how far a walk is, every now and then.
func (s *session) progress() func(done, total uint64) {
	last := time.Now()
	return func(done, total uint64) {
		if now := time.Now(); now.Sub(last) >= progressEvery {
			last = now
			fmt.Fprintf(s.err, "%d of %d entries\n", done, total)
		}
	}
}
