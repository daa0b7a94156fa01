package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
)

const eraseUsage = `assent erase [flags] SUBJECT
assent erase --collection C [--document ID]
assent erase --source S [--collection C]

Erases a person by any of their identifiers, a document, what came from a
source, or all documents of a collection; shows how far it is, store by store;
and saves the receipt. What is erased is unreachable as soon as the claim is
printed: after an interruption run it again, it goes on with the same erasure.
When nothing is left to do but to wait, for answers of others, a rebuild or the
end of a hold, it says so and ends; with --wait it waits.`

// erasureStatus is what the gateway says of an erasure.
type erasureStatus struct {
	ID        string `json:"id"`
	State     string `json:"state"`
	Level     string `json:"level"`
	DaysLeft  int    `json:"days_left"`
	Documents uint64 `json:"documents"`
	Passages  uint64 `json:"passages"`
	Targets   []struct {
		Name      string `json:"name"`
		Kind      string `json:"kind"`
		State     string `json:"state"`
		Goal      string `json:"goal"`
		Level     string `json:"level"`
		Deleted   uint64 `json:"deleted"`
		Remaining uint64 `json:"remaining"`
		Exception string `json:"exception"`
	} `json:"targets"`
	Processors []struct {
		Name  string `json:"name"`
		State string `json:"state"`
	} `json:"processors"`
}

type eraseRequest struct {
	Scope        string            `json:"scope"`
	Subject      string            `json:"subject,omitempty"`
	Collection   string            `json:"collection,omitempty"`
	Document     string            `json:"document_id,omitempty"`
	Source       string            `json:"source,omitempty"`
	Regulation   string            `json:"regulation,omitempty"`
	Jurisdiction string            `json:"jurisdiction,omitempty"`
	Reason       string            `json:"reason,omitempty"`
	Verification map[string]string `json:"verification,omitempty"`
}

func erase(ctx context.Context, s *session, args []string) error {
	fs := newFlags(eraseUsage)
	var r eraseRequest
	fs.StringVar(&r.Collection, "collection", "", "the collection's `name`")
	fs.StringVar(&r.Document, "document", "", "the document's `id`")
	fs.StringVar(&r.Source, "source", "", "the source's `name`")
	fs.StringVar(&r.Regulation, "regulation", "", "a `framework` of the policy, such as gdpr; by jurisdiction when not given")
	fs.StringVar(&r.Jurisdiction, "jurisdiction", "", "where the person is, as an ISO 3166 `code`")
	fs.StringVar(&r.Reason, "reason", "", "kept sealed with the evidence, as a `text`")
	method := fs.String("verified-by", "", "how it was verified that the person asks, as a `text`")
	wait := fs.Bool("wait", false, "wait also for what takes days: answers of others, rebuilds, holds")
	receipt := fs.String("receipt", "", "where to save the receipt; erasure-ID.json when not given")
	names, err := fs.parse(s, args)
	if err != nil {
		return err
	}
	switch {
	case len(names) == 1 && r.Collection+r.Document+r.Source == "":
		r.Scope, r.Subject = "subject", names[0]
	case len(names) > 0:
		return fs.mistake("name one SUBJECT, or documents by flags, not both")
	case r.Document != "":
		r.Scope = "document"
	case r.Source != "":
		r.Scope = "source"
	case r.Collection != "":
		r.Scope = "collection"
	default:
		return fs.mistake("whom, or what?")
	}
	if *method != "" {
		r.Verification = map[string]string{"method": *method}
	}
	c, err := s.client()
	if err != nil {
		return err
	}
	var accepted struct {
		ID       string `json:"id"`
		State    string `json:"state"`
		Deadline string `json:"deadline"`
		Claim    string `json:"claim"`
	}
	if _, err := c.call(ctx, http.MethodPost, path("v1", "erasures"), r, &accepted); err != nil {
		return err
	}
	fmt.Fprintf(s.out, "erasure %s: unreachable; to be done by %s\nclaim %s\n", plain(accepted.ID), plain(accepted.Deadline), plain(accepted.Claim))
	status, err := follow(ctx, s, c, accepted.ID, *wait)
	if err != nil {
		return err
	}
	status.print(s.out)
	switch status.State {
	case "completed", "completed_with_exceptions":
		return saveReceipt(ctx, s, c, accepted.ID, *receipt)
	case "received":
		_, err = fmt.Fprintln(s.out, "waits for the approval of another key: POST /v1/erasures/"+plain(accepted.ID)+"/decide")
		return err
	}
	return status.sayWhy(s.out, accepted.ID)
}

// print writes the state for people.
func (e *erasureStatus) print(w io.Writer) {
	fmt.Fprintf(w, "%s, level %s: %d documents, %d passages\n", plain(e.State), plain(e.Level), e.Documents, e.Passages)
	for _, t := range e.Targets {
		fmt.Fprintf(w, "  %-12s %-18s %-9s (goal %s), %d deleted, %d left\n", plain(t.Name), plain(t.Kind), plain(t.Level), plain(t.Goal), t.Deleted, t.Remaining)
		if t.Exception != "" {
			fmt.Fprintf(w, "    %s\n", plain(t.Exception))
		}
	}
}

func saveReceipt(ctx context.Context, s *session, c *client, id, name string) error {
	resp, err := c.do(ctx, http.MethodGet, path("v1", "erasures", id, "receipt"), "", nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return errors.New("the receipt did not come whole: run the command again")
	}
	if name == "" {
		name = "erasure-" + id + ".json"
	}
	if err := os.WriteFile(name, raw, 0o600); err != nil {
		return fmt.Errorf("save the receipt: %w", err)
	}
	_, err = fmt.Fprintf(s.out, "receipt saved as %s; check it with assent-verify receipt --key VKEY %s\n", name, name)
	return err
}
