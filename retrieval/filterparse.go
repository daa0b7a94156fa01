package retrieval

import (
	"bytes"
	"encoding/json"
	"io"
	"slices"
	"strconv"
)

// ParseFilter reads a filter in the API's form:
//
//	{"and": [node, …]}  {"or": [node, …]}  {"not": node}
//	{"field": "year", "op": "gte", "value": 2020}
//
// with op one of eq ne gt gte lt lte in nin. It is strict: a node has exactly
// one of these shapes and no member twice; and and or are not empty; in and
// nin take a list of scalars, eq and ne a scalar, the others a string or a
// number; the limits above hold; the text is valid UTF-8. Where filterable is
// not empty, a field outside it is refused. Absent or null is not a filter:
// the caller decides what absence means.
//
// The error is an InputError whose Field is the path of the offending part,
// e.g. "filter.and[1].op"; it never holds a name or value of the request.
func ParseFilter(raw []byte, filterable []string) (*Filter, error) {
	if !cleanJSON(raw) {
		return nil, Invalid("filter", "is not valid UTF-8")
	}
	p := filterParser{filterable: filterable}
	root, err := p.node(raw, "filter", 1)
	if err != nil {
		return nil, err
	}
	return &Filter{&root}, nil
}

type filterParser struct {
	filterable []string
	nodes      int
}

// shape holds the members of one node; nil is absent.
type shape struct{ and, or, not, field, op, value json.RawMessage }

func (s *shape) member(name string) *json.RawMessage {
	switch name {
	case "and":
		return &s.and
	case "or":
		return &s.or
	case "not":
		return &s.not
	case "field":
		return &s.field
	case "op":
		return &s.op
	case "value":
		return &s.value
	}
	return nil
}

func (p *filterParser) node(raw []byte, path string, depth int) (*node, error) {
	if depth > MaxFilterDepth {
		return nil, Invalid(path, "is nested deeper than 16")
	}
	if p.nodes++; p.nodes > MaxFilterNodes {
		return nil, Invalid(path, "is beyond the 256th node of the filter")
	}
	s, err := readShape(raw, path)
	if err != nil {
		return nil, err
	}
	compares := s.field != nil || s.op != nil || s.value != nil
	shapes := 0
	for _, is := range []bool{s.and != nil, s.or != nil, s.not != nil, compares} {
		if is {
			shapes++
		}
	}
	switch {
	case shapes != 1:
		return nil, Invalid(path, "is not exactly one of and, or, not, or field with op and value")
	case s.and != nil:
		return p.list(opAnd, s.and, path+".and", depth)
	case s.or != nil:
		return p.list(opOr, s.or, path+".or", depth)
	case s.not != nil:
		kid, err := p.node(s.not, path+".not", depth+1)
		if err != nil {
			return nil, err
		}
		return &node{op: opNot, kids: []*node{kid}}, nil
	}
	return p.comparison(s, path)
}

// readShape reads one object's members without their meaning.
func readShape(raw []byte, path string) (shape, error) {
	var s shape
	d := json.NewDecoder(bytes.NewReader(raw))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return s, Invalid(path, "is not an object")
	}
	for d.More() {
		t, err := d.Token()
		name, ok := t.(string)
		if err != nil || !ok {
			return s, Invalid(path, "is not valid JSON")
		}
		m := s.member(name)
		if m == nil {
			return s, Invalid(path, "has an unknown member")
		}
		if *m != nil {
			return s, Invalid(path, "has a member twice")
		}
		if err := d.Decode(m); err != nil {
			return s, Invalid(path, "is not valid JSON")
		}
	}
	if _, err := d.Token(); err != nil {
		return s, Invalid(path, "is not valid JSON")
	}
	if _, err := d.Token(); err != io.EOF {
		return s, Invalid(path, "is followed by something else")
	}
	return s, nil
}

func (p *filterParser) list(o op, raw []byte, path string, depth int) (*node, error) {
	d := json.NewDecoder(bytes.NewReader(raw))
	if t, err := d.Token(); err != nil || t != json.Delim('[') {
		return nil, Invalid(path, "is not a list")
	}
	n := &node{op: o}
	for d.More() {
		var one json.RawMessage
		at := path + "[" + strconv.Itoa(len(n.kids)) + "]"
		if err := d.Decode(&one); err != nil {
			return nil, Invalid(at, "is not valid JSON")
		}
		kid, err := p.node(one, at, depth+1)
		if err != nil {
			return nil, err
		}
		n.kids = append(n.kids, kid)
	}
	if len(n.kids) == 0 {
		return nil, Invalid(path, "is empty")
	}
	return n, nil
}

func (p *filterParser) comparison(s shape, path string) (*node, error) {
	n := &node{}
	var ok bool
	if n.field, ok = jsonText(s.field); !ok || !validFieldName(n.field) {
		return nil, Invalid(path+".field", "is not a field's name")
	}
	if len(p.filterable) > 0 && !slices.Contains(p.filterable, n.field) {
		return nil, Invalid(path+".field", "is not filterable in this collection")
	}
	name, _ := jsonText(s.op)
	i := slices.Index(opNames[:], name)
	if i < 0 || !op(i).compares() {
		return nil, Invalid(path+".op", "is not one of eq, ne, gt, gte, lt, lte, in, nin")
	}
	n.op = op(i)
	var err error
	if n.operand, err = decodeValue(s.value); err != nil {
		return nil, Invalid(path+".value", "is not a string, number, boolean or list of these")
	}
	if reason := unfit(n.op, n.operand); reason != "" {
		return nil, Invalid(path+".value", reason)
	}
	n.index()
	return n, nil
}

// unfit says why v cannot be o's operand; "" when it can.
func unfit(o op, v Value) string {
	k := v.Kind()
	switch {
	case o.lists() && k != KindList:
		return "is not a list"
	case o.lists() && v.Len() > MaxFilterList:
		return "has more than 1000 elements"
	case !o.lists() && k == KindList:
		return "is a list"
	case o.orders() && k != KindString && k != KindInt && k != KindFloat:
		return "has no order"
	}
	return ""
}

// jsonText reads a JSON string; false for anything else.
func jsonText(raw []byte) (string, bool) {
	if len(raw) == 0 || raw[0] != '"' {
		return "", false
	}
	var s string
	err := json.Unmarshal(raw, &s)
	return s, err == nil
}
