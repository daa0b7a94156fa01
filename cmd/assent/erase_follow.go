package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// silentLooks is how often in a row an erasure is seen to wait for answers alone,
// before it is not followed any more: some five seconds.
const silentLooks = 10

// follow asks until the erasure ends or waits for somebody or something, and
// shows each state it comes to; where it is to wait, until it ends or somebody has
// to decide.
func follow(ctx context.Context, s *session, c *client, id string, wait bool) (erasureStatus, error) {
	const first, most = 20 * time.Millisecond, time.Second
	shown, silent := "", 0
	for pause := first; ; pause = min(2*pause, most) {
		var status erasureStatus
		if _, err := c.call(ctx, http.MethodGet, path("v1", "erasures", id), nil, &status); err != nil {
			return status, err
		}
		if status.State != shown {
			fmt.Fprintln(s.err, plain(status.State))
			shown = status.State
		}
		switch status.State {
		case "suppressed", "running", "verifying":
		default:
			return status, nil
		}
		if len(status.silent()) > 0 {
			silent++
		}
		if !wait && (status.waits() != "" || silent >= silentLooks) {
			return status, nil
		}
		if err := c.wait(ctx, pause); err != nil {
			return status, err
		}
	}
}

// waits is what a target waits for, "" when none does.
func (e *erasureStatus) waits() string {
	for _, t := range e.Targets {
		if what, does := strings.CutPrefix(t.State, "waiting_for_"); does {
			return what
		}
	}
	return ""
}

// silent are those whose answer alone is waited for: every target is verified.
func (e *erasureStatus) silent() (names []string) {
	if e.State != "verifying" {
		return nil
	}
	for _, t := range e.Targets {
		if t.State != "verified" && t.State != "exception" {
			return nil
		}
	}
	for _, p := range e.Processors {
		if p.State == "silent" {
			names = append(names, plain(p.Name))
		}
	}
	return names
}

// sayWhy says what an erasure that has not ended waits for, and how to go on.
func (e *erasureStatus) sayWhy(w io.Writer, id string) (err error) {
	at := "/v1/erasures/" + plain(id)
	what, silent := e.waits(), e.silent()
	switch {
	case what == "hold":
		_, err = fmt.Fprintf(w, "waits for the end of a hold on what it is about: nothing is deleted meanwhile\n")
	case what != "":
		_, err = fmt.Fprintf(w, "waits for the next %s\n", plain(what))
	case len(silent) > 0:
		_, err = fmt.Fprintf(w, "what is ours is erased and verified; waits for the answer of %s, at most until their time is over\n", strings.Join(silent, ", "))
	case e.State == "held":
		_, err = fmt.Fprintf(w, "is held: nothing is deleted until POST %s/release\n", at)
		return err
	default:
		return nil
	}
	if err == nil {
		_, err = fmt.Fprintf(w, "GET %s shows how far it is, and …/receipt is the receipt; or run it again with --wait\n", at)
	}
	return err
}
