package main

import (
	"errors"
	"flag"
	"io"
	"strings"

	"github.com/assent-gateway/assent/internal/verify"
)

// A usageError is a mistake in the command line, with the text that helps.
type usageError struct{ problem, usage string }

func (e *usageError) Error() string { return e.problem }

// flags are those of a command; --key, as often as needed, and --origin are in all.
type flags struct {
	*flag.FlagSet
	synopsis string
	keys     []string
	origin   *string
}

func newFlags(synopsis string) *flags {
	fs := flag.NewFlagSet("", flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	fs.Usage = func() {} // errors carry the usage
	f := &flags{FlagSet: fs, synopsis: synopsis}
	fs.Func("key", "the log's verifier `VKEY`: NAME+ID+BASE64; again for each, where the log's key was rotated", func(v string) error {
		f.keys = append(f.keys, v)
		return nil
	})
	f.origin = fs.String("origin", "", "the checkpoint's origin `LINE` (default: the key's name)")
	return f
}

// parse takes flags before, between and after the arguments, of which there
// must be so many, and returns what is pinned.
func (f *flags) parse(s *session, args []string, want int) ([]string, verify.Trust, error) {
	var positional []string
	for len(args) > 0 {
		if err := f.Parse(args); errors.Is(err, flag.ErrHelp) {
			if _, err := io.WriteString(s.out, f.usage()); err != nil {
				return nil, verify.Trust{}, err
			}
			return nil, verify.Trust{}, flag.ErrHelp
		} else if err != nil {
			return nil, verify.Trust{}, f.mistake(err.Error())
		}
		if args = f.Args(); len(args) > 0 {
			positional, args = append(positional, args[0]), args[1:]
		}
	}
	if len(positional) != want {
		return nil, verify.Trust{}, f.mistake("the number of arguments is wrong")
	}
	if len(f.keys) == 0 {
		return nil, verify.Trust{}, f.mistake("--key is missing: the verifier never takes a key from the log")
	}
	trust := verify.Trust{Origin: *f.origin}
	for _, text := range f.keys {
		key, err := verify.ParseKey(strings.TrimSpace(text))
		if err != nil {
			return nil, verify.Trust{}, f.mistake("--key: " + err.Error())
		}
		trust.Keys = append(trust.Keys, key)
		if trust.Origin == "" && key.Name() != trust.Keys[0].Name() {
			return nil, verify.Trust{}, f.mistake("the keys have different names: say which log is meant by --origin")
		}
	}
	return positional, trust, nil
}

func (f *flags) mistake(problem string) error { return &usageError{problem, f.usage()} }

func (f *flags) usage() string {
	var b strings.Builder
	b.WriteString("usage: " + f.synopsis + "\n")
	f.SetOutput(&b)
	f.PrintDefaults()
	f.SetOutput(io.Discard)
	return b.String()
}
