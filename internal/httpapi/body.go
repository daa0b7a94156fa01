package httpapi

import (
	"errors"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"
)

// maxBody is the largest body, and the longest line of a stream, in bytes.
const maxBody = 8 << 20

// maxDrain is how much of a body that is too large is read and dropped.
const maxDrain = 32 << 20

// mediaType returns the body's type without parameters, "" when there is none.
func (c *call) mediaType() (string, error) {
	value := c.r.Header.Get("Content-Type")
	if enc := c.r.Header.Get("Content-Encoding"); enc != "" && !strings.EqualFold(enc, "identity") {
		return "", errMediaType
	}
	if value == "" {
		return "", nil
	}
	name, params, err := mime.ParseMediaType(value)
	if err != nil {
		return "", errMediaType
	}
	if charset, ok := params["charset"]; ok && !strings.EqualFold(charset, "utf-8") {
		return "", errMediaType
	}
	return name, nil
}

const ndjson = "application/x-ndjson"

// body reads a JSON body whole. A missing type is JSON, and so is the one that
// curl gives to every body unless told otherwise.
func (c *call) body() ([]byte, error) {
	name, err := c.mediaType()
	if err != nil {
		return nil, err
	}
	switch name {
	case "", "application/json", "application/x-www-form-urlencoded":
	default:
		return nil, errMediaType
	}
	return c.whole()
}

// whole reads a body of any type.
func (c *call) whole() ([]byte, error) {
	raw, err := io.ReadAll(http.MaxBytesReader(c.w, c.r.Body, maxBody))
	if err != nil {
		var size *http.MaxBytesError
		if errors.As(err, &size) {
			// Many clients write all before they read: without this their
			// connection breaks under them, and they never hear why.
			_, _ = io.CopyN(io.Discard, c.r.Body, maxDrain)
			return nil, errTooLarge
		}
		return nil, errCutShort
	}
	return raw, nil
}

// read decodes a JSON body.
func (c *call) read(into any) error {
	raw, err := c.body()
	if err != nil {
		return err
	}
	return decode(raw, into)
}

// quality reads the weight of an element of Accept; 1 without one.
func quality(params string) float64 {
	for _, p := range strings.Split(params, ";") {
		name, value, _ := strings.Cut(strings.TrimSpace(p), "=")
		if strings.EqualFold(name, "q") {
			q, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
			if err != nil || q < 0 || q > 1 {
				return 0
			}
			return q
		}
	}
	return 1
}
