package httpapi

import (
	"net/url"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/internal/credential"
)

// The headers in which a key with act_as says on whose behalf it asks.
const (
	principalHeader = "Assent-Principal"
	groupsHeader    = "Assent-Groups"

	maxGroups    = 256
	maxGroupName = 512
)

// authenticate finds the key of the bearer's secret.
func (c *call) authenticate() error {
	value, ok, err := c.header("Authorization")
	if err != nil || !ok {
		return credential.ErrUnauthenticated
	}
	scheme, secret, ok := strings.Cut(value, " ")
	if !ok || !strings.EqualFold(scheme, "Bearer") {
		return credential.ErrUnauthenticated
	}
	c.key, err = c.Credentials.Authenticate(c.ctx(), strings.TrimSpace(secret))
	return err
}

// identify reads the principal. Who is not told of one sees only what the
// whole tenant may see.
func (c *call) identify() error {
	who, asserted, err := c.header(principalHeader)
	if err != nil {
		return err
	}
	groups, grouped, err := c.header(groupsHeader)
	if err != nil {
		return err
	}
	if !asserted && !grouped {
		return nil
	}
	if !c.key.Scopes.Has(credential.ActAs) {
		return errScope
	}
	if c.principal.Groups, err = parseGroups(groups); err != nil || !asserted {
		return err
	}
	plain, err := url.PathUnescape(who)
	if err != nil {
		return invalid(principalHeader, notSubject)
	}
	if c.principal.Subject, err = consent.ParseSubject(plain); err != nil {
		return invalid(principalHeader, notSubject)
	}
	if !c.key.MaySpeakFor(c.principal.Subject.Namespace()) {
		return errNamespace
	}
	return nil
}

// parseGroups reads a comma-separated list of percent-encoded names.
func parseGroups(header string) ([]string, error) {
	if strings.TrimSpace(header) == "" {
		return nil, nil
	}
	parts := strings.Split(header, ",")
	if len(parts) > maxGroups {
		return nil, invalid(groupsHeader, "has more than 256 groups")
	}
	groups := make([]string, len(parts))
	for i, p := range parts {
		name, err := url.PathUnescape(strings.TrimSpace(p))
		if err != nil {
			return nil, invalid(groupsHeader, notGroup)
		}
		if groups[i], err = parseGroup(name); err != nil {
			return nil, invalid(groupsHeader, notGroup)
		}
	}
	return groups, nil
}

const notGroup = "holds what is not a group's name: 1 to 512 bytes of UTF-8 without control characters"

// parseGroup returns a group's name in NFC, as documents and headers compare it.
func parseGroup(s string) (string, error) {
	if s == "" || !utf8.ValidString(s) {
		return "", errSyntax
	}
	s = norm.NFC.String(s)
	if len(s) > maxGroupName || strings.ContainsFunc(s, unicode.IsControl) {
		return "", errSyntax
	}
	return s, nil
}

// purpose settles what a request is for: what it says, if the key allows it,
// or the key's only one. That the policy knows it, the ledger says.
func (c *call) purpose(given string) (string, error) {
	if given == "" {
		if len(c.key.Purposes) != 1 {
			return "", invalid("purpose", "is required: the key has not exactly one")
		}
		return c.key.Purposes[0], nil
	}
	if !consent.ValidPurpose(given) || !c.key.MayPurpose(given) {
		return "", consent.ErrPurposeUnknown
	}
	return given, nil
}
