package retrieval

import (
	"errors"
	"fmt"
	"math/big"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func mustFilter(t testing.TB, s string) *Filter {
	t.Helper()
	f, err := ParseFilter([]byte(s), nil)
	if err != nil {
		t.Fatalf("%s: %v", s, err)
	}
	return f
}

func TestFilterMatches(t *testing.T) {
	t.Parallel()
	doc := map[string]Value{
		"lang": StringValue("en"), "year": IntValue(2020), "big": IntValue(9007199254740993),
		"score": FloatValue(0.5), "open": BoolValue(true),
		"tags": ListValue(StringValue("a"), IntValue(7)), "none": ListValue(),
	}
	cmp := func(field, op, value string) string {
		return fmt.Sprintf(`{"field":%q,"op":%q,"value":%s}`, field, op, value)
	}
	for in, want := range map[string]bool{
		cmp("lang", "eq", `"en"`):                true,
		cmp("lang", "eq", `"EN"`):                false,
		cmp("lang", "eq", `1`):                   false,
		cmp("year", "eq", `2020.0`):              true,
		cmp("year", "eq", `"2020"`):              false,
		cmp("big", "eq", `9007199254740992.0`):   false,
		cmp("big", "gt", `9007199254740992.0`):   true,
		cmp("open", "eq", `true`):                true,
		cmp("open", "eq", `1`):                   false,
		cmp("absent", "eq", `1`):                 false,
		cmp("absent", "ne", `1`):                 true,
		cmp("absent", "in", `[1]`):               false,
		cmp("absent", "nin", `[1]`):              true,
		cmp("absent", "lte", `1`):                false,
		cmp("lang", "in", `[]`):                  false,
		cmp("lang", "nin", `[]`):                 true,
		cmp("lang", "in", `[1, "en"]`):           true,
		cmp("tags", "eq", `7`):                   true,
		cmp("tags", "eq", `"a"`):                 true,
		cmp("tags", "ne", `"a"`):                 false,
		cmp("tags", "ne", `"b"`):                 true,
		cmp("tags", "in", `["z", 7.0]`):          true,
		cmp("tags", "gt", `1`):                   false,
		cmp("none", "eq", `"a"`):                 false,
		cmp("lang", "gt", `"eM"`):                true,
		cmp("lang", "gte", `"en"`):               true,
		cmp("lang", "lt", `"en"`):                false,
		cmp("lang", "lte", `"en"`):               true,
		cmp("lang", "gt", `1`):                   false,
		cmp("score", "lt", `1`):                  true,
		cmp("score", "gte", `0.5`):               true,
		cmp("open", "gt", `0`):                   false,
		`{"not":` + cmp("lang", "gt", `1`) + `}`: true,
		`{"and":[` + cmp("lang", "eq", `"en"`) + `,` + cmp("year", "gte", `2021`) + `]}`: false,
		`{"or":[` + cmp("lang", "eq", `"en"`) + `,` + cmp("year", "gte", `2021`) + `]}`:  true,
	} {
		if got := mustFilter(t, in).Match(doc); got != want {
			t.Errorf("%s: %v", in, got)
		}
	}
	var none *Filter
	if !none.Match(nil) || len(none.Fields()) != 0 {
		t.Error("a nil filter does not match everything")
	}
}

func TestFilterRefusesWithThePathOnly(t *testing.T) {
	t.Parallel()
	const ok = `{"field":"a","op":"eq","value":1}`
	deep := func(n int) string {
		return strings.Repeat(`{"not":`, n-1) + ok + strings.Repeat(`}`, n-1)
	}
	wide := func(n int) string {
		return `{"and":[` + strings.TrimSuffix(strings.Repeat(ok+",", n-1), ",") + `]}`
	}
	operands := func(n int) string {
		return `{"field":"a","op":"in","value":[` + strings.TrimSuffix(strings.Repeat("1,", n), ",") + `]}`
	}
	for _, in := range []string{deep(16), wide(256), operands(1000)} {
		if _, err := ParseFilter([]byte(in), nil); err != nil {
			t.Errorf("at the limit: %v", err)
		}
	}
	for in, field := range map[string]string{
		``:      "filter",
		`null`:  "filter",
		`[]`:    "filter",
		`{}`:    "filter",
		`{"x"`:  "filter",
		ok + ok: "filter",
		`{"field":"a","op":"eq","value":1,"canary":1}`:       "filter",
		`{"field":"a","field":"canary","op":"eq","value":1}`: "filter",
		`{"and":[` + ok + `],"and":[` + ok + `]}`:            "filter",
		`{"and":[` + ok + `],"or":[` + ok + `]}`:             "filter",
		`{"not":` + ok + `,"field":"a","op":"eq","value":1}`: "filter",
		`{"and":[]}`:                                                        "filter.and",
		`{"or":[]}`:                                                         "filter.or",
		`{"or":{}}`:                                                         "filter.or",
		`{"and":null}`:                                                      "filter.and",
		`{"and":[` + ok + `,1]}`:                                            "filter.and[1]",
		`{"not":[` + ok + `]}`:                                              "filter.not",
		`{"field":"a","op":"like","value":1}`:                               "filter.op",
		`{"field":"a","op":"and","value":1}`:                                "filter.op",
		`{"field":"a","op":"EQ","value":1}`:                                 "filter.op",
		`{"field":"a","op":7,"value":1}`:                                    "filter.op",
		`{"field":"a","value":1}`:                                           "filter.op",
		`{"op":"eq","value":1}`:                                             "filter.field",
		`{"field":7,"op":"eq","value":1}`:                                   "filter.field",
		`{"field":"","op":"eq","value":1}`:                                  "filter.field",
		`{"field":"a","op":"eq"}`:                                           "filter.value",
		`{"field":"a","op":"eq","value":null}`:                              "filter.value",
		`{"field":"a","op":"eq","value":{}}`:                                "filter.value",
		`{"field":"a","op":"eq","value":[1]}`:                               "filter.value",
		`{"field":"a","op":"gt","value":true}`:                              "filter.value",
		`{"field":"a","op":"lt","value":[1]}`:                               "filter.value",
		`{"field":"a","op":"in","value":1}`:                                 "filter.value",
		`{"field":"a","op":"in","value":[[]]}`:                              "filter.value",
		`{"field":"hidden","op":"eq","value":"canary"}`:                     "filter.field",
		`{"and":[` + ok + `,{"field":"a","op":"canary","value":"canary"}]}`: "filter.and[1].op",
		`{"or":[{"not":{"field":"a","op":"gt","value":false}}]}`:            "filter.or[0].not.value",
		"{\"field\":\"a\",\"op\":\"eq\",\"value\":\"\xff\"}":                "filter",
		`{"field":"a","op":"eq","value":"\ud800"}`:                          "filter",
		deep(17):       "filter" + strings.Repeat(".not", 16),
		wide(257):      "filter.and[255]",
		operands(1001): "filter.value",
	} {
		_, err := ParseFilter([]byte(in), []string{"a"})
		var bad *InputError
		if !errors.As(err, &bad) {
			t.Errorf("%.60s: %v", in, err)
			continue
		}
		if bad.Field != field || strings.Contains(err.Error(), "canary") {
			t.Errorf("%.60s: %v, want %s", in, err, field)
		}
	}
}

func TestFilterableIsOpenWhenEmpty(t *testing.T) {
	t.Parallel()
	for _, list := range [][]string{nil, {}, {"z", "a"}} {
		if _, err := ParseFilter([]byte(`{"field":"a","op":"eq","value":1}`), list); err != nil {
			t.Errorf("%v: %v", list, err)
		}
	}
}

// naive evaluates a filter's nodes by the words of Filter's comment, without
// the parser's sets and with arbitrary-precision numbers.
func naive(n *node, m map[string]Value) bool {
	number := func(v Value) *big.Float {
		switch v.Kind() {
		case KindInt:
			return new(big.Float).SetInt64(v.Int())
		case KindFloat:
			return new(big.Float).SetFloat64(v.Float())
		}
		return nil
	}
	same := func(a, b Value) bool {
		if x, y := number(a), number(b); x != nil || y != nil {
			return x != nil && y != nil && x.Cmp(y) == 0
		}
		return a.Kind() == b.Kind() && a.Text() == b.Text() && a.Bool() == b.Bool()
	}
	v, there := m[n.field]
	eq := func(want Value) bool {
		if v.Kind() != KindList {
			return there && same(v, want)
		}
		for i := range v.Len() {
			if same(v.At(i), want) {
				return true
			}
		}
		return false
	}
	in := func() bool {
		for i := range n.operand.Len() {
			if eq(n.operand.At(i)) {
				return true
			}
		}
		return false
	}
	var c int
	var ordered bool
	if x, y := number(v), number(n.operand); x != nil && y != nil {
		c, ordered = x.Cmp(y), true
	} else if v.Kind() == KindString && n.operand.Kind() == KindString {
		c, ordered = strings.Compare(v.Text(), n.operand.Text()), true
	}
	all, some := true, false
	for _, k := range n.kids {
		r := naive(k, m)
		all, some = all && r, some || r
	}
	return map[op]func() bool{
		opAnd: func() bool { return all }, opOr: func() bool { return some }, opNot: func() bool { return !some },
		opEq: func() bool { return eq(n.operand) }, opNe: func() bool { return !eq(n.operand) },
		opIn: in, opNin: func() bool { return !in() },
		opGt: func() bool { return ordered && c > 0 }, opGte: func() bool { return ordered && c >= 0 },
		opLt: func() bool { return ordered && c < 0 }, opLte: func() bool { return ordered && c <= 0 },
	}[n.op]()
}

func drawScalar(t *rapid.T) Value {
	switch rapid.IntRange(0, 3).Draw(t, "kind") {
	case 0:
		return StringValue(rapid.SampledFrom([]string{"", "a", "b", "ä", "1", "true"}).Draw(t, "s"))
	case 1:
		return IntValue(rapid.SampledFrom([]int64{0, 1, -1, 2, 9007199254740993, 9007199254740992}).Draw(t, "n"))
	case 2:
		return FloatValue(rapid.SampledFrom([]float64{0, 1, 0.5, 9007199254740992, 1e300}).Draw(t, "f"))
	}
	return BoolValue(rapid.Bool().Draw(t, "b"))
}

func drawList(t *rapid.T) Value {
	return ListValue(rapid.SliceOfN(rapid.Custom(drawScalar), 0, 3).Draw(t, "list")...)
}

func drawNode(t *rapid.T, depth int) *node {
	first := opAnd
	if depth == 0 {
		first = opEq
	}
	n := &node{op: op(rapid.IntRange(int(first), int(opLte)).Draw(t, "op"))}
	if !n.op.compares() {
		kids := 1
		if n.op != opNot {
			kids = rapid.IntRange(1, 3).Draw(t, "kids")
		}
		for range kids {
			n.kids = append(n.kids, drawNode(t, depth-1))
		}
		return n
	}
	n.field = rapid.SampledFrom([]string{"a", "b", "c d", "é"}).Draw(t, "field")
	switch {
	case n.op.lists():
		n.operand = drawList(t)
	case n.op.orders():
		n.operand = rapid.Custom(drawScalar).Filter(func(v Value) bool { return v.Kind() != KindBool }).Draw(t, "operand")
	default:
		n.operand = drawScalar(t)
	}
	n.index()
	return n
}

func drawMetadata(t *rapid.T) map[string]Value {
	v := rapid.OneOf(rapid.Custom(drawScalar), rapid.Custom(drawList))
	return rapid.MapOfN(rapid.SampledFrom([]string{"a", "b", "c d", "é", "z"}), v, 0, 4).Draw(t, "metadata")
}

func TestFilterAgreesWithTheNaiveEvaluator(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		n, m := drawNode(t, 3), drawMetadata(t)
		want := naive(n, m)
		f := &Filter{&n}
		if f.Match(m) != want {
			t.Fatal("Match differs")
		}
		raw, err := f.MarshalJSON()
		if err != nil {
			t.Fatal(err)
		}
		again, err := ParseFilter(raw, f.Fields())
		if err != nil {
			t.Fatalf("%s: %v", raw, err)
		}
		if again.Match(m) != want {
			t.Fatalf("%s: matches differently after a round trip", raw)
		}
		second, err := again.MarshalJSON()
		if err != nil || string(second) != string(raw) {
			t.Fatalf("%s became %s", raw, second)
		}
	})
}

func TestFilterObeysDeMorgan(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		m := drawMetadata(t)
		a, b := drawNode(t, 2), drawNode(t, 2)
		not := func(n *node) *node { return &node{op: opNot, kids: []*node{n}} }
		left := not(&node{op: opAnd, kids: []*node{a, b}})
		right := &node{op: opOr, kids: []*node{not(a), not(b)}}
		if left.match(m) != right.match(m) {
			t.Fatal("not(a and b) differs from (not a) or (not b)")
		}
		if a.op == opEq || a.op == opIn {
			negated := *a
			negated.op++ // ne, nin
			if negated.match(m) == a.match(m) {
				t.Fatal("the negated operator is not the negation")
			}
		}
	})
}

func FuzzParseFilter(f *testing.F) {
	for _, s := range []string{
		`{"field":"a","op":"in","value":[1,"b",2.5,true]}`, `{"and":[{"not":{"field":"a","op":"gt","value":"x"}}]}`,
		`{"or":[{"field":"\u00e9","op":"lte","value":-1e-7}]}`, `{"field":"a","op":"eq","value":"\ud83d\ude00"}`, `{`,
	} {
		f.Add([]byte(s))
	}
	doc := map[string]Value{"a": IntValue(1), "é": ListValue(StringValue("b"))}
	f.Fuzz(func(t *testing.T, raw []byte) {
		got, err := ParseFilter(raw, nil)
		if err != nil {
			if in := new(InputError); !errors.As(err, &in) {
				t.Fatal("not an InputError")
			}
			return
		}
		out, err := got.MarshalJSON()
		if err != nil {
			t.Fatal(err)
		}
		again, err := ParseFilter(out, nil)
		if err != nil || again.Match(doc) != got.Match(doc) || got.Match(doc) != naive(got.root(), doc) {
			t.Fatal("a round trip changed the filter")
		}
	})
}
