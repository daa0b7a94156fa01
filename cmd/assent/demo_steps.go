package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// record records consent as part of the current step.
func (d *demonstration) record(ctx context.Context, who, kind, status string) error {
	var r consentRecorded
	entry := consentEntry{UserID: who, ConsentType: kind, Status: status, Source: "demo", Jurisdiction: "DE"}
	if err := d.send(ctx, http.MethodPost, "/v1/consent", entry, &r); err != nil {
		return err
	}
	fmt.Fprintf(d.out, "   → %s %s %s at ledger position %d\n", who, kind, status, r.LedgerPosition)
	return nil
}

// search returns the ids of the documents found, best first.
func (d *demonstration) search(ctx context.Context, title string) ([]string, error) {
	var answer searchAnswer
	request := searchRequest{Query: demoQuery, K: 10, Purpose: "rag_retrieval"}
	if err := d.do(ctx, title, http.MethodPost, d.path("search"), request, &answer); err != nil {
		return nil, err
	}
	var ids []string
	for _, h := range answer.Hits {
		fmt.Fprintf(d.out, "   → %.2f %s: %s\n", h.Score, plain(h.DocumentID), short(h.Text, 80))
		ids = append(ids, h.DocumentID)
	}
	return ids, nil
}

// cleanUp removes the collection, also after an interrupt.
func (d *demonstration) cleanUp(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
	defer cancel()
	return d.do(ctx, "Clean up: delete the collection.", http.MethodDelete, d.path(), nil, nil)
}

// do is a step of one request.
func (d *demonstration) do(ctx context.Context, title, method, path string, in, out any) error {
	d.say(title)
	return d.send(ctx, method, path, in, out)
}

func (d *demonstration) say(title string) {
	d.step++
	fmt.Fprintf(d.out, "\n%d. %s\n", d.step, title)
}

// send shows a request as curl and makes it.
func (d *demonstration) send(ctx context.Context, method, path string, in, out any) error {
	var curl strings.Builder
	curl.WriteString("   curl -sS")
	if method != http.MethodPost {
		curl.WriteString(" -X " + method)
	}
	curl.WriteString(` "$ASSENT_URL` + path + `" -H "Authorization: Bearer $ASSENT_KEY"`)
	if in != nil {
		var body bytes.Buffer
		enc := json.NewEncoder(&body)
		enc.SetEscapeHTML(false)
		if err := enc.Encode(in); err != nil {
			return err
		}
		quoted := strings.ReplaceAll(strings.TrimSpace(body.String()), "'", `'\''`)
		curl.WriteString(" \\\n     -H 'Content-Type: application/json' -d '" + quoted + "'")
	}
	fmt.Fprintln(d.out, curl.String())
	_, err := d.client.call(ctx, method, path, in, out)
	return err
}
