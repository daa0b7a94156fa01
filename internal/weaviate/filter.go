package weaviate

import (
	"fmt"
	"slices"

	pb "github.com/weaviate/weaviate/grpc/generated/protocol/v1"

	"github.com/assent-gateway/assent/retrieval"
)

// Operators that the client's stubs have no name for yet; the numbers are the
// server's.
const opNot = pb.Filters_Operator(15)

func leaf(op pb.Filters_Operator, property string) *pb.Filters {
	return &pb.Filters{Operator: op, Target: &pb.FilterTarget{Target: &pb.FilterTarget_Property{Property: property}}}
}

func equal(property, v string) *pb.Filters {
	return compare(pb.Filters_OPERATOR_EQUAL, property, v)
}

func compare(op pb.Filters_Operator, property, v string) *pb.Filters {
	f := leaf(op, property)
	f.TestValue = &pb.Filters_ValueText{ValueText: v}
	return f
}

// oneOf matches objects whose property holds one of the values; of none it is
// nil, which the caller must not send: an empty list of the store's would be an
// error, an absent filter everything.
func oneOf(property string, vs ...string) *pb.Filters {
	switch len(vs) {
	case 0:
		return nil
	case 1:
		return equal(property, vs[0])
	}
	f := leaf(pb.Filters_OPERATOR_CONTAINS_ANY, property)
	f.TestValue = &pb.Filters_ValueTextArray{ValueTextArray: &pb.TextArray{Values: vs}}
	return f
}

func after(property string, n int64) *pb.Filters {
	f := leaf(pb.Filters_OPERATOR_GREATER_THAN, property)
	f.TestValue = &pb.Filters_ValueInt{ValueInt: n}
	return f
}

func join(op pb.Filters_Operator, fs ...*pb.Filters) *pb.Filters {
	fs = slices.DeleteFunc(fs, func(f *pb.Filters) bool { return f == nil })
	switch len(fs) {
	case 0:
		return nil
	case 1:
		return fs[0]
	}
	return &pb.Filters{Operator: op, Filters: fs}
}

func allOf(fs ...*pb.Filters) *pb.Filters { return join(pb.Filters_OPERATOR_AND, fs...) }
func anyOf(fs ...*pb.Filters) *pb.Filters { return join(pb.Filters_OPERATOR_OR, fs...) }

func not(f *pb.Filters) *pb.Filters {
	if f == nil {
		return nil
	}
	return &pb.Filters{Operator: opNot, Filters: []*pb.Filters{f}}
}

// never matches nothing: no version is called that.
func never() *pb.Filters { return equal(propDoc, "x") }

// condition maps a filter to the store's. A field that the collection did not
// declare is an error that names it.
func (c *collection) condition(f retrieval.Condition) (*pb.Filters, error) {
	switch f.Op {
	case "and", "or", "not":
		kids := make([]*pb.Filters, len(f.Kids))
		for i, k := range f.Kids {
			var err error
			if kids[i], err = c.condition(k); err != nil {
				return nil, err
			}
		}
		switch {
		case f.Op == "not" && len(kids) == 1:
			return not(kids[0]), nil
		case len(kids) > 0 && f.Op == "and":
			return allOf(kids...), nil
		case len(kids) > 0 && f.Op == "or":
			return anyOf(kids...), nil
		case f.Op == "and": // of nothing: true
			return not(never()), nil
		case f.Op == "or":
			return never(), nil
		}
		return nil, retrieval.Invalid("filter", "cannot be mapped to the index")
	}
	i := slices.Index(c.shape.Filterable, f.Field)
	if i < 0 {
		return nil, retrieval.Invalid("filter", "asks about a field that the collection does not declare filterable")
	}
	return c.compares(f, i)
}

func (c *collection) compares(f retrieval.Condition, i int) (*pb.Filters, error) {
	var values []string
	operands := []retrieval.Value{f.Operand}
	if f.Op == "in" || f.Op == "nin" {
		operands = nil
		for n := range f.Operand.Len() {
			operands = append(operands, f.Operand.At(n))
		}
	}
	for _, v := range operands {
		s, ok := scalarText(v)
		if !ok {
			return nil, retrieval.Invalid("filter", "has an operand that cannot be mapped to the index")
		}
		values = append(values, s)
	}
	has := oneOf(elementsOf(i), values...)
	if has == nil {
		has = never()
	}
	switch f.Op {
	case "eq", "in":
		return has, nil
	case "ne", "nin":
		return not(has), nil
	}
	op := map[string]pb.Filters_Operator{
		"gt": pb.Filters_OPERATOR_GREATER_THAN, "gte": pb.Filters_OPERATOR_GREATER_THAN_EQUAL,
		"lt": pb.Filters_OPERATOR_LESS_THAN, "lte": pb.Filters_OPERATOR_LESS_THAN_EQUAL,
	}[f.Op]
	if op == pb.Filters_OPERATOR_UNSPECIFIED || values[0][0] == 'b' {
		return nil, retrieval.Invalid("filter", "cannot be mapped to the index")
	}
	// Within the kind: its texts lie between its letter and the next one.
	bound := compare(pb.Filters_OPERATOR_LESS_THAN, wholeOf(i), string(values[0][0]+1))
	if f.Op[0] == 'l' {
		bound = compare(pb.Filters_OPERATOR_GREATER_THAN_EQUAL, wholeOf(i), values[0][:1])
	}
	return allOf(compare(op, wholeOf(i), values[0]), bound), nil
}

func elementsOf(i int) string { return fmt.Sprintf("f%d", i) }
func wholeOf(i int) string    { return fmt.Sprintf("w%d", i) }
