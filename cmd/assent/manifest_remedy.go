package main

import (
	"context"
	"fmt"
	"net/http"
)

// manifestRemedy records what a person decided about a training run.
func manifestRemedy(ctx context.Context, s *session, args []string) error {
	fs := newFlags(manifestUsage)
	run := fs.String("run", "", "the run's `name`")
	remedy := fs.String("remedy", "", "the `choice`: no_action, retrain, adapter_removal or unsupported")
	by := fs.String("by", "", "the `name` of who decided; it is kept sealed")
	note := fs.String("note", "", "a `text`, kept sealed")
	ids, err := fs.parse(s, args)
	if err != nil {
		return err
	}
	if len(ids) != 1 {
		return fs.mistake("which ID?")
	}
	if err := fs.need("run", "remedy", "by"); err != nil {
		return err
	}
	c, err := s.client()
	if err != nil {
		return err
	}
	in := map[string]string{"remedy": *remedy, "by": *by}
	if *note != "" {
		in["note"] = *note
	}
	var answer struct {
		Position int64 `json:"ledger_position"`
	}
	if _, err := c.call(ctx, http.MethodPost, path("v1", "manifests", ids[0], "runs", *run, "remedy"), in, &answer); err != nil {
		return err
	}
	_, err = fmt.Fprintf(s.out, "recorded at ledger position %d\n", answer.Position)
	return err
}
