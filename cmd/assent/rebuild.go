package main

import (
	"context"
	"fmt"
	"net/http"
	"text/tabwriter"
)

const rebuildUsage = `assent rebuild [--status]

Makes everything that Weaviate has of the tenant anew from what the gateway has,
beside what serves, goes over to it and drops the old: only then do erased people
leave Weaviate's files. It runs in the background; with --status, or run again,
it shows how far it is. ASSENT_KEY needs the scope admin.`

func rebuild(ctx context.Context, s *session, args []string) error {
	fs := newFlags(rebuildUsage)
	status := fs.Bool("status", false, "begin nothing, and show how far it is")
	rest, err := fs.parse(s, args)
	if err != nil {
		return err
	}
	if len(rest) > 0 {
		return fs.mistake("rebuild takes no arguments")
	}
	c, err := s.client()
	if err != nil {
		return err
	}
	method := http.MethodPost
	if *status {
		method = http.MethodGet
	}
	var answer struct {
		Rebuilds []struct {
			Collection string `json:"collection"`
			State      string `json:"state"`
			BeganAt    string `json:"began_at"`
		} `json:"rebuilds"`
	}
	if _, err := c.call(ctx, method, "/v1/rebuilds", nil, &answer); err != nil {
		return err
	}
	w := tabwriter.NewWriter(s.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "COLLECTION\tSTATE\tBEGAN")
	for _, r := range answer.Rebuilds {
		fmt.Fprintf(w, "%s\t%s\t%s\n", plain(r.Collection), plain(r.State), plain(r.BeganAt))
	}
	return w.Flush()
}
