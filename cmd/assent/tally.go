package main

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
)

// maxNamed is how many invalid lines a summary names.
const maxNamed = 20

// A tally counts what became of lines.
type tally struct {
	order []string // the outcomes that are always shown
	input *input
	start time.Time

	mu      sync.Mutex
	lines   int
	counts  map[string]int // by outcome
	reasons map[string]int // by outcome and reason
	named   []string       // the first invalid lines
}

func newTally(in *input, outcomes ...string) *tally {
	return &tally{order: outcomes, input: in, start: time.Now(), counts: map[string]int{}, reasons: map[string]int{}}
}

// count counts a line. Of an invalid one, field or reason say why.
func (t *tally) count(l line, outcome, reason, field string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.lines++
	t.counts[outcome]++
	if outcome != "invalid" {
		if reason != "" {
			t.reasons[outcome+": "+reason]++
		}
		return
	}
	if len(t.named) == maxNamed {
		return
	}
	text := fmt.Sprintf("%s:%d", l.file, l.number)
	if l.name != "" {
		text += fmt.Sprintf(" %q", l.name)
	}
	if field != "" {
		text += ": " + field
	}
	if reason != "" {
		text += ": " + reason
	}
	t.named = append(t.named, plain(text))
}

// result counts a line by what the gateway answered to it.
func (t *tally) result(l line, raw json.RawMessage) {
	if l.bad != "" {
		t.count(l, "invalid", l.bad, "")
		return
	}
	var r struct{ Status, Reason, Field string }
	if json.Unmarshal(raw, &r) != nil || r.Status == "" {
		r.Status = "answered unintelligibly"
	}
	t.count(l, r.Status, r.Reason, r.Field)
}

func (t *tally) of(outcome string) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.counts[outcome]
}

// total is how many lines had an outcome.
func (t *tally) total() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.lines
}

// progress is the state in one line.
func (t *tally) progress() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	text := fmt.Sprintf("%s lines, %s/s", number(t.lines), number(t.rate()))
	if size := t.input.size; size > 0 {
		text += fmt.Sprintf(", %d %% read", 100*t.input.read.Load()/size)
	}
	return text + ": " + t.outcomes()
}

func (t *tally) rate() int {
	return int(float64(t.lines) / max(time.Since(t.start).Seconds(), 0.001))
}

func (t *tally) outcomes() string {
	var parts []string
	for _, o := range t.order {
		parts = append(parts, number(t.counts[o])+" "+o)
	}
	for _, o := range slices.Sorted(maps.Keys(t.counts)) {
		if !slices.Contains(t.order, o) {
			parts = append(parts, number(t.counts[o])+" "+plain(o))
		}
	}
	return strings.Join(parts, ", ")
}

// summary writes what became of everything.
func (t *tally) summary(w io.Writer) {
	t.mu.Lock()
	defer t.mu.Unlock()
	took := time.Since(t.start).Round(10 * time.Millisecond)
	fmt.Fprintf(w, "%s lines in %v (%s/s): %s\n", number(t.lines), took, number(t.rate()), t.outcomes())
	for _, reason := range slices.Sorted(maps.Keys(t.reasons)) {
		fmt.Fprintf(w, "  %s %s\n", number(t.reasons[reason]), plain(reason))
	}
	if len(t.named) > 0 {
		fmt.Fprintln(w, "invalid:")
	}
	for _, n := range t.named {
		fmt.Fprintf(w, "  %s\n", n)
	}
	if more := t.counts["invalid"] - len(t.named); more > 0 {
		fmt.Fprintf(w, "  and %s more\n", number(more))
	}
}
