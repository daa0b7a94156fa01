package verify

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
)

const (
	erasureFormat = "assent-erasure-receipt/v1"
	// MaxReceipt is the size beyond which a receipt is not read.
	MaxReceipt = 1 << 20
)

// An ErasureReceipt is the receipt of an erasure, as far as it was verified:
// all of it.
type ErasureReceipt struct {
	Checkpoint           Checkpoint
	Requested, Completed uint64 // positions in the log
	Statement            ErasureStatement
}

// An ErasureStatement is what a receipt says. Its members are in the order in
// which they stand in the file.
type ErasureStatement struct {
	Log               string             `json:"log"`
	Request           string             `json:"request"`
	Scope             string             `json:"scope"`
	Regulation        string             `json:"regulation"`
	Jurisdiction      string             `json:"jurisdiction"`
	State             string             `json:"state"`
	Level             string             `json:"level"`
	LedgerPosition    uint64             `json:"ledger_position"`
	SuppressedAt      string             `json:"suppressed_at"`
	ErasedAt          string             `json:"erased_at"`
	VerifiedAt        string             `json:"verified_at"`
	Deadline          string             `json:"deadline"`
	Documents         uint64             `json:"documents"`
	Passages          uint64             `json:"passages"`
	SharedDocuments   uint64             `json:"shared_documents"`
	MentionsDocuments uint64             `json:"mentions_documents"`
	RemovedDocuments  uint64             `json:"removed_documents,omitempty"`
	RedactedDocuments uint64             `json:"redacted_documents,omitempty"`
	SuspectedMentions uint64             `json:"suspected_mentions,omitempty"`
	Lineage           *ErasureLineage    `json:"lineage,omitempty"`
	Targets           []ErasureTarget    `json:"targets"`
	Probes            []ErasureProbe     `json:"probes"`
	NoticeHash        string             `json:"notice_sha256,omitempty"`
	Processors        []ErasureProcessor `json:"processors,omitempty"`
	Remains           []string           `json:"remains"`
	NotCovered        []string           `json:"not_covered"`
	Archive           ErasureArchive     `json:"archive"`
	ClaimDigest       string             `json:"claim_digest"`
}

// An ErasureLineage counts training manifests that held the person, and the
// runs bound to them; a receipt about documents, or from before, has none.
type ErasureLineage struct {
	Manifests uint64 `json:"manifests"`
	Runs      uint64 `json:"runs"`
}

// An ErasureTarget is a store that the erasure reached.
type ErasureTarget struct {
	Name      string `json:"name"`
	Kind      string `json:"kind"`
	Goal      string `json:"goal"`
	Level     string `json:"level"`
	Deleted   uint64 `json:"deleted"`
	Remaining uint64 `json:"remaining"`
	Method    string `json:"method"`
	CheckedAt string `json:"checked_at"`
	Exception string `json:"exception"`
}

// An ErasureProbe is a way in which was looked.
type ErasureProbe struct {
	Name    string `json:"name"`
	At      string `json:"at"`
	Asked   uint64 `json:"asked"`
	Over    uint64 `json:"over"`
	Found   uint64 `json:"found"`
	Control bool   `json:"control"`
}

// An ErasureArchive is evidence that is kept.
type ErasureArchive struct {
	Holds string `json:"holds"`
	Basis string `json:"basis"`
	Until string `json:"until"`
}

type erasureFile struct {
	Format     string           `json:"format"`
	Statement  ErasureStatement `json:"statement"`
	Signature  string           `json:"signature"`
	Requested  erasureProof     `json:"requested"`
	Completed  erasureProof     `json:"completed"`
	Checkpoint string           `json:"checkpoint"`
}

type erasureProof struct {
	Index  uint64   `json:"index"`
	Entry  string   `json:"entry"`
	Hashes []string `json:"hashes"`
}

// erasureEvent is the body of an entry about an erasure.
type erasureEvent struct {
	Event      string `json:"event"`
	ID         string `json:"id"`
	Scope      string `json:"scope"`
	Regulation string `json:"regulation"`
	State      string `json:"state"`
	Digest     string `json:"digest"`
	Documents  uint64 `json:"documents"`
	What       []byte `json:"what"`
}

// Erasure opens the receipt of an erasure: JSON in its one form (the members
// in their order, indented by one space a level, a newline at the end), so that
// no byte can be other than it is. The statement must be signed by the pinned
// key; its digest must stand in an entry of completion, and its request in an
// entry of suppression, both in the tree that the checkpoint signs, in that
// order; and it must not claim more than its own findings bear.
func (t Trust) Erasure(file []byte) (ErasureReceipt, error) {
	f, err := parseErasure(file)
	if err != nil {
		return ErasureReceipt{}, err
	}
	s := &f.Statement
	statement, err := plainJSON(s)
	if err != nil {
		return ErasureReceipt{}, err
	}
	sig, ok := decodeBase64(f.Signature)
	if !ok || len(sig) != ed25519.SignatureSize {
		return ErasureReceipt{}, refuse(ErrMalformed, "the signature of a receipt")
	}
	signed := append([]byte(erasureFormat+"\n"), statement...)
	if !slices.ContainsFunc(t.Keys, func(k *Key) bool { return ed25519.Verify(k.public, signed, sig) }) {
		return ErasureReceipt{}, ErrAltered
	}
	if s.Log != t.origin() {
		return ErasureReceipt{}, ErrOrigin
	}
	c, err := t.Checkpoint([]byte(f.Checkpoint))
	if err != nil {
		return ErasureReceipt{}, err
	}
	if c.Others != 0 { // nobody checks those, and so anything could stand there
		return ErasureReceipt{}, refuse(ErrTrailing, "a receipt's checkpoint with signatures of other keys")
	}
	requested, err := f.Requested.open(c, "the suppression")
	if err != nil {
		return ErasureReceipt{}, err
	}
	completed, err := f.Completed.open(c, "the completion")
	if err != nil {
		return ErasureReceipt{}, err
	}
	if err := s.related(requested, completed, statement); err != nil {
		return ErasureReceipt{}, err
	}
	if err := s.bears(); err != nil {
		return ErasureReceipt{}, err
	}
	return ErasureReceipt{Checkpoint: c, Requested: requested.Position, Completed: completed.Position, Statement: *s}, nil
}

// IsErasure tells the receipt of an erasure from that of a consent record.
func IsErasure(file []byte) bool { return bytes.HasPrefix(bytes.TrimSpace(file), []byte("{")) }

func parseErasure(file []byte) (*erasureFile, error) {
	if len(file) > MaxReceipt {
		return nil, refuse(ErrTrailing, "a receipt of more than %d bytes", MaxReceipt)
	}
	var f erasureFile
	d := json.NewDecoder(bytes.NewReader(file))
	d.DisallowUnknownFields()
	if err := d.Decode(&f); err != nil {
		var syntax *json.SyntaxError
		if !errors.As(err, &syntax) && len(file) > 0 && file[len(file)-1] != '\n' {
			return nil, refuse(ErrTruncated, "a receipt of %d bytes", len(file))
		}
		return nil, refuse(ErrMalformed, "not the JSON of a receipt")
	}
	if f.Format != erasureFormat {
		return nil, refuse(ErrMalformed, "not a receipt of a format known here")
	}
	raw, err := plainJSON(&f)
	if err != nil {
		return nil, err
	}
	var same bytes.Buffer
	if err := json.Indent(&same, raw, "", " "); err != nil {
		return nil, refuse(ErrMalformed, "not the JSON of a receipt")
	}
	same.WriteByte('\n')
	switch {
	case bytes.Equal(same.Bytes(), file):
		return &f, nil
	case bytes.HasPrefix(same.Bytes(), file):
		return nil, refuse(ErrTruncated, "a receipt of %d bytes", len(file))
	case bytes.HasPrefix(file, same.Bytes()):
		return nil, refuse(ErrTrailing, "a receipt of %d bytes", len(file))
	}
	return nil, refuse(ErrMalformed, "a receipt that is not in its one form")
}

// plainJSON is compact JSON in which nothing is escaped that need not be.
func plainJSON(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, refuse(ErrMalformed, "not the JSON of a receipt")
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// open checks that the entry stands in the tree.
func (p *erasureProof) open(c Checkpoint, what string) (Entry, error) {
	raw, ok := decodeBase64(p.Entry)
	if !ok {
		return Entry{}, refuse(ErrMalformed, "the entry of %s", what)
	}
	if p.Index >= c.Size {
		return Entry{}, refuse(ErrIndex, "%s: entry %d of a tree of %d", what, p.Index, c.Size)
	}
	e, err := entryAt(raw, p.Index)
	if err != nil {
		return Entry{}, fmt.Errorf("%s: %w", what, err)
	}
	path := make([]Hash, len(p.Hashes))
	for i, h := range p.Hashes {
		if path[i], ok = parseHash(h); !ok {
			return Entry{}, refuse(ErrMalformed, "a hash of %s", what)
		}
	}
	if err := Inclusion(LeafHash(raw), p.Index, c.Size, c.Root, path); err != nil {
		return Entry{}, fmt.Errorf("%s: %w", what, err)
	}
	return e, nil
}

// related checks that both entries are of this erasure.
func (s *ErasureStatement) related(requested, completed Entry, statement []byte) error {
	var asked, ended erasureEvent
	if json.Unmarshal(requested.Rest, &asked) != nil || json.Unmarshal(completed.Rest, &ended) != nil {
		return refuse(ErrUnrelated, "an entry without an event")
	}
	kind := uint8(kindRemoval)
	if s.Scope == "subject" {
		kind = kindErasure
	}
	sum := sha256.Sum256(statement)
	switch {
	case requested.Kind != kind || completed.Kind != kindErased || asked.Event != "requested" || ended.Event != "completed",
		asked.ID != s.Request || asked.Scope != s.Scope || ended.ID != s.Request || ended.State != s.State,
		requested.Position != s.LedgerPosition, completed.Position <= requested.Position,
		ended.Digest != hex.EncodeToString(sum[:]):
		return ErrUnrelated
	}
	return nil
}

// erasureLevels are the levels by name, the weakest first.
var erasureLevels = map[string]int{"unreachable": 1, "absent": 2, "purged": 3}

// bears checks that the statement's levels follow from its findings.
func (s *ErasureStatement) bears() error {
	low, met := 3, true
	for _, t := range s.Targets {
		level, known := erasureLevels[t.Level]
		goal, named := erasureLevels[t.Goal]
		if !known || !named || t.CheckedAt == "" || t.Remaining > 0 && level > 1 {
			return refuse(ErrOverstated, "target %s", plain(t.Name))
		}
		low, met = min(low, level), met && level >= goal
	}
	for _, p := range s.Probes {
		if !p.Control || p.Found > 0 && low > 1 {
			return refuse(ErrOverstated, "probe %s", plain(p.Name))
		}
	}
	obeyed, err := s.told()
	if err != nil {
		return err
	}
	met = met && obeyed
	switch {
	case len(s.Targets) == 0 || len(s.Probes) == 0, erasureLevels[s.Level] != low,
		s.State == "completed" && !met, s.State != "completed" && s.State != "completed_with_exceptions":
		return ErrOverstated
	}
	return nil
}

// Claim checks that a claim is the one of this receipt.
func (r ErasureReceipt) Claim(claim string) error {
	sum := sha256.Sum256([]byte("assent erasure claim\n" + claim))
	if hex.EncodeToString(sum[:]) != r.Statement.ClaimDigest {
		return ErrClaim
	}
	return nil
}

// ExplainErasure says in plain words what a receipt shows, and what it does not.
func ExplainErasure(r ErasureReceipt) string {
	var b bytes.Buffer
	say := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	s := &r.Statement
	say("What this proves")
	say("- The log %q recorded the request as entry %d and its completion, with a digest of this", r.Checkpoint.Origin, r.Requested)
	say("  statement, as entry %d of %d. Nothing of either has changed since.", r.Completed, r.Checkpoint.Size)
	say("- The operator states: %s, level %s. Suppressed %s, erased %s, verified %s.", s.State, s.Level, s.SuppressedAt, s.ErasedAt, s.VerifiedAt)
	say("  %d documents with %d passages (%d shared with others, %d only mentioning the person).", s.Documents, s.Passages, s.SharedDocuments, s.MentionsDocuments)
	if s.RedactedDocuments > 0 {
		say("  %d of them were kept for others, without the person; %d were removed.", s.RedactedDocuments, s.RemovedDocuments)
	}
	if s.SuspectedMentions > 0 {
		say("  %d documents of others seemed to name the person, and were listed for review.", s.SuspectedMentions)
	}
	if l := s.Lineage; l != nil {
		say("  %d training manifests held rows of the person; %d training runs are bound to them.", l.Manifests, l.Runs)
	}
	for _, t := range s.Targets {
		say("- %s (%s): %s of %s; %d deleted, %d left; %s.", t.Name, t.Kind, t.Level, t.Goal, t.Deleted, t.Remaining, t.Method)
		if t.Exception != "" {
			say("  Exception: %s.", t.Exception)
		}
	}
	s.explainProcessors(say)
	say("What remains on purpose")
	for _, line := range s.Remains {
		say("- %s", line)
	}
	say("- %s (%s), until %s", s.Archive.Holds, s.Archive.Basis, s.Archive.Until)
	say("What this does not prove")
	if l := s.Lineage; l != nil && l.Runs > 0 {
		say("- that a model forgot the person: what is to be done about the models of those runs, a person decides")
	}
	for _, line := range s.NotCovered {
		say("- %s", line)
	}
	say("- That the statement is true: it is what the operator claims to have found, at the times of its clock.")
	say("- Whom it is about: it names nobody. Whoever holds the request's claim can show that it is theirs.")
	return b.String()
}
