package retrieval

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"math"
	"strconv"
	"unicode/utf8"
)

// errValue never quotes what was read.
var errValue = errors.New("retrieval: a metadata value is not a string, number, boolean or list of these")

// UnmarshalJSON reads a value. A number without fraction or exponent that
// fits int64 stays exact, others become the nearest float64. null, objects,
// nested lists, numbers beyond float64, invalid UTF-8 and lone surrogates are
// errors, which quote nothing.
func (v *Value) UnmarshalJSON(b []byte) error {
	got, err := decodeValue(b)
	if err == nil {
		*v = got
	}
	return err
}

func decodeValue(b []byte) (Value, error) {
	if !cleanJSON(b) {
		return Value{}, errValue
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	t, err := d.Token()
	if err != nil {
		return Value{}, errValue
	}
	var v Value
	if t == json.Delim('[') {
		v, err = decodeList(d)
	} else {
		v, err = scalarOf(t)
	}
	if err != nil {
		return Value{}, err
	}
	if _, err := d.Token(); err != io.EOF {
		return Value{}, errValue
	}
	return v, nil
}

// decodeList reads the rest of a list whose bracket was read.
func decodeList(d *json.Decoder) (Value, error) {
	list := []Value{}
	for {
		t, err := d.Token()
		if err != nil {
			return Value{}, errValue
		}
		if t == json.Delim(']') {
			return hold(value{kind: KindList, list: list}), nil
		}
		e, err := scalarOf(t)
		if err != nil {
			return Value{}, err
		}
		list = append(list, e)
	}
}

func scalarOf(t json.Token) (Value, error) {
	switch t := t.(type) {
	case string:
		return StringValue(t), nil
	case bool:
		return BoolValue(t), nil
	case json.Number:
		if n, err := strconv.ParseInt(string(t), 10, 64); err == nil {
			return IntValue(n), nil
		}
		f, err := strconv.ParseFloat(string(t), 64)
		if err != nil {
			return Value{}, errValue
		}
		return FloatValue(f), nil
	}
	return Value{}, errValue
}

// MarshalJSON writes what UnmarshalJSON reads back as an Equal value.
func (v Value) MarshalJSON() ([]byte, error) { return v.appendJSON(nil) }

func (v Value) appendJSON(dst []byte) ([]byte, error) {
	switch v.Kind() {
	case KindString:
		return appendString(dst, v.Text())
	case KindInt:
		return strconv.AppendInt(dst, v.Int(), 10), nil
	case KindFloat:
		return appendFloat(dst, v.Float()), nil
	case KindBool:
		return strconv.AppendBool(dst, v.Bool()), nil
	case KindList:
		return appendList(dst, v.get().list)
	}
	return nil, errValue
}

func appendList(dst []byte, list []Value) ([]byte, error) {
	dst = append(dst, '[')
	for i, e := range list {
		if i > 0 {
			dst = append(dst, ',')
		}
		var err error
		if dst, err = e.appendJSON(dst); err != nil {
			return nil, err
		}
	}
	return append(dst, ']'), nil
}

// appendFloat writes the shortest form that reads back as the same number,
// with an exponent where digits alone would be long.
func appendFloat(dst []byte, f float64) []byte {
	form := byte('f')
	if a := math.Abs(f); a != 0 && (a < 1e-6 || a >= 1e21) {
		form = 'e'
	}
	return strconv.AppendFloat(dst, f, form, -1, 64)
}

func appendString(dst []byte, s string) ([]byte, error) {
	if !utf8.ValidString(s) {
		return nil, errValue
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(s); err != nil {
		return nil, errValue
	}
	return append(dst, bytes.TrimSuffix(b.Bytes(), []byte("\n"))...), nil
}

// cleanJSON reports whether b is valid UTF-8 in which no \u escape is half of
// a surrogate pair: encoding/json would read either as U+FFFD, so that two
// different inputs became one.
func cleanJSON(b []byte) bool {
	if !utf8.Valid(b) {
		return false
	}
	for i := 0; i < len(b); i++ {
		if b[i] != '\\' {
			continue
		}
		i++ // whatever is escaped, it starts no escape itself
		if i >= len(b) || b[i] != 'u' {
			continue
		}
		switch r := hex4(b[i+1:]); {
		case r >= 0xDC00 && r < 0xE000:
			return false
		case r >= 0xD800 && r < 0xDC00:
			rest := b[min(i+5, len(b)):]
			if !bytes.HasPrefix(rest, []byte(`\u`)) {
				return false
			}
			if low := hex4(rest[2:]); low < 0xDC00 || low >= 0xE000 {
				return false
			}
			i += 10
		}
	}
	return true
}

// hex4 reads four hexadecimal digits; -1 when b does not start with them.
func hex4(b []byte) int64 {
	if len(b) < 4 {
		return -1
	}
	n, err := strconv.ParseUint(string(b[:4]), 16, 16)
	if err != nil {
		return -1
	}
	return int64(n)
}
