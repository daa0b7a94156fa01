package httpapi_test

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/assent-gateway/assent/internal/httpapi"
	"github.com/assent-gateway/assent/retrieval"
)

// field returns what an InputError names; "-" for no error, and fails for any other.
func field(t *testing.T, err error) string {
	t.Helper()
	if err == nil {
		return "-"
	}
	var input *retrieval.InputError
	if !errors.As(err, &input) {
		t.Fatalf("not an InputError: %T", err)
	}
	if strings.Contains(input.Field+input.Reason, "CANARY") {
		t.Fatalf("the error quotes: %v", input)
	}
	return input.Field
}

func TestADocumentIsReadStrictly(t *testing.T) {
	t.Parallel()
	for doc, want := range map[string]string{
		`{"id":"a","owners":["user:ada"],"text":"x"}`:                    "-",
		`{"id":"a","personal":false,"text":"x"}`:                         "-",
		`{"id":"a","retention_until":"2099-01-01t00:00:00z"}`:            "-",
		`{"id":"a","metadata":{"n":9007199254740993,"l":["a",1,true]}}`:  "-",
		`{"id":"a","text":"\ud83d\ude00"}`:                               "-",
		`{"id":"a","retention_until":""}`:                                "retention_until",
		`{"id":"CANARY","bogus":"CANARY"}`:                               "bogus",
		`{"id":"a","CANARY name":1}`:                                     "",
		`{"id":"a","Text":"x"}`:                                          "",
		`{"id":"a","id":"CANARY"}`:                                       "id",
		`{"id":"a","metadata":{"CANARY":{"x":1}}}`:                       "metadata",
		`{"id":"a","metadata":{"canary":1,"canary":2}}`:                  "metadata",
		`{"id":"a","metadata":{"canary":null}}`:                          "metadata",
		`{"id":"a","metadata":[]}`:                                       "metadata",
		`{"id":"a","metadata":{"n":1e999}}`:                              "metadata",
		`{"id":"a","owners":null}`:                                       "owners",
		`{"id":"a","owners":"user:CANARY"}`:                              "owners",
		`{"id":"a","owners":["user:ada",7]}`:                             "owners[1]",
		`{"id":"a","owners":["user:ada","CANARY\u0000"]}`:                "owners[1]",
		`{"id":"a","owners":[""]}`:                                       "owners[0]",
		`{"id":"a","mentions":["user:"]}`:                                "mentions[0]",
		`{"id":"a","personal":"CANARY"}`:                                 "personal",
		`{"id":7}`:                                                       "id",
		`{"id":"\ud800CANARY"}`:                                          "id",
		"{\"id\":\"\xffCANARY\"}":                                        "id",
		`{"id":"a","passages":[{"text":"x"},{"text":7}]}`:                "passages[1].text",
		`{"id":"a","passages":[{"text":"x","vector":[]}]}`:               "passages[0].vector",
		`{"id":"a","passages":[{"text":"x","vector":["1"]}]}`:            "passages[0].vector",
		`{"id":"a","passages":[{"text":"x","vector":[1e39]}]}`:           "passages[0].vector",
		`{"id":"a","passages":[{"text":"x","vector":"CANARY"}]}`:         "passages[0].vector",
		`{"id":"a","passages":[{"text":"x","colour":1}]}`:                "passages[0].colour",
		`{"id":"a","visibility":{}}`:                                     "visibility.level",
		`{"id":"a","visibility":{"level":"CANARY"}}`:                     "visibility.level",
		`{"id":"a","visibility":{"level":"listed","users":["user:"]}}`:   "visibility.users[0]",
		`{"id":"a","visibility":{"level":"listed","groups":["a",""]}}`:   "visibility.groups[1]",
		`{"id":"a","retention_until":"CANARY"}`:                          "retention_until",
		`{"id":"a","retention_until":7}`:                                 "retention_until",
		`{"id":"a"} {"CANARY":1}`:                                        "",
		`["CANARY"]`:                                                     "",
		`"CANARY"`:                                                       "",
		`{"id":"CANARY`:                                                  "id",
		``:                                                               "",
		strings.Repeat("[", 5000):                                        "",
		`{"id":"a","text":` + strings.Repeat("[", 100) + `"CANARY"`:      "",
		`{"id":"a","text":"[[[[[[[[[[null {{{{ \" null","title":"null"}`: "-",
	} {
		sub := httpapi.ReadDocument([]byte(doc))
		if got := field(t, sub.Err); got != want {
			t.Errorf("%.80s: field %q (%v), want %q", doc, got, sub.Err, want)
		}
	}
}

func TestABadDocumentKeepsItsID(t *testing.T) {
	t.Parallel()
	for doc, want := range map[string]string{
		`{"id":"a","bogus":1}`: "a",
		`{"bogus":1,"id":"a"}`: "a",
		`{"id":7}`:             "",
		`{"id":"a"`:            "",
		`{"id":"` + strings.Repeat("x", 600) + `","z":1}`: "",
		"{\"id\":\"\xff\"}": "",
	} {
		if sub := httpapi.ReadDocument([]byte(doc)); sub.Err == nil || sub.ID != want {
			t.Errorf("%.40s: id %q, err %v", doc, sub.ID, sub.Err)
		}
	}
}

func TestTheEnvelopeIsReadWithoutItsDocuments(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]struct {
		n     int
		field string
	}{
		`{"documents":[]}`: {0, "-"},
		` {"documents": [ {"id":"a"} , 7, {"a":1,"a":2} ] } `: {3, "-"},
		`{"documents":[{}],"documents":[]}`:                   {0, "documents"},
		`{"documents":{}}`:                                    {0, "documents"},
		`{"documents":null}`:                                  {0, "documents"},
		`{}`:                                                  {0, "documents"},
		`{"docs":[]}`:                                         {0, "docs"},
		`{"CANARY":[]}`:                                       {0, ""},
		`{"documents":[],"purpose":"CANARY"}`:                 {0, "purpose"},
		`[]`:                                                  {0, ""},
		``:                                                    {0, ""},
		`{"documents":[]`:                                     {0, ""},
		`{"documents":[]} x`:                                  {0, ""},
		`{"documents":[{]}`:                                   {0, "documents[0]"},
		`{"documents":[` + strings.Repeat("{},", 1000) + `{}]}`: {0, "documents"},
	} {
		docs, err := httpapi.SplitDocuments([]byte(body))
		if got := field(t, err); got != want.field || err == nil && len(docs) != want.n {
			t.Errorf("%.60s: %d documents, field %q (%v)", body, len(docs), got, err)
		}
	}
}

func TestASearchIsReadStrictly(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]string{
		`{"query":"x"}`:                          "-",
		`{"query":"x","k":1000,"exact":true}`:    "-",
		`{"vector":[1,2]}`:                       "-",
		`{"query":"x","k":0}`:                    "k",
		`{"query":"x","k":1001}`:                 "k",
		`{"query":"x","k":-1}`:                   "k",
		`{"query":"x","k":1.5}`:                  "k",
		`{"query":"x","k":1e1}`:                  "k",
		`{"query":"x","k":"10"}`:                 "k",
		`{"query":"x","k":99999999999999999999}`: "k",
		`{"query":"x","k":null}`:                 "k",
		`{"query":"x","filter":null}`:            "filter",
		`{"query":"x","vector":null}`:            "vector",
		`{"query":"x","vector":{}}`:              "vector",
		`{"query":"x","vector":[[1]]}`:           "vector",
		`{"query":"x","min_position":-1}`:        "min_position",
		`{"query":"x","mode":"CANARY"}`:          "mode",
		`{"query":"x","exact":1}`:                "exact",
		`{"query":"x","filters":[]}`:             "filters",
		`{}`:                                     "query",
		`{"query":""}`:                           "query",
	} {
		_, err := httpapi.ReadSearch([]byte(body))
		if got := field(t, err); got != want {
			t.Errorf("%s: field %q (%v), want %q", body, got, err, want)
		}
	}
}

func TestAConsentEntryIsReadStrictly(t *testing.T) {
	t.Parallel()
	entry := func(change string) string {
		return `{"user_id":"ada","consent_type":"RAG_Retrieval_V1","status":"granted","source":"test"` + change + `}`
	}
	for body, want := range map[string]string{
		entry(``): "-",
		entry(`,"timestamp":"2026-01-01T00:00:00.123456789+02:00","jurisdiction":"us-ca"`): "-",
		entry(`,"timestamp":"2026-01-01"`):                                                 "timestamp",
		entry(`,"timestamp":"2026-01-01T00:00:00"`):                                        "timestamp",
		entry(`,"timestamp":"1970-01-01T00:00:00Z"`):                                       "timestamp",
		entry(`,"timestamp":"9999-01-01T00:00:00Z"`):                                       "timestamp",
		entry(`,"timestamp":""`):                                                           "timestamp",
		entry(`,"expires_at":""`):                                                          "expires_at",
		entry(`,"timestamp":1767225600`):                                                   "timestamp",
		entry(`,"expires_at":"CANARY"`):                                                    "expires_at",
		entry(`,"jurisdiction":"CANARY"`):                                                  "jurisdiction",
		entry(`,"asserted_by":"self"`):                                                     "asserted_by",
		entry(`,"position":1`):                                                             "position",
		entry(`,"ip":"` + strings.Repeat("1", 2049) + `"`):                                 "ip",
		`{"user_id":"","consent_type":"a_v1","status":"granted","source":"s"}`:             "user_id",
		`{"consent_type":"a_v1","status":"granted","source":"s"}`:                          "user_id",
		`{"user_id":"a","consent_type":"CANARY","status":"granted","source":"s"}`:          "consent_type",
		`{"user_id":"a","consent_type":"a_v1","status":"Granted","source":"s"}`:            "status",
		`{"user_id":"a","consent_type":"a_v1","status":"granted"}`:                         "source",
	} {
		_, err := httpapi.ReadConsent([]byte(body))
		if got := field(t, err); got != want {
			t.Errorf("%.120s: field %q (%v), want %q", body, got, err, want)
		}
	}
}

func TestTimesAreRFC3339(t *testing.T) {
	t.Parallel()
	want := time.Date(2026, 2, 3, 4, 5, 6, 0, time.UTC)
	for _, s := range []string{"2026-02-03T04:05:06Z", "2026-02-03t04:05:06z", "2026-02-03T06:05:06+02:00", "2026-02-03T04:05:06.000Z"} {
		if got, err := httpapi.ParseTime(s); err != nil || !got.Equal(want) {
			t.Errorf("%s: %v, %v", s, got, err)
		}
	}
	for _, s := range []string{
		"", "now", "2026-02-03 04:05:06Z", "2026-02-03T4:05:06Z", "2026-02-03T04:05:06,1Z", "2026-02-30T04:05:06Z",
		"2026-02-03T24:00:00Z", "2026-02-03T04:05:06+24:00", "1970-01-01T00:00:00Z", "1969-12-31T23:59:59Z",
		"2262-01-01T00:00:00Z", "0000-01-01T00:00:00Z", "9999-12-31T23:59:59Z",
	} {
		if got, err := httpapi.ParseTime(s); err == nil {
			t.Errorf("%s: taken as %v", s, got)
		}
	}
}

func b64(v ...float32) string {
	var b []byte
	for _, f := range v {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(f))
	}
	return base64.StdEncoding.EncodeToString(b)
}

func TestAVectorHasTwoForms(t *testing.T) {
	t.Parallel()
	want := []float32{0.1, -2, 3e-8}
	for _, raw := range []string{`[0.1,-2,3e-8]`, " [ 0.1 ,\n-2,\t3E-8 ] ", `"` + b64(want...) + `"`} {
		got, err := httpapi.VectorField("vector", jsontext.Value(raw))
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: %v, %v", raw, got, err)
		}
	}
	inf, nan := float32(math.Inf(1)), float32(math.NaN())
	long := b64(make([]float32, 4097)...)
	for _, raw := range []string{
		`[]`, `""`, `7`, `true`, `{}`, `[true]`, `["0.1"]`, `[[1]]`, `[1e39]`, `[-1e39]`,
		`"AAA="`, `"AAAA"`, `"AAAAAA"`, `"!!!!"`, `"` + strings.TrimRight(b64(1), "=") + `"`,
		`"` + b64(inf) + `"`, `"` + b64(1, nan) + `"`, `"` + long + `"`, "\"AACA\\nPw==\"",
		`[` + strings.Repeat("0,", 4096) + `0]`,
	} {
		if got, err := httpapi.VectorField("vector", jsontext.Value(raw)); field(t, err) != "vector" {
			t.Errorf("%.40s: %d numbers, %v", raw, len(got), err)
		}
	}
	if got, err := httpapi.VectorField("vector", nil); got != nil || err != nil {
		t.Errorf("absent: %v, %v", got, err)
	}
}

func TestScoresAreCoarse(t *testing.T) {
	t.Parallel()
	for in, want := range map[float64]string{
		0.834: "0.83", 0.836: "0.84", 0.125: "0.13", -0.125: "-0.13", -0.001: "0", 1: "1", 12.3456: "12.35", 0.999: "1",
	} {
		if got := fmt.Sprint(httpapi.Coarse(in)); got != want {
			t.Errorf("%v shows as %s, want %s", in, got, want)
		}
	}
}

// check holds for every decoder: what is wrong is an InputError without a value.
func check(t *testing.T, raw []byte, err error) {
	t.Helper()
	if err == nil {
		return
	}
	var input *retrieval.InputError
	if !errors.As(err, &input) {
		t.Fatalf("%T: %v", err, err)
	}
	if strings.Trim(input.Field, "abcdefghijklmnopqrstuvwxyz0123456789_.[]") != "" || len(input.Field) > 200 {
		t.Fatalf("field %q", input.Field)
	}
}

func FuzzDocument(f *testing.F) {
	f.Add([]byte(`{"id":"a","owners":["user:ada"],"passages":[{"text":"x","vector":[1]}],"metadata":{"a":[1,"b"]},"visibility":{"level":"listed","users":["u"],"groups":["g"]},"retention_until":"2099-01-01T00:00:00Z"}`))
	f.Add([]byte(`{"id":"a","id":null}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		sub := httpapi.ReadDocument(raw)
		check(t, raw, sub.Err)
		if sub.Err == nil {
			for _, p := range sub.Passages {
				for _, x := range p.Vector {
					if math.IsNaN(float64(x)) || math.IsInf(float64(x), 0) {
						t.Fatal("not finite")
					}
				}
			}
		}
	})
}

func FuzzEnvelope(f *testing.F) {
	f.Add([]byte(`{"documents":[{"id":"a"},7]}`))
	f.Add([]byte("{\"documents\":[\"\xff\\ud800\"]}"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		docs, err := httpapi.SplitDocuments(raw)
		check(t, raw, err)
		for _, d := range docs {
			if !strings.Contains(string(raw), string(d)) || len(d) == 0 {
				t.Fatalf("a document that is not in the body: %q", d)
			}
			check(t, d, httpapi.ReadDocument(d).Err)
		}
	})
}

func FuzzSearch(f *testing.F) {
	f.Add([]byte(`{"query":"x","k":3,"vector":"AACAPw==","filter":{"field":"a","op":"eq","value":1},"min_position":1}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		req, err := httpapi.ReadSearch(raw)
		check(t, raw, err)
		if err == nil && (req.K < 1 || req.K > 1000 || req.Query == "" && req.Vector == nil) {
			t.Fatal("an invalid search passed")
		}
	})
}

func FuzzConsent(f *testing.F) {
	f.Add([]byte(`{"user_id":"ada","consent_type":"a_v1","status":"granted","source":"s","timestamp":"2026-01-01T00:00:00Z"}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		e, err := httpapi.ReadConsent(raw)
		check(t, raw, err)
		if err == nil && (e.Subject.IsZero() || e.Status == 0 || e.Type.IsZero() || e.ActedAt < 0 || e.ExpiresAt < 0) {
			t.Fatal("an invalid entry passed")
		}
	})
}

func FuzzVector(f *testing.F) {
	f.Add([]byte(`[1,2e3]`))
	f.Add([]byte(`"AACAPw=="`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		v := jsontext.Value(raw)
		if !v.IsValid() {
			return
		}
		got, err := httpapi.VectorField("vector", v)
		check(t, raw, err)
		if err == nil && len(got) == 0 {
			t.Fatal("an empty vector passed")
		}
	})
}
