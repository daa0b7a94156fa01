package retrieval

import (
	"encoding/json"
	"fmt"
	"math"
	"math/big"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestValueNeverPrints(t *testing.T) {
	t.Parallel()
	type hidden struct {
		v    Value
		list []Value
		m    map[string]Value
		f    *Filter
	}
	secret := StringValue("canary-text")
	number := IntValue(987654321)
	f, err := ParseFilter([]byte(`{"field":"a","op":"eq","value":"canary-text"}`), nil)
	if err != nil {
		t.Fatal(err)
	}
	h := hidden{secret, []Value{number, ListValue(secret)}, map[string]Value{"a": secret}, f}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%d", "%x", "%T", "%t", "%e"} {
		for _, arg := range []any{secret, &secret, number, h, &h, []any{h}, h.list, h.m, f, *f} {
			got := fmt.Sprintf(verb, arg)
			for _, bad := range []string{"canary", "987654321", "63616e617279", "3ade68b1"} {
				if strings.Contains(got, bad) {
					t.Errorf("%s of %T prints the value", verb, arg)
				}
			}
		}
	}
}

func TestNumbersCompareExactly(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		a, b Value
		want int
	}{
		{IntValue(9007199254740993), FloatValue(9007199254740992), 1},
		{IntValue(9007199254740992), FloatValue(9007199254740992), 0},
		{IntValue(math.MaxInt64), FloatValue(1 << 63), -1},
		{IntValue(math.MinInt64), FloatValue(-(1 << 63)), 0},
		{IntValue(math.MinInt64), FloatValue(-1e30), 1},
		{IntValue(2), FloatValue(2.5), -1},
		{IntValue(-2), FloatValue(-2.5), 1},
		{IntValue(0), FloatValue(math.Copysign(0, -1)), 0},
		{FloatValue(1.5), FloatValue(1.5), 0},
	} {
		got, ok := order(c.a, c.b)
		back, _ := order(c.b, c.a)
		if !ok || got != c.want || back != -c.want {
			t.Errorf("order %d %g: got %d and %d, want %d", c.a.Int(), c.b.Float(), got, back, c.want)
		}
		if c.a.Equal(c.b) != (c.want == 0) {
			t.Errorf("equality of %d and %g disagrees with order", c.a.Int(), c.b.Float())
		}
	}
}

func TestNumbersCompareLikeBigFloats(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.Int64().Draw(t, "n")
		f := rapid.OneOf(rapid.Float64(), rapid.Custom(func(t *rapid.T) float64 {
			return float64(n) + float64(rapid.IntRange(-2, 2).Draw(t, "d"))
		})).Draw(t, "f")
		want := new(big.Float).SetInt64(n).Cmp(new(big.Float).SetFloat64(f))
		if got, ok := order(IntValue(n), FloatValue(f)); !ok || got != want {
			t.Fatalf("got %d, want %d", got, want)
		}
	})
}

func TestValueJSON(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]Value{
		`"a<b>"`:                   StringValue("a<b>"),
		`""`:                       StringValue(""),
		`9007199254740993`:         IntValue(9007199254740993),
		`-9223372036854775808`:     IntValue(math.MinInt64),
		`9223372036854775808`:      FloatValue(9223372036854775808),
		`1.5`:                      FloatValue(1.5),
		`1e300`:                    FloatValue(1e300),
		`1e-400`:                   FloatValue(0),
		`true`:                     BoolValue(true),
		`[]`:                       ListValue(),
		`[1, "x", false, 2.5]`:     ListValue(IntValue(1), StringValue("x"), BoolValue(false), FloatValue(2.5)),
		` "\ud83d\ude00\u0000\n" `: StringValue("😀\x00\n"),
	} {
		var got Value
		if err := json.Unmarshal([]byte(in), &got); err != nil || !cmp.Equal(got, want) {
			t.Errorf("%s: %v, kind %d", in, err, got.Kind())
			continue
		}
		out, err := json.Marshal(got)
		var again Value
		if err != nil || json.Unmarshal(out, &again) != nil || !again.Equal(got) {
			t.Errorf("%s does not survive a round trip: %s", in, out)
		}
	}
	for _, in := range []string{``, `null`, `{}`, `[[1]]`, `[null]`, `1e400`, `nan`, `1 2`, `"\ud800"`,
		`"\udc00"`, `"\ud800\ud800"`, "\"\xff\"", `[1,]`, `[1`, `"canary`, `01`, `+1`} {
		var got Value
		err := got.UnmarshalJSON([]byte(in))
		if err == nil {
			t.Errorf("%s was read as a value", in)
		} else if strings.Contains(err.Error(), "canary") {
			t.Errorf("error quotes its input")
		}
	}
	if _, err := (Value{}).MarshalJSON(); err == nil {
		t.Error("no value was marshalled")
	}
}

func TestConstructorsRefuseWhatIsNoValue(t *testing.T) {
	t.Parallel()
	for _, v := range []Value{FloatValue(math.NaN()), FloatValue(math.Inf(1)), ListValue(ListValue()), ListValue(Value{})} {
		if v.Kind() != KindNone {
			t.Errorf("kind %d", v.Kind())
		}
	}
}

func TestMetadataLimits(t *testing.T) {
	t.Parallel()
	fields := func(n int) map[string]Value {
		m := map[string]Value{}
		for i := range n {
			m[fmt.Sprint("f", i)] = IntValue(1)
		}
		return m
	}
	many := func(n int) Value {
		l := make([]Value, n)
		for i := range l {
			l[i] = IntValue(int64(i))
		}
		return ListValue(l...)
	}
	one := func(name string, v Value) map[string]Value { return map[string]Value{name: v} }
	for name, c := range map[string]struct {
		m  map[string]Value
		ok bool
	}{
		"none":                  {nil, true},
		"64 fields":             {fields(64), true},
		"65 fields":             {fields(65), false},
		"name of 128":           {one(strings.Repeat("n", 128), IntValue(1)), true},
		"name of 129":           {one(strings.Repeat("n", 129), IntValue(1)), false},
		"empty name":            {one("", IntValue(1)), false},
		"control in name":       {one("a\nb", IntValue(1)), false},
		"C1 control in name":    {one("a\u0085b", IntValue(1)), false},
		"broken name":           {one("a\xff", IntValue(1)), false},
		"string of 4096":        {one("a", StringValue(strings.Repeat("s", 4096))), true},
		"string of 4097":        {one("a", StringValue(strings.Repeat("s", 4097))), false},
		"NUL":                   {one("a", StringValue("a\x00")), false},
		"broken string":         {one("a", StringValue("\xff")), false},
		"broken string in list": {one("a", ListValue(StringValue("\xff"))), false},
		"list of 256":           {one("a", many(256)), true},
		"list of 257":           {one("a", many(257)), false},
		"no value":              {one("a", Value{}), false},
		"newline in string":     {one("a", StringValue("a\nb")), true},
	} {
		err := ValidateMetadata(c.m)
		if (err == nil) != c.ok {
			t.Errorf("%s: %v", name, err)
		}
		if in, ok := err.(*InputError); err != nil && (!ok || in.Field != "metadata") {
			t.Errorf("%s: not an InputError about metadata", name)
		}
	}
}
