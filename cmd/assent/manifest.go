package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

const manifestUsage = `assent manifest build --collections C[,C…] --out DIR [flags]
assent manifest build --resume ID --out DIR
assent manifest check ID [--drop FILE]
assent manifest diff ID OTHER
assent manifest bind ID --run RUN [--model-digest sha256:…] [--pipeline NAME]
assent manifest remedy ID --run RUN --remedy CHOICE --by NAME [--note TEXT]

Training manifests: build one and fetch its files, ask whether it still holds
(exit status 0 only when it is valid), see what differs between two, bind a
training run to one (again, when its model has a digest), record what a person
decided about a run that holds somebody who left: no_action, retrain,
adapter_removal or unsupported.`

func manifestCommand(ctx context.Context, s *session, args []string) error {
	fs := newFlags(manifestUsage)
	if len(args) == 0 {
		return fs.mistake("build, check, diff, bind or remedy?")
	}
	switch args[0] {
	case "build":
		return manifestBuild(ctx, s, args[1:])
	case "check":
		return manifestCheck(ctx, s, args[1:])
	case "diff":
		return manifestDiff(ctx, s, args[1:])
	case "bind":
		return manifestBind(ctx, s, args[1:])
	case "remedy":
		return manifestRemedy(ctx, s, args[1:])
	}
	if _, err := fs.parse(s, args); err != nil {
		return err
	}
	return fs.mistake("there is no such command")
}

type manifestRequest struct {
	Purpose      string             `json:"purpose,omitempty"`
	Collections  []string           `json:"collections"`
	Filter       json.RawMessage    `json:"filter,omitempty"`
	Splits       map[string]float64 `json:"splits,omitempty"`
	Formats      []string           `json:"formats"`
	IncludeText  bool               `json:"include_text,omitempty"`
	Linkable     bool               `json:"linkable,omitempty"`
	Visibilities []string           `json:"visibilities,omitempty"`
	ExpiresIn    string             `json:"expires_in,omitempty"`
	At           *uint64            `json:"at_position,omitempty"`
	AtCorpus     *uint64            `json:"at_corpus_position,omitempty"`
}

type manifestAnswer struct {
	ID        string           `json:"id"`
	State     string           `json:"state"`
	Problem   string           `json:"problem"`
	Progress  float64          `json:"progress"`
	Rows      int64            `json:"rows"`
	Withheld  int64            `json:"withheld"`
	Excluded  map[string]int64 `json:"excluded"`
	Digest    string           `json:"digest"`
	ExpiresAt string           `json:"expires_at"`
	Files     []struct {
		Name  string `json:"name"`
		Bytes int64  `json:"bytes"`
	} `json:"files"`
}

func manifestBuild(ctx context.Context, s *session, args []string) error {
	fs := newFlags(manifestUsage)
	collections := fs.String("collections", "", "comma-separated `names`")
	purpose := fs.String("purpose", "model_training", "what the rows are for; \"\" when the key has exactly one `purpose`")
	filter := fs.String("filter", "", "`JSON` such as {\"field\": \"lang\", \"op\": \"eq\", \"value\": \"en\"}")
	splits := fs.String("splits", "", "`SHARES` such as train=0.9,test=0.1; a person is in one")
	formats := fs.String("formats", "parquet", "`jsonl`, parquet or both")
	text := fs.Bool("text", false, "the rows have their texts")
	linkable := fs.Bool("linkable", false, "the rows have ids and digests that other data has, too")
	visibilities := fs.String("visibilities", "", "`tenant`, listed, private; tenant when it is not given")
	expires := fs.String("expires-in", "", "a `span` such as 720h, after which it holds no more")
	at := fs.String("at-position", "", "decide as the ledger stood at this `position`")
	atCorpus := fs.String("at-corpus-position", "", "choose from the documents at this `position`")
	out := fs.String("out", "", "a `directory` to be made for the files")
	resume := fs.String("resume", "", "go on with the manifest of this `ID`: built, failed or still being built")
	rest, err := fs.parse(s, args)
	switch {
	case err != nil:
		return err
	case len(rest) > 0:
		return fs.mistake("too many arguments")
	case *out == "":
		return fs.mistake("--out is missing")
	case *resume == "" && *collections == "":
		return fs.mistake("--collections is missing")
	case *filter != "" && !json.Valid([]byte(*filter)):
		return fs.mistake("--filter is not JSON")
	}
	if _, err := os.Stat(*out); err == nil {
		return errors.New("--out is there already: name a directory to be made")
	}
	req := manifestRequest{
		Purpose: *purpose, Collections: list(*collections), Filter: json.RawMessage(*filter), Formats: list(*formats),
		IncludeText: *text, Linkable: *linkable, Visibilities: list(*visibilities), ExpiresIn: *expires,
	}
	if req.Splits, err = shares(*splits); err != nil {
		return fs.mistake(err.Error())
	}
	for value, into := range map[*string]**uint64{at: &req.At, atCorpus: &req.AtCorpus} {
		if *value == "" {
			continue
		}
		n, err := strconv.ParseUint(*value, 10, 63)
		if err != nil {
			return fs.mistake("a position is a number")
		}
		*into = &n
	}
	c, err := s.client()
	if err != nil {
		return err
	}
	m, err := buildManifest(ctx, s, c, *resume, req)
	if err != nil {
		return err
	}
	if err := fetchManifest(ctx, c, m, *out); err != nil {
		return err
	}
	_, err = fmt.Fprintf(s.out, "%s: %s rows in %s, %s withheld, valid until %s unless somebody withdraws\n",
		plain(m.ID), number(m.Rows), *out, number(m.Withheld), plain(m.ExpiresAt))
	return err
}

// shares reads train=0.9,test=0.1.
func shares(text string) (map[string]float64, error) {
	var out map[string]float64
	for _, part := range list(text) {
		name, value, ok := strings.Cut(part, "=")
		share, err := strconv.ParseFloat(value, 64)
		if !ok || err != nil {
			return nil, errors.New("--splits is not a list such as train=0.9,test=0.1")
		}
		if out == nil {
			out = map[string]float64{}
		}
		out[name] = share
	}
	return out, nil
}

// buildManifest has a manifest built, or goes on with one, and waits for it.
func buildManifest(ctx context.Context, s *session, c *client, resume string, req manifestRequest) (m manifestAnswer, err error) {
	if resume == "" {
		_, err = c.call(ctx, http.MethodPost, path("v1", "manifests"), req, &m)
	} else {
		_, err = c.call(ctx, http.MethodPost, path("v1", "manifests", resume, "resume"), nil, &m)
	}
	if err != nil {
		return m, err
	}
	id := m.ID
	fmt.Fprintf(s.err, "building %s (interrupted, go on with --resume %s)\n", plain(id), plain(id))
	var progress atomic.Int64
	shown := showProgress(s.err, func() string { return fmt.Sprintf("%d %%", progress.Load()) })
	defer shown.stop()
	for {
		if _, err := c.call(ctx, http.MethodGet, path("v1", "manifests", id), nil, &m); err != nil {
			return m, err
		}
		switch m.State {
		case "ready":
			return m, nil
		case "failed":
			return m, fmt.Errorf("the build failed: %s; mend it, then go on with --resume %s", plain(m.Problem), plain(id))
		}
		progress.Store(int64(m.Progress * 100))
		if err := c.wait(ctx, 200*time.Millisecond); err != nil {
			return m, err
		}
	}
}

func manifestCheck(ctx context.Context, s *session, args []string) error {
	fs := newFlags(manifestUsage)
	drop := fs.String("drop", "", "a `FILE` for the tokens of rows to drop, one a line; - is the output")
	ids, err := fs.parse(s, args)
	if err != nil {
		return err
	}
	if len(ids) != 1 {
		return fs.mistake("which ID?")
	}
	c, err := s.client()
	if err != nil {
		return err
	}
	var answer struct {
		Status    string           `json:"status"`
		Position  int64            `json:"ledger_position"`
		ExpiresAt string           `json:"expires_at"`
		Drop      []string         `json:"drop"`
		Reasons   map[string]int64 `json:"drop_reasons"`
	}
	if _, err := c.call(ctx, http.MethodGet, path("v1", "manifests", ids[0], "check"), nil, &answer); err != nil {
		return err
	}
	rows := strings.Join(append(answer.Drop, ""), "\n")
	switch *drop {
	case "":
	case "-":
		_, err = io.WriteString(s.out, rows)
	default:
		err = os.WriteFile(*drop, []byte(rows), 0o600)
	}
	if err != nil {
		return fmt.Errorf("write the rows to drop: %w", err)
	}
	to := s.out
	if *drop == "-" {
		to = s.err
	}
	fmt.Fprintf(to, "%s at ledger position %d, %s rows to drop, lease until %s\n",
		plain(answer.Status), answer.Position, number(len(answer.Drop)), plain(answer.ExpiresAt))
	if answer.Status != "valid" {
		return errors.New("the manifest is not valid: do not train with it as it is")
	}
	return nil
}

func manifestDiff(ctx context.Context, s *session, args []string) error {
	fs := newFlags(manifestUsage)
	ids, err := fs.parse(s, args)
	if err != nil {
		return err
	}
	if len(ids) != 2 {
		return fs.mistake("which two manifests?")
	}
	c, err := s.client()
	if err != nil {
		return err
	}
	resp, err := c.do(ctx, http.MethodGet, path("v1", "manifests", ids[0], "diff", ids[1]), "", nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	_, err = io.Copy(s.out, resp.Body)
	return err
}

func manifestBind(ctx context.Context, s *session, args []string) error {
	fs := newFlags(manifestUsage)
	run := fs.String("run", "", "the run's `name`")
	model := fs.String("model-digest", "", "`sha256:…` of the model that came of it")
	pipeline := fs.String("pipeline", "", "the pipeline's `name`")
	ids, err := fs.parse(s, args)
	if err != nil {
		return err
	}
	if len(ids) != 1 {
		return fs.mistake("which ID?")
	}
	if err := fs.need("run"); err != nil {
		return err
	}
	c, err := s.client()
	if err != nil {
		return err
	}
	in := map[string]string{"run_id": *run}
	for name, value := range map[string]string{"model_digest": *model, "pipeline": *pipeline} {
		if value != "" {
			in[name] = value
		}
	}
	var answer struct {
		Position int64 `json:"ledger_position"`
	}
	if _, err := c.call(ctx, http.MethodPost, path("v1", "manifests", ids[0], "runs"), in, &answer); err != nil {
		return err
	}
	_, err = fmt.Fprintf(s.out, "bound at ledger position %d\n", answer.Position)
	return err
}
