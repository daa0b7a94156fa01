package logging

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"github.com/assent-gateway/assent/consent"
)

func builtinSentinels() []error {
	return []error{
		consent.ErrUnavailable, consent.ErrBehindJournal, consent.ErrDiverged, consent.ErrTampered,
		consent.ErrJournal, consent.ErrHeadBackwards, consent.ErrReplayed, consent.ErrUnknownTenant,
		context.Canceled, context.DeadlineExceeded,
	}
}

// failure writes of an error what kind it is, never what it says.
func failure(h *handler, v slog.Value) (slog.Value, bool) {
	err, ok := v.Any().(error)
	if !ok {
		return v, false
	}
	var b strings.Builder
	for _, s := range h.sentinels {
		if errors.Is(err, s) {
			b.WriteString(s.Error() + "; ")
		}
	}
	types(&b, err, 0)
	return slog.StringValue(b.String()), true
}

const maxChain = 8

// types writes the types along an error's chain.
func types(b *strings.Builder, err error, depth int) {
	if err == nil || depth == maxChain {
		return
	}
	if depth > 0 {
		b.WriteByte('>')
	}
	fmt.Fprintf(b, "%T", err)
	switch e := err.(type) {
	case interface{ Unwrap() error }:
		types(b, e.Unwrap(), depth+1)
	case interface{ Unwrap() []error }:
		for _, one := range e.Unwrap() {
			types(b, one, depth+1)
		}
	}
}
