package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// A problem is an answer that is an error (RFC 9457).
type problem struct {
	Status int    `json:"status"`
	Type   string `json:"type"`
	Title  string `json:"title"`
	Detail string `json:"detail"`
	Field  string `json:"field"`

	retryAfter time.Duration // 0: the answer did not say
}

func readProblem(resp *http.Response) *problem {
	p := &problem{}
	// What is not problem JSON (a proxy's page) is described by its status alone.
	if json.NewDecoder(io.LimitReader(resp.Body, 64<<10)).Decode(p) != nil {
		*p = problem{}
	}
	p.Status = resp.StatusCode
	p.retryAfter = retryAfter(resp.Header.Get("Retry-After"), time.Now())
	return p
}

// retryAfter reads both forms of the header (RFC 9110 §10.2.3).
func retryAfter(value string, now time.Time) time.Duration {
	if seconds, err := strconv.Atoi(value); err == nil && seconds > 0 {
		return time.Duration(min(seconds, 86400)) * time.Second
	}
	if at, err := http.ParseTime(value); err == nil && at.After(now) {
		return at.Sub(now)
	}
	return 0
}

// name is the last part of the type: "ledger_unavailable".
func (p *problem) name() string {
	name := strings.TrimRight(p.Type, "/")
	name = name[strings.LastIndexAny(name, "/:#")+1:]
	if name == "blank" { // about:blank says nothing
		return ""
	}
	return name
}

func (p *problem) Error() string {
	text := fmt.Sprintf("the gateway answered %d", p.Status)
	if name := p.name(); name != "" {
		text += " " + name
	}
	for _, say := range []string{p.Detail, p.Title, http.StatusText(p.Status)} {
		if say != "" {
			text += ": " + say
			break
		}
	}
	if p.Field != "" {
		text += " (field " + p.Field + ")"
	}
	if p.Status == http.StatusUnauthorized {
		text += "; is ASSENT_KEY a key of this gateway?"
	}
	return plain(text)
}

// transient reports whether the same request may succeed later.
func (p *problem) transient() bool {
	switch p.Status {
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	}
	return false
}

// answered reports whether err is an answer with this status.
func answered(err error, status int) bool {
	var p *problem
	return errors.As(err, &p) && p.Status == status
}
