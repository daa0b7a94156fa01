package logging

import (
	"context"
	"io"
	"log/slog"
	"regexp"
	"sync/atomic"
)

// New returns a logger that writes JSON lines to w. Sentinels are errors whose
// texts are constants and worth reading: they are written for errors that wrap
// them.
func New(w io.Writer, level slog.Leveler, sentinels ...error) *slog.Logger {
	return slog.New(Wrap(slog.NewJSONHandler(w, &slog.HandlerOptions{Level: level}), sentinels...))
}

// Wrap puts the allow-list before another handler.
func Wrap(inner slog.Handler, sentinels ...error) slog.Handler {
	return &handler{inner: inner, sentinels: append(builtinSentinels(), sentinels...), dropped: new(atomic.Uint64)}
}

// Dropped returns how many attributes and messages a logger made by New has
// dropped or withheld, in all that was derived from it; 0 for other loggers.
func Dropped(l *slog.Logger) uint64 {
	h, ok := l.Handler().(*handler)
	if !ok {
		return 0
	}
	return h.dropped.Load()
}

type handler struct {
	inner     slog.Handler
	sentinels []error
	dropped   *atomic.Uint64 // shared with all that derive from it
}

func (h *handler) Enabled(ctx context.Context, l slog.Level) bool { return h.inner.Enabled(ctx, l) }

var (
	message   = regexp.MustCompile(`^[A-Za-z0-9 ,.:;'()/_-]{1,160}$`)
	groupName = regexp.MustCompile(`^[a-z_]{1,32}$`)
)

const withheld = "(message withheld)"

// Handle writes what may be written of a record.
func (h *handler) Handle(ctx context.Context, r slog.Record) error {
	out := slog.NewRecord(r.Time, r.Level, r.Message, 0)
	lost := 0
	if !message.MatchString(r.Message) {
		out.Message = withheld
		lost++
	}
	r.Attrs(func(a slog.Attr) bool {
		kept, n := h.sift(a)
		lost += n
		if kept.Key != "" {
			out.AddAttrs(kept)
		}
		return true
	})
	if lost > 0 {
		h.dropped.Add(uint64(lost))
		out.AddAttrs(slog.Int("attributes_dropped", lost))
	}
	return h.inner.Handle(ctx, out)
}

// sift returns what may be written of an attribute, the zero Attr for nothing,
// and how many were lost.
func (h *handler) sift(a slog.Attr) (slog.Attr, int) {
	v := a.Value.Resolve()
	if v.Kind() == slog.KindGroup {
		return h.siftGroup(a.Key, v.Group())
	}
	if a.Equal(slog.Attr{}) {
		return slog.Attr{}, 0
	}
	takes, ok := allowed[a.Key]
	if ok {
		v, ok = takes(h, v)
	}
	if !ok {
		return slog.Attr{}, 1
	}
	return slog.Attr{Key: a.Key, Value: v}, 0
}

// siftGroup sifts the members of a group. A group without a proper name is
// lost with all its members.
func (h *handler) siftGroup(name string, members []slog.Attr) (slog.Attr, int) {
	var kept []slog.Attr
	lost := 0
	for _, m := range members {
		k, n := h.sift(m)
		lost += n
		if k.Key != "" {
			kept = append(kept, k)
		}
	}
	if !groupName.MatchString(name) {
		return slog.Attr{}, lost + len(kept)
	}
	if len(kept) == 0 {
		return slog.Attr{}, lost
	}
	return slog.Attr{Key: name, Value: slog.GroupValue(kept...)}, lost
}

// WithAttrs keeps what may be written of attrs for all records to come.
func (h *handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	var kept []slog.Attr
	for _, a := range attrs {
		k, n := h.sift(a)
		h.dropped.Add(uint64(n))
		if k.Key != "" {
			kept = append(kept, k)
		}
	}
	next := *h
	next.inner = h.inner.WithAttrs(kept)
	return &next
}

// WithGroup puts what comes into a group; one without a proper name is called
// "group".
func (h *handler) WithGroup(name string) slog.Handler {
	if name == "" {
		return h
	}
	if !groupName.MatchString(name) {
		h.dropped.Add(1)
		name = "group"
	}
	next := *h
	next.inner = h.inner.WithGroup(name)
	return &next
}
