// Package eval measures Assent against what it promises: an exact oracle that
// ranks by DESIGN §5's formulas and shares no code with any index, a hammer
// that revokes and grants while it searches and judges every returned row by
// the recorded history, and the usual measures of retrieval quality.
//
// It knows the domain packages alone. What it measures is handed to it as
// small functions, so that the same code drives a gateway in process, one over
// HTTP, or three of them.
package eval
