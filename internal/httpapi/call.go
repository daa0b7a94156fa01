package httpapi

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/gin-gonic/gin"
	"github.com/go-json-experiment/json"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/internal/credential"
	"github.com/assent-gateway/assent/retrieval"
)

// call is one request on its way through its handler.
type call struct {
	*api
	w      gin.ResponseWriter
	r      *http.Request
	params gin.Params
	route  route

	key       credential.Key      // who asks
	principal retrieval.Principal // on whose behalf
	query     map[string]string
}

func (c *call) ctx() context.Context     { return c.r.Context() }
func (c *call) tenant() consent.TenantID { return c.key.Tenant }

// caller is who asks, as retrieval takes it.
func (c *call) caller() retrieval.Caller {
	var rights retrieval.Rights
	for scope, right := range map[credential.Scopes]retrieval.Rights{
		credential.IngestNonPersonal: retrieval.MayIngestNonPersonal,
		credential.IngestOwners:      retrieval.MayChangeOwners,
		credential.ConsentRead:       retrieval.MayHearReasons,
		credential.Admin:             retrieval.MayChangeRules,
	} {
		if c.key.Scopes.Has(scope) {
			rights |= right
		}
	}
	return retrieval.Caller{
		Tenant: c.key.Tenant, KeyID: c.key.ID, Principal: c.principal,
		Collections: c.key.Collections, Rights: rights,
	}
}

// param returns a decoded part of the path. One that is not UTF-8 is "", which
// nothing is named.
func (c *call) param(name string) string {
	s, err := url.PathUnescape(c.params.ByName(name))
	if err != nil || !utf8.ValidString(s) {
		return ""
	}
	return s
}

// subject reads the person that the path names.
func (c *call) subject() (consent.Subject, error) {
	who, err := consent.ParseSubject(c.param("user"))
	if err != nil {
		return who, invalid("user_id", notSubject)
	}
	return who, nil
}

// readQuery takes the query parameters that the route knows, each at most once.
func (c *call) readQuery() error {
	values, err := url.ParseQuery(c.r.URL.RawQuery)
	if err != nil {
		return invalid("", "the query string is not well-formed")
	}
	c.query = make(map[string]string, len(values))
	for name, v := range values {
		field := name
		if !ours(name) {
			field = ""
		}
		if !slices.Contains(c.route.query, name) {
			return invalid(field, "is not a parameter of this route")
		}
		if len(v) != 1 || !utf8.ValidString(v[0]) {
			return invalid(field, "is there twice or not UTF-8")
		}
		c.query[name] = v[0]
	}
	return nil
}

// json answers with a value.
func (c *call) json(status int, v any) error {
	body, err := json.Marshal(v, json.Deterministic(true))
	if err != nil {
		return err
	}
	c.answer(status, "application/json", append(body, '\n'))
	return nil
}

func (c *call) answer(status int, contentType string, body []byte) {
	c.w.Header().Set("Content-Type", contentType)
	c.w.WriteHeader(status)
	c.w.Write(body) // a client that has gone away needs no answer
}

// nothing answers 204.
func (c *call) nothing() error {
	c.w.WriteHeader(http.StatusNoContent)
	c.w.WriteHeaderNow()
	return nil
}

// header returns a header that may be there once; false when it is absent.
func (c *call) header(name string) (string, bool, error) {
	values := c.r.Header.Values(name)
	switch len(values) {
	case 0:
		return "", false, nil
	case 1:
		return values[0], true, nil
	}
	return "", false, invalid(name, "is there more than once")
}

// accepts reports whether the client would rather have text/plain than JSON.
func (c *call) acceptsText() bool {
	var text, js float64
	for _, part := range strings.Split(strings.Join(c.r.Header.Values("Accept"), ","), ",") {
		name, params, _ := strings.Cut(part, ";")
		switch strings.ToLower(strings.TrimSpace(name)) {
		case "text/plain":
			text = quality(params)
		case "application/json":
			js = quality(params)
		}
	}
	return text > js
}
