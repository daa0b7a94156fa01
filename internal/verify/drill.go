package verify

import (
	"bytes"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
)

const drillFormat = "assent-restore-drill/v1"

// A Drill is the report of a restore drill, as far as it was verified: all of it.
// Its members are in the order in which they stand in the file.
type Drill struct {
	Log            string   `json:"log"`
	At             string   `json:"at"`
	LedgerBefore   uint64   `json:"ledger_before"`
	Journal        uint64   `json:"journal"`
	ReadyBefore    bool     `json:"ready_before"`
	Replayed       uint64   `json:"replayed"`
	Lost           uint64   `json:"lost"`
	LedgerAfter    uint64   `json:"ledger_after"`
	ReadyAfter     bool     `json:"ready_after"`
	Erased         uint64   `json:"erased"`
	RowsInBackup   uint64   `json:"rows_in_backup"`
	KeysInBackup   uint64   `json:"keys_in_backup"`
	Passages       uint64   `json:"passages"`
	Permitted      uint64   `json:"permitted"`
	Searches       uint64   `json:"searches"`
	Hits           uint64   `json:"hits"`
	HitsOfErased   uint64   `json:"hits_of_erased"`
	RowsAfter      uint64   `json:"rows_after"`
	KeysAfter      uint64   `json:"keys_after"`
	IndexAfter     uint64   `json:"index_after"`
	CanarySearches uint64   `json:"canary_searches"`
	CanarySongs    uint64   `json:"canary_songs"`
	Passed         bool     `json:"passed"`
	NotCovered     []string `json:"not_covered"`
}

type drillFile struct {
	Format    string `json:"format"`
	Statement Drill  `json:"statement"`
	Signature string `json:"signature"`
}

// Drill opens the report of a restore drill: JSON in its one form, as that of a
// receipt, signed by the pinned key, about the pinned log. What it states must
// follow from its figures, and the drill must have been passed (ErrFailed).
func (t Trust) Drill(file []byte) (Drill, error) {
	f, err := parseDrill(file)
	if err != nil {
		return Drill{}, err
	}
	s := &f.Statement
	statement, err := plainJSON(s)
	if err != nil {
		return Drill{}, err
	}
	sig, ok := decodeBase64(f.Signature)
	if !ok || len(sig) != ed25519.SignatureSize {
		return Drill{}, refuse(ErrMalformed, "the signature of a report")
	}
	signed := append([]byte(drillFormat+"\n"), statement...)
	switch {
	case !slices.ContainsFunc(t.Keys, func(k *Key) bool { return ed25519.Verify(k.public, signed, sig) }):
		return Drill{}, ErrAltered
	case s.Log != t.origin():
		return Drill{}, ErrOrigin
	}
	good := s.bears()
	switch {
	case s.Passed && !good:
		return Drill{}, refuse(ErrOverstated, "a drill that says it was passed")
	case !s.Passed:
		return *s, ErrFailed
	}
	return *s, nil
}

// bears reports whether the figures are those of a drill that was passed.
func (s *Drill) bears() bool {
	behind := s.LedgerBefore < s.Journal
	replayed := !behind && s.Replayed == 0 || behind && s.Replayed == s.Journal-s.LedgerBefore
	return replayed && s.ReadyBefore == !behind && s.ReadyAfter && s.LedgerAfter >= s.Journal &&
		s.Permitted == 0 && s.HitsOfErased == 0 && s.RowsAfter == 0 && s.KeysAfter == 0 && s.IndexAfter == 0 && s.CanarySongs == 0
}

func parseDrill(file []byte) (*drillFile, error) {
	if len(file) > MaxReceipt {
		return nil, refuse(ErrTrailing, "a report of more than %d bytes", MaxReceipt)
	}
	var f drillFile
	d := json.NewDecoder(bytes.NewReader(file))
	d.DisallowUnknownFields()
	if err := d.Decode(&f); err != nil {
		var syntax *json.SyntaxError
		if !errors.As(err, &syntax) && len(file) > 0 && file[len(file)-1] != '\n' {
			return nil, refuse(ErrTruncated, "a report of %d bytes", len(file))
		}
		return nil, refuse(ErrMalformed, "not the JSON of a report")
	}
	if f.Format != drillFormat {
		return nil, refuse(ErrMalformed, "not a report of a format known here")
	}
	raw, err := plainJSON(&f)
	if err != nil {
		return nil, err
	}
	var same bytes.Buffer
	if err := json.Indent(&same, raw, "", " "); err != nil {
		return nil, refuse(ErrMalformed, "not the JSON of a report")
	}
	same.WriteByte('\n')
	if !bytes.Equal(same.Bytes(), file) {
		return nil, refuse(ErrMalformed, "a report that is not in its one form")
	}
	return &f, nil
}

// ExplainDrill says in plain words what a report shows, and what it does not.
func ExplainDrill(s Drill) string {
	var b bytes.Buffer
	say := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	say("What this proves")
	say("- The operator states, under the key of the log %q, at %s by its clock:", s.Log, s.At)
	say("- A backup whose ledger ended at %d was put beside a vault whose journal ends at %d.", s.LedgerBefore, s.Journal)
	if s.LedgerBefore < s.Journal {
		say("  Nothing was served. %d entries were replayed; of %d only the leaf came back.", s.Replayed, s.Lost)
	} else {
		say("  It lacked nothing, so that nothing had to be replayed.")
	}
	say("- It had %d documents of %d erased people, of %d of which the vault still had the key.", s.RowsInBackup, s.Erased, s.KeysInBackup)
	say("- Of their %d passages, asked for by name, none was permitted; %d searches over everything gave %d hits,", s.Passages, s.Searches, s.Hits)
	say("  none of them theirs. Afterwards none of their documents and keys was left, in the database, the vault or the index.")
	say("What this does not prove")
	for _, line := range s.NotCovered {
		say("- %s", line)
	}
	say("- That the statement is true, or about which backup it is: it is what the operator claims to have found.")
	return b.String()
}
