package main

import (
	"context"
	"fmt"
	"net/http"
	"text/tabwriter"
)

const consentUsage = `assent consent grant|deny|revoke|object|restrict|unrestrict [flags] USER TYPE…
assent consent show USER
assent consent import [flags] FILE…

Records what a person said about a use of their data (TYPE, such as
rag_retrieval_v1.0), shows what is in force, or imports entries from JSON
lines: one body of POST /v1/consent a line (gzip too; - is stdin).`

// statusOf is the status that a verb records; "" when it records none.
func statusOf(verb string) string {
	switch verb {
	case "grant":
		return "granted"
	case "deny":
		return "denied"
	case "revoke":
		return "revoked"
	case "object":
		return "objected"
	case "restrict":
		return "restricted"
	case "unrestrict":
		return "unrestricted"
	}
	return ""
}

type consentEntry struct {
	UserID       string `json:"user_id"`
	ConsentType  string `json:"consent_type"`
	Status       string `json:"status"`
	Source       string `json:"source"`
	Jurisdiction string `json:"jurisdiction,omitempty"`
	Timestamp    string `json:"timestamp,omitempty"`
	ExpiresAt    string `json:"expires_at,omitempty"`
}

type consentRecorded struct {
	LedgerPosition int64 `json:"ledger_position"`
	Decision       struct {
		Allowed bool   `json:"allowed"`
		Reason  string `json:"reason"`
	} `json:"decision"`
}

// allows says what the decision came to.
func (r *consentRecorded) allows() string {
	if r.Decision.Allowed {
		return "use is allowed"
	}
	return "use is not allowed (" + plain(r.Decision.Reason) + ")"
}

func consentCommand(ctx context.Context, s *session, args []string) error {
	verb := ""
	if len(args) > 0 {
		verb = args[0]
	}
	switch {
	case verb == "show":
		return consentShow(ctx, s, args[1:])
	case verb == "import":
		return consentImport(ctx, s, args[1:])
	case statusOf(verb) != "":
		return consentRecord(ctx, s, verb, args[1:])
	}
	fs := newFlags(consentUsage)
	if _, err := fs.parse(s, args); err != nil {
		return err
	}
	return fs.mistake("consent needs one of grant, deny, revoke, object, restrict, unrestrict, show, import")
}

func consentRecord(ctx context.Context, s *session, verb string, args []string) error {
	fs := newFlags("assent consent " + verb + " [flags] USER TYPE…")
	source := fs.String("source", "cli", "where the person said it, such as `signup-form`")
	jurisdiction := fs.String("jurisdiction", "", "where the person is, such as `DE` or US-CA")
	timestamp := fs.String("timestamp", "", "when the person said it, `RFC 3339`; now when not given")
	expires := fs.String("expires", "", "when a grant ends, `RFC 3339`")
	names, err := fs.parse(s, args)
	if err != nil {
		return err
	}
	if len(names) < 2 {
		return fs.mistake(verb + " needs a USER and at least one TYPE")
	}
	if err := fs.filled("jurisdiction", "timestamp", "expires"); err != nil {
		return err
	}
	if *expires != "" && verb != "grant" {
		return fs.mistake("--expires: only a grant expires")
	}
	c, err := s.client()
	if err != nil {
		return err
	}
	for _, kind := range names[1:] {
		entry := consentEntry{names[0], kind, statusOf(verb), *source, *jurisdiction, *timestamp, *expires}
		var r consentRecorded
		status, err := c.call(ctx, http.MethodPost, "/v1/consent", entry, &r)
		if err != nil {
			return fmt.Errorf("%s: %w", kind, err)
		}
		how := "recorded"
		if status == http.StatusOK {
			how = "already so"
		}
		fmt.Fprintf(s.out, "%s %s %s: %s at ledger position %d; %s\n",
			names[0], kind, statusOf(verb), how, r.LedgerPosition, r.allows())
	}
	return nil
}

func consentShow(ctx context.Context, s *session, args []string) error {
	fs := newFlags("assent consent show USER")
	names, err := fs.parse(s, args)
	if err != nil {
		return err
	}
	if len(names) != 1 {
		return fs.mistake("show needs one USER")
	}
	c, err := s.client()
	if err != nil {
		return err
	}
	var state struct {
		UserID         string `json:"user_id"`
		LedgerPosition int64  `json:"ledger_position"`
		Statuses       []struct {
			ConsentType string `json:"consent_type"`
			Status      string `json:"status"`
			Timestamp   string `json:"timestamp"`
			Allowed     bool   `json:"allowed"`
			Reason      string `json:"reason"`
			ExpiresAt   string `json:"expires_at"`
		} `json:"statuses"`
	}
	// By POST, so that the person's name is in no URL.
	query := struct {
		UserID string `json:"user_id"`
	}{names[0]}
	if _, err := c.call(ctx, http.MethodPost, "/v1/consent/query", query, &state); err != nil {
		return err
	}
	fmt.Fprintf(s.out, "%s at ledger position %d\n", plain(state.UserID), state.LedgerPosition)
	if len(state.Statuses) == 0 {
		fmt.Fprintln(s.out, "nothing is recorded")
		return nil
	}
	w := tabwriter.NewWriter(s.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "TYPE\tSTATUS\tSINCE\tALLOWED\tREASON\tEXPIRES")
	for _, t := range state.Statuses {
		allowed := map[bool]string{true: "yes", false: "no"}[t.Allowed]
		fmt.Fprintln(w, plain(t.ConsentType)+"\t"+plain(t.Status)+"\t"+plain(t.Timestamp)+"\t"+
			allowed+"\t"+plain(t.Reason)+"\t"+plain(t.ExpiresAt))
	}
	return w.Flush()
}
