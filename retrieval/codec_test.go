package retrieval

import (
	"bytes"
	"errors"
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/assent-gateway/assent/consent"
)

func subject(t testing.TB, s string) consent.Subject {
	t.Helper()
	got, err := consent.ParseSubject(s)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func fullHead(t testing.TB) Head {
	return Head{
		Ref: PassageRef{7, 3}, DocID: "mail-17", Personal: true,
		Visibility: Visibility{Listed, []consent.Subject{subject(t, "user:b"), subject(t, "email:a@x")}, []string{"staff", ""}},
		Values: map[string]Value{
			"s": StringValue("ä\x00"), "i": IntValue(math.MinInt64), "f": FloatValue(math.Copysign(0, -1)),
			"b": BoolValue(true), "l": ListValue(IntValue(1), StringValue(""), BoolValue(false)), "e": ListValue(),
		},
		Terms:  []TermCount{{0, 1}, {5, 300}, {math.MaxUint64, math.MaxUint32}},
		Length: math.MaxUint32,
		Codes:  Codes{[]int8{-128, 0, 127}, 0.25, 0.5},
	}
}

func fullBody() Body { return Body{Text: "text ä", Start: 3, End: 10, Vector: []float32{0.6, -0.8}} }

func fullMeta(t testing.TB) DocMeta {
	return DocMeta{
		ID: "d", Title: "T", Metadata: map[string]Value{"lang": StringValue("en")}, Visibility: fullHead(t).Visibility,
		Source: "mailbox", Provenance: Provenance{"key-1", -5, "batch", EmbedderPin{"n", "m", "r", 256}},
		Nobody: true, Supplied: true,
	}
}

var equal = cmp.Options{cmpopts.EquateEmpty(), cmpopts.EquateComparable(consent.Subject{})}

type codec struct {
	encode func() ([]byte, error)
	decode func([]byte) (again func([]byte) ([]byte, error), same bool, err error)
}

// codecs are the three records, full and empty.
func codecs(t testing.TB) map[string]codec {
	head := func(h Head) codec {
		return codec{func() ([]byte, error) { return h.AppendBinary(nil) }, func(b []byte) (func([]byte) ([]byte, error), bool, error) {
			got, err := DecodeHead(h.Ref, b)
			return got.AppendBinary, cmp.Equal(got, h, equal), err
		}}
	}
	body := func(x Body) codec {
		return codec{func() ([]byte, error) { return x.AppendBinary(nil) }, func(b []byte) (func([]byte) ([]byte, error), bool, error) {
			got, err := DecodeBody(b)
			return got.AppendBinary, cmp.Equal(got, x, equal), err
		}}
	}
	meta := func(m DocMeta) codec {
		return codec{func() ([]byte, error) { return m.AppendBinary(nil) }, func(b []byte) (func([]byte) ([]byte, error), bool, error) {
			got, err := DecodeDocMeta(b)
			return got.AppendBinary, cmp.Equal(got, m, equal), err
		}}
	}
	return map[string]codec{
		"head": head(fullHead(t)), "empty head": head(Head{}), "body": body(fullBody()), "empty body": body(Body{}),
		"body by somebody":    body(Body{Text: "t", By: Attribution{Author: 7, Mentions: []consent.SubjectNum{3, 9}}}),
		"body about somebody": body(Body{Text: "t", By: Attribution{Mentions: []consent.SubjectNum{3}}}),
		"meta":                meta(fullMeta(t)), "empty meta": meta(DocMeta{}),
	}
}

func TestRecordsRoundTrip(t *testing.T) {
	t.Parallel()
	for name, c := range codecs(t) {
		b, err := c.encode()
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		again, same, err := c.decode(b)
		if err != nil || !same {
			t.Errorf("%s: same %v, %v", name, same, err)
		}
		if twice, err := again([]byte("prefix")); err != nil || !bytes.Equal(twice, append([]byte("prefix"), b...)) {
			t.Errorf("%s: a second encoding differs: %v", name, err)
		}
	}
}

func TestRecordsRefuseDamage(t *testing.T) {
	t.Parallel()
	for name, c := range codecs(t) {
		b, err := c.encode()
		if err != nil {
			t.Fatal(err)
		}
		for n := range b {
			if _, _, err := c.decode(b[:n]); !errors.Is(err, ErrRecord) {
				t.Errorf("%s cut at %d: %v", name, n, err)
			}
		}
		if _, _, err := c.decode(append(bytes.Clone(b), 0)); !errors.Is(err, ErrRecord) {
			t.Errorf("%s with a byte more: %v", name, err)
		}
		wrong := bytes.Clone(b)
		wrong[0]++
		if _, _, err := c.decode(wrong); !errors.Is(err, ErrRecord) {
			t.Errorf("%s of another version: %v", name, err)
		}
	}
}

// There is one encoding: numbers in their shortest form, maps in order.
func TestRecordsRefuseOtherEncodings(t *testing.T) {
	t.Parallel()
	plain := []byte{recordVersion, 0, 0, 0, 0}
	if _, err := DecodeBody(plain); err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string][]byte{
		"long zero": {recordVersion, 0x80, 0, 0, 0, 0},
		"long one":  {recordVersion, 0, 0x81, 0, 0, 0},
		"overflow":  {recordVersion, 0, 0xff, 0xff, 0xff, 0xff, 0x1f, 0, 0},
	} {
		if _, err := DecodeBody(b); !errors.Is(err, ErrRecord) {
			t.Errorf("%s: %v", name, err)
		}
	}
	two, err := DocMeta{Metadata: map[string]Value{"a": BoolValue(true), "b": BoolValue(true)}}.AppendBinary(nil)
	if err != nil {
		t.Fatal(err)
	}
	a, b := bytes.IndexByte(two, 'a'), bytes.IndexByte(two, 'b')
	two[a], two[b] = 'b', 'a'
	if _, err := DecodeDocMeta(two); !errors.Is(err, ErrRecord) {
		t.Errorf("names out of order: %v", err)
	}
}

func TestRecordsRefuseWhatDoesNotFit(t *testing.T) {
	t.Parallel()
	nan := float32(math.NaN())
	for name, h := range map[string]Head{
		"unsorted terms":    {Terms: []TermCount{{2, 1}, {1, 1}}},
		"term twice":        {Terms: []TermCount{{2, 1}, {2, 1}}},
		"term of count 0":   {Terms: []TermCount{{2, 0}}},
		"level":             {Visibility: Visibility{Level: 4}},
		"no user":           {Visibility: Visibility{Users: []consent.Subject{{}}}, DocID: "\xff"},
		"no value":          {Values: map[string]Value{"a": {}}},
		"NaN scale":         {Codes: Codes{Scale: nan}},
		"negative residual": {Codes: Codes{Residual: -1}},
		"long code":         {Codes: Codes{Code: make([]int8, maxRecordVector+1)}},
		"broken id":         {DocID: "\xff"},
	} {
		if b, err := h.AppendBinary([]byte("x")); !errors.Is(err, ErrRecord) || string(b) != "x" {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, b := range map[string]Body{"end before start": {Start: 2, End: 1}, "NaN": {Vector: []float32{nan}}, "text": {Text: "\xff"}} {
		if _, err := b.AppendBinary(nil); !errors.Is(err, ErrRecord) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := (DocMeta{Provenance: Provenance{Embedder: EmbedderPin{Dimensions: -1}}}).AppendBinary(nil); !errors.Is(err, ErrRecord) {
		t.Errorf("dimensions: %v", err)
	}
}

func TestHeadsRoundTripAtRandom(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		h := Head{
			DocID:    rapid.String().Draw(t, "id"),
			Personal: rapid.Bool().Draw(t, "personal"),
			Values:   drawMetadata(t),
			Length:   rapid.Uint32().Draw(t, "length"),
			Codes:    Codes{rapid.SliceOf(rapid.Int8()).Draw(t, "code"), rapid.Float32Range(0, 1).Draw(t, "scale"), 1},
		}
		hash := uint64(0)
		for range rapid.IntRange(0, 5).Draw(t, "terms") {
			hash += rapid.Uint64Range(1, math.MaxUint64/8).Draw(t, "gap")
			h.Terms = append(h.Terms, TermCount{hash, rapid.Uint32Min(1).Draw(t, "count")})
		}
		b, err := h.AppendBinary(nil)
		if err != nil {
			t.Skip("does not fit")
		}
		got, err := DecodeHead(PassageRef{}, b)
		if err != nil || !cmp.Equal(got, h, equal) {
			t.Fatalf("round trip: %v", err)
		}
	})
}

// A decoder accepts only what encodes to the same bytes.
func fuzz(f *testing.F, name string, decode func([]byte) (func([]byte) ([]byte, error), error)) {
	for _, n := range []string{name, "empty " + name} {
		b, err := codecs(f)[n].encode()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		again, err := decode(b)
		if err != nil {
			return
		}
		if out, err := again(nil); err != nil || !bytes.Equal(out, b) {
			t.Fatalf("encodes differently: %v", err)
		}
	})
}

func FuzzDecodeHead(f *testing.F) {
	fuzz(f, "head", func(b []byte) (func([]byte) ([]byte, error), error) {
		h, err := DecodeHead(PassageRef{}, b)
		return h.AppendBinary, err
	})
}

func FuzzDecodeBody(f *testing.F) {
	fuzz(f, "body", func(b []byte) (func([]byte) ([]byte, error), error) {
		x, err := DecodeBody(b)
		return x.AppendBinary, err
	})
}

func FuzzDecodeDocMeta(f *testing.F) {
	fuzz(f, "meta", func(b []byte) (func([]byte) ([]byte, error), error) {
		m, err := DecodeDocMeta(b)
		return m.AppendBinary, err
	})
}
