package main

import (
	"fmt"
	"os"
	"time"
)

func (s *session) manifest(args []string) error {
	f := newFlags(`assent-verify manifest --key VKEY DIR
Checks a training manifest as "assent manifest build" leaves it: statement.json
is signed by the key; the manifest's entry stands in the log and names these
files; every file is whole and none is missing or more; the rows stand in order
and lead to the root; its lease has not ended. It does not ask whether somebody
withdrew since: "assent manifest check" does.`)
	dirs, trust, err := f.parse(s, args, 1)
	if err != nil {
		return err
	}
	if info, err := os.Stat(dirs[0]); err != nil || !info.IsDir() {
		return f.mistake("DIR is not a directory")
	}
	m, err := trust.Manifest(os.DirFS(dirs[0]), time.Now())
	if err != nil {
		return err
	}
	root := "their root computed"
	if !m.Rooted {
		root = "their root not computed: some are withheld, or they are not there as JSON"
	}
	c := m.Proven.Checkpoint
	_, err = fmt.Fprintf(s.out, "verified: manifest %s for %s, %d rows in %d files (%s), %d withheld; entry %d of %d in the log %q; valid until %s unless somebody withdraws\n",
		m.ID, m.Purpose, m.Rows, m.Files, root, m.Withheld, m.Proven.Index+1, c.Size, c.Origin, m.Expires.Format(time.RFC3339))
	return err
}
