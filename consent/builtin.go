package consent

import _ "embed"

//go:embed builtin.json
var builtin []byte

// Builtin returns the policy of a tenant that was given none: version 0, so
// that any policy file supersedes it.
func Builtin() *Policy {
	p, err := ParsePolicy(builtin)
	if err != nil {
		panic("consent: the built-in policy: " + err.Error()) // a test parses it
	}
	return p
}
