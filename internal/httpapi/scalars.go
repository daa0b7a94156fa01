package httpapi

import (
	"encoding/base64"
	"encoding/binary"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/retrieval"
)

// parseTime reads RFC 3339 to the letter; T and Z may be of either case. The
// instant must lie after 1970 began and before 2262: at exactly 0 the ledger
// would take it for absent, beyond it for another one.
func parseTime(s string) (time.Time, error) {
	s = strings.ToUpper(s)
	if !shapedTime(s) {
		return time.Time{}, errSyntax
	}
	t, err := time.Parse(time.RFC3339, s) // takes a fraction, too
	if err != nil {
		return time.Time{}, errSyntax
	}
	if year := t.UTC().Year(); year < 1970 || year > 2261 || t.UnixNano() <= 0 {
		return time.Time{}, errSyntax
	}
	return t, nil
}

// shapedTime refuses what time.Parse lets pass besides RFC 3339: one digit of
// an hour, a comma before the fraction, offsets of a day and more.
func shapedTime(s string) bool {
	const date, offset = "2006-01-02T15:04:05", "+07:00"
	if len(s) <= len(date) || len(s) > 40 || s[13] != ':' || strings.Contains(s, ",") {
		return false
	}
	if strings.HasSuffix(s, "Z") {
		return true
	}
	o := s[len(s)-len(offset):]
	return o[1:3] <= "23" && o[4:] <= "59"
}

const notTime = "is not an RFC 3339 time between 1970 and 2262"

// timeField reads an optional time. An empty one is not an absent one: a grant
// whose end a client failed to fill in must not become one without end.
func timeField(field string, s *string) (time.Time, error) {
	if s == nil {
		return time.Time{}, nil
	}
	t, err := parseTime(*s)
	if err != nil {
		return t, invalid(field, notTime)
	}
	return t, nil
}

func jurisdictionField(s string) (consent.Jurisdiction, error) {
	j, err := consent.ParseJurisdiction(s)
	if err != nil {
		return "", invalid("jurisdiction", "is not an ISO 3166-1 or 3166-2 code")
	}
	return j, nil
}

const notVector = "is neither an array of finite numbers nor base64 of little-endian float32, 1 to 4096 of them"

// vectorField reads a vector from valid JSON; nil when there is none.
func vectorField(field string, raw jsontext.Value) ([]float32, error) {
	if len(raw) == 0 {
		return nil, nil
	}
	var v []float32
	var err error
	switch raw.Kind() {
	case '[':
		v, err = vectorOfArray(raw)
	case '"':
		v, err = vectorOfBase64(raw)
	default:
		err = errSyntax
	}
	if err != nil || len(v) == 0 || len(v) > retrieval.MaxDimensions {
		return nil, invalid(field, notVector)
	}
	return v, nil
}

// vectorOfArray reads a valid JSON array. What is not a number in it does not
// parse as one: the spellings that Go knows besides JSON's cannot stand there.
func vectorOfArray(raw jsontext.Value) ([]float32, error) {
	s := strings.Trim(string(raw), " \t\r\n")
	s = strings.Trim(s[1:len(s)-1], " \t\r\n")
	if s == "" {
		return nil, errSyntax
	}
	n := strings.Count(s, ",") + 1
	if n > retrieval.MaxDimensions {
		return nil, errSyntax
	}
	v := make([]float32, 0, n)
	for part := range strings.SplitSeq(s, ",") {
		f, err := strconv.ParseFloat(strings.Trim(part, " \t\r\n"), 32)
		if err != nil { // out of range, too
			return nil, errSyntax
		}
		v = append(v, float32(f))
	}
	return v, nil
}

func vectorOfBase64(raw jsontext.Value) ([]float32, error) {
	text, err := jsontext.AppendUnquote(nil, raw)
	if err != nil || len(text) > base64.StdEncoding.EncodedLen(4*retrieval.MaxDimensions) {
		return nil, errSyntax
	}
	b, err := base64.StdEncoding.Strict().DecodeString(string(text))
	if err != nil || len(b)%4 != 0 || strings.ContainsAny(string(text), "\r\n") {
		return nil, errSyntax
	}
	v := make([]float32, len(b)/4)
	for i := range v {
		v[i] = math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:]))
		if f := float64(v[i]); math.IsNaN(f) || math.IsInf(f, 0) {
			return nil, errSyntax
		}
	}
	return v, nil
}

// coarse rounds a score to two decimals, halves away from zero.
func coarse(score float64) float64 { return math.Round(score*100)/100 + 0 } // + 0 makes -0 a 0
