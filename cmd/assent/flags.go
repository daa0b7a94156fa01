package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// A usageError is a mistake in the command line. It carries the text that
// helps to mend it.
type usageError struct{ problem, usage string }

func (e *usageError) Error() string { return e.problem }

// flagSet is a flag.FlagSet that takes flags before, between and after the
// arguments (`assent search QUERY --k 3`) and turns mistakes into usageErrors.
type flagSet struct {
	*flag.FlagSet
	synopsis string
}

// newFlags makes the flags of a command; the synopsis is its forms, one a line,
// then after an empty line what it does.
func newFlags(synopsis string) *flagSet {
	fs := flag.NewFlagSet("", flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	fs.Usage = func() {} // errors carry the usage
	return &flagSet{fs, synopsis}
}

// parse returns the arguments that are not flags. After -h it has printed the
// usage to s.out and returns flag.ErrHelp.
func (f *flagSet) parse(s *session, args []string) ([]string, error) {
	var positional []string
	for len(args) > 0 {
		if err := f.Parse(args); errors.Is(err, flag.ErrHelp) {
			io.WriteString(s.out, f.usage())
			return nil, err
		} else if err != nil {
			return nil, f.mistake(err.Error())
		}
		rest := f.Args()
		if used := len(args) - len(rest); used > 0 && args[used-1] == "--" {
			return append(positional, rest...), nil
		}
		if len(rest) > 0 {
			positional = append(positional, rest[0])
			rest = rest[1:]
		}
		args = rest
	}
	return positional, nil
}

// need checks that flags which have no default were given.
func (f *flagSet) need(names ...string) error {
	for _, name := range names {
		if f.Lookup(name).Value.String() == "" {
			return f.mistake("--" + name + " is missing")
		}
	}
	return nil
}

// filled checks that flags which narrow something are not given without a
// value: from a script's empty variable would come the widest of all.
func (f *flagSet) filled(names ...string) error {
	for _, name := range names {
		if f.given(name) && len(list(f.Lookup(name).Value.String())) == 0 {
			return f.mistake("--" + name + " is empty")
		}
	}
	return nil
}

// given reports whether a flag was on the command line.
func (f *flagSet) given(name string) (yes bool) {
	f.Visit(func(g *flag.Flag) { yes = yes || g.Name == name })
	return yes
}

func (f *flagSet) mistake(problem string) error { return &usageError{problem, f.usage()} }

// usage is the synopsis and every flag with its default.
func (f *flagSet) usage() string {
	var b strings.Builder
	forms, about, _ := strings.Cut(f.synopsis, "\n\n")
	b.WriteString("usage: " + strings.ReplaceAll(forms, "\n", "\n       ") + "\n")
	if about != "" {
		b.WriteString("\n" + about + "\n")
	}
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	separator := "\n"
	f.VisitAll(func(g *flag.Flag) {
		value, usage := flag.UnquoteUsage(g)
		if g.DefValue != "" && g.DefValue != "false" {
			usage += " (default " + g.DefValue + ")"
		}
		fmt.Fprintf(w, "%s  --%s %s\t%s\n", separator, g.Name, value, usage)
		separator = ""
	})
	w.Flush()
	return b.String()
}

// list splits a comma-separated flag; nil when there is nothing in it.
func list(s string) []string {
	var out []string
	for part := range strings.SplitSeq(s, ",") {
		if part = strings.TrimSpace(part); part != "" {
			out = append(out, part)
		}
	}
	return out
}
