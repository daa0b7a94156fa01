package retrieval

import "context"

// A Step is a part of a Service's work that is worth timing by itself.
type Step uint8

// The steps.
const (
	StepSearch Step = iota + 1 // a search, whole
	StepEmbed                  // texts or a query were embedded
	StepIndex                  // the index was searched under the permit
	StepGate                   // hits passed the second gate, or did not
	StepIngest                 // an ingest, whole
)

// An Observer is told what a Service does, for metrics and traces. It is never
// told who, which document, collection or tenant, and nothing of a text, a
// query or a vector. Its methods are called by many goroutines on the way of
// every search: they must not block, and must not call the service.
type Observer interface {
	// Begin says that a step begins. The function it returns is called once,
	// with how the step ended; the context is for the steps within.
	Begin(ctx context.Context, s Step) (context.Context, func(error))
	// Searched says that a search was answered.
	Searched(m Mode, c Completeness)
	// Dropped says that the second gate dropped a hit, and why: one of the
	// gate's own words.
	Dropped(why string)
	// Ingested says what became of a document.
	Ingested(s DocStatus)
}

// unobserved hears nothing.
type unobserved struct{}

func (unobserved) Begin(ctx context.Context, _ Step) (context.Context, func(error)) {
	return ctx, func(error) {}
}
func (unobserved) Searched(Mode, Completeness) {}
func (unobserved) Dropped(string)              {}
func (unobserved) Ingested(DocStatus)          {}
