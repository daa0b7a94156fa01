package main

import (
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode"

	"golang.org/x/term"
)

// How often progress shows: on a terminal it rewrites its line, elsewhere
// every line stays.
const (
	everyTerminal = 200 * time.Millisecond
	everyLog      = 5 * time.Second
)

// A progress shows how far something is until it is stopped.
type progress struct {
	mu       sync.Mutex
	w        io.Writer
	terminal bool
	width    int // of what the terminal's line shows
	stopped  chan struct{}
	done     sync.WaitGroup
}

// showProgress calls text now and then and shows what it returns.
func showProgress(w io.Writer, text func() string) *progress {
	p := &progress{w: w, terminal: isTerminal(w), stopped: make(chan struct{})}
	every := everyLog
	if p.terminal {
		every = everyTerminal
	}
	p.done.Go(func() {
		tick := time.NewTicker(every)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				p.show(text())
			case <-p.stopped:
				return
			}
		}
	})
	return p
}

func (p *progress) show(text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.terminal {
		fmt.Fprintln(p.w, text)
		return
	}
	fmt.Fprintf(p.w, "\r%s%s", text, strings.Repeat(" ", max(0, p.width-len(text))))
	p.width = len(text)
}

// note prints a line that stays.
func (p *progress) note(text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.wipe()
	fmt.Fprintln(p.w, text)
}

// stop ends it and leaves a terminal's line empty.
func (p *progress) stop() {
	close(p.stopped)
	p.done.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.wipe()
}

func (p *progress) wipe() {
	if p.terminal && p.width > 0 {
		fmt.Fprintf(p.w, "\r%s\r", strings.Repeat(" ", p.width))
		p.width = 0
	}
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// number writes n with its thousands apart: 196 127.
func number[N int | int64](n N) string {
	digits := strconv.FormatInt(int64(n), 10)
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + " " + digits[i:]
	}
	return digits
}

// plain makes what others wrote safe to print: what could steer a terminal or
// turn the reading direction becomes a space.
func plain(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || r == '\u2028' || r == '\u2029' {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "\ufffd"))
}

// short is s in one line of at most n characters.
func short(s string, n int) string {
	s = strings.Join(strings.Fields(plain(s)), " ")
	if runes := []rune(s); len(runes) > n {
		return string(runes[:n-1]) + "…"
	}
	return s
}
