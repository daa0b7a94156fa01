package logging

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/assent-gateway/assent/consent"
)

const canary = "CANARYada@example.org"

type loud struct{ secret string }

func (l loud) String() string       { return l.secret }
func (l loud) LogValue() slog.Value { return slog.StringValue(l.secret) }

type quoting struct{ input string }

func (q *quoting) Error() string { return "cannot parse " + q.input }

func logger(t *testing.T, sentinels ...error) (*slog.Logger, *bytes.Buffer) {
	t.Helper()
	var b bytes.Buffer
	return New(&b, slog.LevelDebug, sentinels...), &b
}

func TestNothingIsWrittenThatIsNotOnTheList(t *testing.T) {
	t.Parallel()
	err := fmt.Errorf("read: %w", &quoting{canary})
	cases := map[string]struct {
		log  func(*slog.Logger)
		lost uint64
	}{
		"unknown key":                {func(l *slog.Logger) { l.Info("m", "user", canary) }, 1},
		"known key, free text":       {func(l *slog.Logger) { l.Info("m", "reason", canary) }, 1},
		"number as text":             {func(l *slog.Logger) { l.Info("m", "count", canary) }, 1},
		"method not of HTTP":         {func(l *slog.Logger) { l.Info("m", "method", canary) }, 1},
		"route that is no template":  {func(l *slog.Logger) { l.Info("m", "route", "/v1/consent/"+canary) }, 1},
		"id too long":                {func(l *slog.Logger) { l.Info("m", "key_id", strings.Repeat("CANARY", 11)) }, 1},
		"closure nobody declared":    {func(l *slog.Logger) { l.Info("m", "why", canary) }, 1},
		"value that prints itself":   {func(l *slog.Logger) { l.Info("m", "reason", loud{canary}) }, 1},
		"struct":                     {func(l *slog.Logger) { l.Info("m", "status", struct{ S string }{canary}) }, 1},
		"in a group":                 {func(l *slog.Logger) { l.Info("m", slog.Group("g", "user", canary, "count", 1)) }, 1},
		"in a group of a group":      {func(l *slog.Logger) { l.Info("m", slog.Group("g", slog.Group("h", "q", canary))) }, 1},
		"as a group's name":          {func(l *slog.Logger) { l.Info("m", slog.Group(canary, "count", 1)) }, 1},
		"in a group without a name":  {func(l *slog.Logger) { l.Info("m", slog.Group("", "user", canary)) }, 1},
		"by With":                    {func(l *slog.Logger) { l.With("user", canary).Info("m") }, 1},
		"by WithGroup":               {func(l *slog.Logger) { l.WithGroup(canary).Info("m", "count", 1) }, 1},
		"by WithGroup, then With":    {func(l *slog.Logger) { l.WithGroup("g").With("q", canary).Info("m", "p", canary) }, 2},
		"in the message":             {func(l *slog.Logger) { l.Info("no consent of " + canary) }, 1},
		"in an error's text":         {func(l *slog.Logger) { l.Info("m", "error", err) }, 0},
		"in a joined error's text":   {func(l *slog.Logger) { l.Info("m", "error", errors.Join(err, err)) }, 0},
		"error's text as text":       {func(l *slog.Logger) { l.Info("m", "error", err.Error()) }, 1},
		"missing key":                {func(l *slog.Logger) { l.LogAttrs(context.Background(), slog.LevelInfo, "m", slog.String("", canary)) }, 1},
		"a key that is the canary":   {func(l *slog.Logger) { l.LogAttrs(context.Background(), slog.LevelInfo, "m", slog.Int(canary, 1)) }, 1},
		"debug is watched as well":   {func(l *slog.Logger) { l.Debug("m", "body", canary) }, 1},
		"a subject does not show it": {func(l *slog.Logger) { s, _ := consent.ParseSubject(canary); l.Info("m", "reason", s) }, 1},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l, b := logger(t)
			c.log(l)
			if b.Len() == 0 {
				t.Error("the record itself was lost")
			}
			if strings.Contains(b.String(), "CANARY") {
				t.Errorf("written: %s", b)
			}
			if got := Dropped(l); got != c.lost {
				t.Errorf("dropped %d, want %d: %s", got, c.lost, b)
			}
		})
	}
}

func TestWhatIsOnTheListIsWritten(t *testing.T) {
	t.Parallel()
	sentinel := errors.New("the disk is full")
	l, b := logger(t, sentinel)
	l.With("component", "ledger").WithGroup("http").Warn("request", "method", "GET", "route", "/v1/keys/:id",
		"status", 200, "bytes", uint64(7), "duration", time.Second, "panic_type", "*errors.errorString",
		"position", consent.Position(9), slog.Group("inner", "count", 3),
		"why", consent.Why(consent.ErrBehindJournal), "error", fmt.Errorf("x %s: %w", canary, sentinel))
	var got map[string]any
	if err := json.Unmarshal(b.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	in := got["http"].(map[string]any)
	want := map[string]any{
		"method": "GET", "route": "/v1/keys/:id", "status": 200.0, "bytes": 7.0, "duration": 1e9,
		"panic_type": "*errors.errorString", "position": 9.0, "why": consent.Why(consent.ErrBehindJournal),
		"error": "the disk is full; *fmt.wrapError>*errors.errorString",
	}
	for k, v := range want {
		if in[k] != v {
			t.Errorf("%s = %v, want %v", k, in[k], v)
		}
	}
	if in["inner"].(map[string]any)["count"] != 3.0 || got["component"] != "ledger" || got["msg"] != "request" {
		t.Errorf("got %s", b)
	}
	if Dropped(l) != 0 {
		t.Errorf("dropped %d", Dropped(l))
	}
}

func TestALossShowsInTheRecord(t *testing.T) {
	t.Parallel()
	l, b := logger(t)
	l.Info("m", "user", canary, "count", 1, "q", canary)
	if !strings.Contains(b.String(), `"attributes_dropped":2`) || !strings.Contains(b.String(), `"count":1`) {
		t.Error(b)
	}
}
