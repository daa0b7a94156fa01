package retrieval

import (
	"fmt"
	"slices"
)

// Limits of a filter.
const (
	MaxFilterDepth = 16   // nested nodes, the outermost counted
	MaxFilterNodes = 256  // nodes in all
	MaxFilterList  = 1000 // operands of one in or nin
)

// A Filter is a condition on a document's metadata, read by ParseFilter. It
// is immutable and, like a Value, never prints.
//
// What it means:
//
//   - eq is true when the field is there and equals the operand: strings byte
//     for byte, numbers exactly whatever their kind, booleans. A missing field
//     or one of another type does not equal. Where the field is a list, eq is
//     true if any element equals.
//   - in is true when eq is true for one of its operands. An empty list
//     of operands matches nothing.
//   - ne is exactly not eq and nin exactly not in, so both match a document
//     that lacks the field.
//   - gt, gte, lt and lte compare a string with a string bytewise and a number
//     with a number exactly; everything else, a list too, is false.
//   - and, or and not combine as in logic.
type Filter struct{ p **node } // two pointers: see Value

// op is what a node does.
type op uint8

const (
	opAnd op = iota
	opOr
	opNot
	opEq
	opNe
	opIn
	opNin
	opGt
	opGte
	opLt
	opLte
)

var opNames = [...]string{"and", "or", "not", "eq", "ne", "in", "nin", "gt", "gte", "lt", "lte"}

// compares reports whether o stands between a field and a value.
func (o op) compares() bool { return o >= opEq }

// orders reports whether o needs operands that have an order.
func (o op) orders() bool { return o >= opGt }

// lists reports whether o takes a list of operands.
func (o op) lists() bool { return o == opIn || o == opNin }

// A node is one level of a filter: and, or and not have kids; the others have
// a field and an operand.
type node struct {
	op      op
	kids    []*node
	field   string
	operand Value
	set     map[scalarKey]struct{} // of eq, ne, in, nin: what equals
}

func (f *Filter) root() *node {
	if f == nil || f.p == nil {
		return nil
	}
	return *f.p
}

// Match reports whether metadata meets the filter; a nil filter matches
// everything.
func (f *Filter) Match(values map[string]Value) bool {
	root := f.root()
	return root == nil || root.match(values)
}

func (n *node) match(values map[string]Value) bool {
	switch n.op {
	case opAnd:
		for _, k := range n.kids {
			if !k.match(values) {
				return false
			}
		}
		return true
	case opOr:
		for _, k := range n.kids {
			if k.match(values) {
				return true
			}
		}
		return false
	case opNot:
		return !n.kids[0].match(values)
	case opEq, opIn:
		return n.has(values[n.field])
	case opNe, opNin:
		return !n.has(values[n.field])
	}
	c, ok := order(values[n.field], n.operand)
	if !ok {
		return false
	}
	switch n.op {
	case opGt:
		return c > 0
	case opGte:
		return c >= 0
	case opLt:
		return c < 0
	default:
		return c <= 0
	}
}

// has reports whether v, or an element of the list v, is in n's set.
func (n *node) has(v Value) bool {
	if k, ok := v.scalar(); ok {
		_, ok = n.set[k]
		return ok
	}
	for i := range v.Len() {
		k, _ := v.At(i).scalar()
		if _, ok := n.set[k]; ok {
			return true
		}
	}
	return false
}

// index fills the set of a node whose operand was checked.
func (n *node) index() {
	if n.op.orders() {
		return
	}
	n.set = make(map[scalarKey]struct{}, max(1, n.operand.Len()))
	if k, ok := n.operand.scalar(); ok {
		n.set[k] = struct{}{}
	}
	for i := range n.operand.Len() {
		k, _ := n.operand.At(i).scalar()
		n.set[k] = struct{}{}
	}
}

// A Condition is one level of a filter, for an index that has a filter of its
// own: And, Or and Not have Kids; the others have a field and an operand.
type Condition struct {
	Op      string // as on the wire: "and", "eq", …
	Kids    []Condition
	Field   string
	Operand Value
}

// Condition returns what f says; false when f is nil.
func (f *Filter) Condition() (Condition, bool) {
	root := f.root()
	if root == nil {
		return Condition{}, false
	}
	return root.condition(), true
}

func (n *node) condition() Condition {
	c := Condition{Op: opNames[n.op], Field: n.field, Operand: n.operand}
	for _, k := range n.kids {
		c.Kids = append(c.Kids, k.condition())
	}
	return c
}

// Format keeps every verb from printing fields and operands.
func (c Condition) Format(s fmt.State, _ rune) { fmt.Fprint(s, "retrieval.Condition(redacted)") }

// Fields returns the names of the fields that f asks about, each once,
// ascending.
func (f *Filter) Fields() []string {
	root := f.root()
	if root == nil {
		return nil
	}
	names := root.fields(nil)
	slices.Sort(names)
	return slices.Compact(names)
}

func (n *node) fields(names []string) []string {
	if n.op.compares() {
		return append(names, n.field)
	}
	for _, k := range n.kids {
		names = k.fields(names)
	}
	return names
}

// Format keeps every verb from printing fields and operands.
func (f Filter) Format(s fmt.State, _ rune) { fmt.Fprint(s, "retrieval.Filter(redacted)") }

// MarshalJSON writes f in the form that ParseFilter reads; null for nil.
func (f *Filter) MarshalJSON() ([]byte, error) {
	root := f.root()
	if root == nil {
		return []byte("null"), nil
	}
	return root.appendJSON(nil)
}

func (n *node) appendJSON(dst []byte) (_ []byte, err error) {
	switch {
	case n.op == opNot:
		dst = append(dst, `{"not":`...)
		if dst, err = n.kids[0].appendJSON(dst); err != nil {
			return nil, err
		}
	case !n.op.compares():
		dst = fmt.Appendf(dst, `{"%s":[`, opNames[n.op])
		for i, k := range n.kids {
			if i > 0 {
				dst = append(dst, ',')
			}
			if dst, err = k.appendJSON(dst); err != nil {
				return nil, err
			}
		}
		dst = append(dst, ']')
	default:
		dst = append(dst, `{"field":`...)
		if dst, err = appendString(dst, n.field); err != nil {
			return nil, err
		}
		dst = fmt.Appendf(dst, `,"op":"%s","value":`, opNames[n.op])
		if dst, err = n.operand.appendJSON(dst); err != nil {
			return nil, err
		}
	}
	return append(dst, '}'), nil
}
