package main

import (
	"fmt"
	"io"

	"github.com/assent-gateway/assent/internal/verify"
)

func (s *session) drill(args []string) error {
	f := newFlags(`assent-verify drill --key VKEY FILE
Checks the report of a restore drill: signed by the log's key, no byte changed,
and passed, as its own figures say.`)
	explain := f.Bool("explain", false, "say in plain words what it proves and what not")
	files, trust, err := f.parse(s, args, 1)
	if err != nil {
		return err
	}
	b, err := readFile(files[0], verify.MaxReceipt)
	if err != nil {
		return err
	}
	d, err := trust.Drill(b)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(s.out, "verified: a restore drill of the log %q at %s: %d entries replayed, %d documents of %d erased people in the backup, none left; witnesses: 0\n",
		d.Log, d.At, d.Replayed, d.RowsInBackup, d.Erased)
	if err == nil && *explain {
		_, err = io.WriteString(s.out, verify.ExplainDrill(d))
	}
	return err
}
