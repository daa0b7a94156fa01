package erasure

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/assent-gateway/assent/consent"
)

// ReceiptFormat is the first thing that a receipt says, and the domain under
// which its statement is signed.
const ReceiptFormat = "assent-erasure-receipt/v1"

// A Statement is what a receipt says. It holds nothing of a person: a random
// id, words of closed lists, counters and times.
type Statement struct {
	Log               string            `json:"log"` // origin of the tenant's log
	Request           string            `json:"request"`
	Scope             Scope             `json:"scope"`
	Regulation        string            `json:"regulation"`
	Jurisdiction      string            `json:"jurisdiction"`
	State             string            `json:"state"`
	Level             string            `json:"level"`
	LedgerPosition    consent.Position  `json:"ledger_position"` // of the suppression
	SuppressedAt      string            `json:"suppressed_at"`   // from then on unreachable
	ErasedAt          string            `json:"erased_at"`
	VerifiedAt        string            `json:"verified_at"`
	Deadline          string            `json:"deadline"`
	Documents         uint64            `json:"documents"`
	Passages          uint64            `json:"passages"`
	SharedDocuments   uint64            `json:"shared_documents"`
	MentionsDocuments uint64            `json:"mentions_documents"`
	RemovedDocuments  uint64            `json:"removed_documents,omitempty"`
	RedactedDocuments uint64            `json:"redacted_documents,omitempty"` // kept for others, without the person
	SuspectedMentions uint64            `json:"suspected_mentions,omitempty"` // documents of others that seem to name the person
	Lineage           *Lineage          `json:"lineage,omitempty"`
	Targets           []StatementTarget `json:"targets"`
	Probes            []StatementProbe  `json:"probes"`
	// NoticeHash is SHA-256 of the event that told recipients to erase.
	NoticeHash  string               `json:"notice_sha256,omitempty"`
	Processors  []StatementProcessor `json:"processors,omitempty"`
	Remains     []string             `json:"remains"`
	NotCovered  []string             `json:"not_covered"`
	Archive     StatementArchive     `json:"archive"`
	ClaimDigest string               `json:"claim_digest"`
}

// A StatementTarget is a target in a statement.
type StatementTarget struct {
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

// A StatementProbe is a probe in a statement.
type StatementProbe struct {
	Name    string `json:"name"`
	At      string `json:"at"`
	Asked   uint64 `json:"asked"`
	Over    uint64 `json:"over"`
	Found   uint64 `json:"found"`
	Control bool   `json:"control"`
}

// A StatementArchive names the evidence that is kept by itself.
type StatementArchive struct {
	Holds string `json:"holds"`
	Basis string `json:"basis"`
	Until string `json:"until"`
}

// What remains of a person on purpose, and what no statement of this gateway
// can cover. A receipt says both in full.
var (
	remainsOfPerson = []string{
		"entries of the ledger and of the vault's journal: what was sealed in them under the person's key, which is destroyed; in clear a random number, kinds, purposes, statuses and times, so that the proofs of others stay valid",
		"the suppression mark: a keyed digest, under a key of the vault alone, by which the person stays erased",
		"training manifests: which rows they held, as keyed tokens that are dropped wherever a copy is checked, and the random number of whom they held; sealed with the request, under a key of the tenant, which manifests these were",
		"idempotency records: keyed digests of requests and sealed outcomes without identifiers, for at most 24 hours; of events that came in, a keyed digest of source and id for good",
	}
	remainsStripped = "the texts of the documents, sealed anew: another purpose than embedding permits them; no vector, no code and no term of them"
	// remainsRedacted is for documents that are kept for others.
	remainsRedacted = "documents of several people, where their collection keeps them for the others: sealed anew under the others' keys alone, " +
		"without the passages that were said to be by the person or to name them, without those whose text named them and whose vector a client had supplied, " +
		"and with a mark in place of every identifier of the person; other ways to name them were not looked for"
	remainsOfDocuments = []string{
		"the ledger's entry of this erasure: which documents it was about, as keyed digests sealed under a key of the tenant",
		"rows of ended versions: random numbers and positions",
		"training manifests: which rows they held, as keyed tokens that are dropped wherever a copy is checked, and the random numbers of the documents",
	}
	notCovered = []string{
		"backups of the data that the operator made: what is in them opens with no key of this vault any more",
		"backups of the vault that are not on its list, and copies made behind its back: they hold keys",
		"what lies below the files: flash that levels wear, file systems that copy on write, snapshots; the memory of processes",
		"what left the gateway before: answers, and what applications made of them",
		"names in documents of others that nobody declared as mentions: in texts, metadata, ids and sources, and in lists of who may see them",
		"what recipients outside hold: that they erased it, they say; who is named as silent or as refusing has not said it",
		"rows of training manifests whose document had been replaced or deleted before it was erased, where the erasure was not of its owner: until the manifest expires",
	}
)

func (w *work) statement(origin string, outcome State) Statement {
	j := w.j
	st := Statement{
		Log: origin, Request: w.row.ID, Scope: j.Scope, Regulation: j.Regulation, Jurisdiction: string(j.Jurisdiction),
		State: outcome.String(), Level: j.level().String(), LedgerPosition: w.row.Position,
		SuppressedAt: j.At.String(), ErasedAt: j.ErasedAt.String(), VerifiedAt: j.VerifiedAt.String(), Deadline: w.row.Due.String(),
		Documents: j.Gathered.Documents, Passages: j.Gathered.Passages,
		SharedDocuments: j.Gathered.Shared, MentionsDocuments: j.Gathered.Mentioned, Lineage: j.lineageOf(),
		SuspectedMentions: j.Gathered.Suspected,
		RemovedDocuments:  j.Gathered.Documents - min(j.Gathered.Kept, j.Gathered.Documents),
		Remains:           remainsOfDocuments, NotCovered: notCovered, ClaimDigest: ClaimDigest(claim(w.k, w.row.ID)),
		Archive: StatementArchive{
			Holds: "the reason given, how the request was verified and what was decided, sealed under a key of its own",
			Basis: "accountability: GDPR Art. 5(2) and 17(3)(b), (e); CCPA regulations § 7101", Until: w.row.ArchiveUntil.String(),
		},
	}
	if j.Removal.Vectors {
		st.Remains = append(slices.Clone(remainsOfDocuments), remainsStripped)
	}
	if j.Subject != 0 {
		st.Remains = remainsOfPerson
		if st.RedactedDocuments = j.Gathered.Kept; j.Gathered.Kept > 0 {
			st.Remains = append(slices.Clone(remainsOfPerson), remainsRedacted)
		}
	}
	st.NoticeHash, st.Processors = j.Notice.statement()
	for _, t := range j.Targets {
		st.Targets = append(st.Targets, StatementTarget{
			Name: t.Name, Kind: t.Kind, Goal: t.Goal.String(), Level: t.Level.String(), Deleted: t.Deleted, Remaining: t.Remaining,
			Method: t.Method, CheckedAt: t.CheckedAt.String(), Exception: t.Exception,
		})
	}
	for _, p := range j.Probes {
		st.Probes = append(st.Probes, StatementProbe{Name: p.Name, At: p.At.String(), Asked: p.Asked, Over: p.Over, Found: p.Found, Control: p.Control})
	}
	return st
}

// encode is the statement's one form: compact JSON, members in the order of
// the struct, nothing escaped that need not be.
func (s Statement) encode() ([]byte, error) { return compact(s) }

func compact(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, fmt.Errorf("erasure: encode a receipt: %w", err)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

func digest(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// ClaimDigest is what a receipt says of a claim.
func ClaimDigest(claim string) string {
	return digest([]byte("assent erasure claim\n" + claim))
}

// receiptFile is a receipt: the statement, its signature with the key of the
// tenant's log, and the proofs that the suppression's and the completion's
// entries are in that log; the latter names the statement's digest.
type receiptFile struct {
	Format     string          `json:"format"`
	Statement  json.RawMessage `json:"statement"`
	Signature  string          `json:"signature"`
	Requested  receiptProof    `json:"requested"`
	Completed  receiptProof    `json:"completed"`
	Checkpoint string          `json:"checkpoint"`
}

type receiptProof struct {
	Index  uint64   `json:"index"`
	Entry  string   `json:"entry"`
	Hashes []string `json:"hashes"`
}

func proofOf(p Proof) receiptProof {
	out := receiptProof{Index: p.Index, Entry: base64.StdEncoding.EncodeToString(p.Entry), Hashes: []string{}}
	for _, h := range p.Hashes {
		out.Hashes = append(out.Hashes, base64.StdEncoding.EncodeToString(h))
	}
	return out
}

// encodeReceipt is the receipt's one form: its compact JSON, indented by one
// space a level, and a newline.
func encodeReceipt(statement, sig []byte, requested, completed Proof, checkpoint []byte) ([]byte, error) {
	raw, err := compact(receiptFile{
		Format: ReceiptFormat, Statement: statement, Signature: base64.StdEncoding.EncodeToString(sig),
		Requested: proofOf(requested), Completed: proofOf(completed), Checkpoint: string(checkpoint),
	})
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	if err := json.Indent(&b, raw, "", " "); err != nil {
		return nil, fmt.Errorf("erasure: indent a receipt: %w", err)
	}
	b.WriteByte('\n')
	return b.Bytes(), nil
}
