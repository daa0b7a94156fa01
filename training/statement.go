package training

import (
	"encoding/json"

	"github.com/assent-gateway/assent/consent"
)

// PayloadType and the types inside are in-toto's.
const (
	PayloadType   = "application/vnd.in-toto+json"
	statementType = "https://in-toto.io/Statement/v1"
	// PredicateType names the predicate of a manifest.
	PredicateType = "https://github.com/assent-gateway/assent/manifest/v1"
)

type inToto struct {
	Type          string    `json:"_type"`
	Subject       []product `json:"subject"`
	PredicateType string    `json:"predicateType"`
	Predicate     predicate `json:"predicate"`
}

type product struct {
	Name   string            `json:"name"`
	Digest map[string]string `json:"digest"`
}

// A predicate says of a manifest what manifest.json does not: when it was
// made, until when it holds, what was withheld, and the proof of its entry.
type predicate struct {
	Manifest       string           `json:"manifest"`
	Digest         string           `json:"digest"` // of manifest.json
	Purpose        string           `json:"purpose"`
	LedgerPosition consent.Position `json:"ledger_position"`
	CorpusPosition uint64           `json:"corpus_position"`
	PolicyDigest   string           `json:"policy_digest"`
	Rows           uint64           `json:"rows"`
	Withheld       uint64           `json:"withheld"`
	RowsRoot       string           `json:"rows_root"`
	EntryPosition  consent.Position `json:"entry_position"`
	CreatedAt      string           `json:"created_at"`
	ExpiresAt      string           `json:"expires_at"`
	Proof          string           `json:"proof"` // c2sp.org/tlog-proof@v1 of the entry, with the checkpoint
}

func statement(id string, j *job, at consent.Time, proof []byte) ([]byte, error) {
	s := inToto{Type: statementType, PredicateType: PredicateType, Predicate: predicate{
		Manifest: id, Digest: j.Digest, Purpose: j.Spec.Purpose, LedgerPosition: j.Spec.AtPosition,
		CorpusPosition: j.Spec.AtCorpus, PolicyDigest: j.Header.PolicyDigest, Rows: j.Rows, Withheld: j.Withheld,
		RowsRoot: j.Header.Root, EntryPosition: j.Entry, CreatedAt: at.String(), ExpiresAt: j.ExpiresAt.String(),
		Proof: string(proof),
	}}
	for _, f := range j.Files {
		s.Subject = append(s.Subject, product{f.Name, map[string]string{"sha256": f.SHA256}})
	}
	return json.Marshal(s)
}
