package training

import (
	"encoding/hex"
	"encoding/json"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/internal/seal"
)

// FormatName names the form of manifest.json, and with it everything that
// rows, files and digests depend on besides the inputs.
const FormatName = "assent-manifest/1"

// Inputs are what a manifest is a function of.
type Inputs struct {
	Format         string            `json:"format"`
	LedgerPosition consent.Position  `json:"ledger_position"`
	CorpusPosition uint64            `json:"corpus_position"`
	PolicyDigest   string            `json:"policy_digest"`
	Purpose        string            `json:"purpose"`
	Collections    []InputCollection `json:"collections"`
	Filter         json.RawMessage   `json:"filter,omitempty"`
	Visibilities   []string          `json:"visibilities"`
	Splits         []Split           `json:"splits"`
	Formats        []string          `json:"formats"`
	IncludeText    bool              `json:"include_text"`
	Linkable       bool              `json:"linkable"`
	ShardRows      int               `json:"shard_rows"`
}

// An InputCollection is a collection as it decided: its rule is not ledgered,
// so it is an input by itself.
type InputCollection struct {
	Name         string `json:"name"`
	Joint        string `json:"joint_ownership"`
	Mentions     string `json:"mentions"`
	Jurisdiction string `json:"jurisdiction,omitempty"`
}

// A Header is manifest.json. Counts are of rows that were permitted at the
// ledger position: what was withheld since is in the statement.
type Header struct {
	Inputs
	LedgerTime string            `json:"ledger_time"`
	Rows       uint64            `json:"rows"`
	BySplit    map[string]uint64 `json:"rows_by_split"`
	// Excluded counts rows by why they are not there; reasons of fewer than
	// SmallCount rows are together under "other".
	Excluded map[string]uint64 `json:"excluded"`
	// Unreconstructible counts rows of documents that are gone since, so that
	// nobody can say what they were: such a manifest claims no identity.
	Unreconstructible uint64   `json:"unreconstructible,omitempty"`
	Sources           []Source `json:"sources"`
	// Root is of RFC 6962's tree over the lines of the rows as JSON, split by
	// split, in the order of their tokens; in hex.
	Root string `json:"rows_root"`
	// SubjectsRoot is reserved for proofs of who is in a manifest, and who not.
	SubjectsRoot string `json:"subjects_root"`
}

// A Source is a category of data and when it was collected, by day.
type Source struct {
	Collection string `json:"collection"`
	Rows       uint64 `json:"rows"`
	From       string `json:"from"`
	To         string `json:"to"`
}

// SmallCount is how many rows a reason must have to be told apart.
const SmallCount = 10

func inputsOf(s Spec, cols []Collection, policy string, shardRows int) Inputs {
	in := Inputs{
		Format: FormatName, LedgerPosition: s.AtPosition, CorpusPosition: s.AtCorpus, PolicyDigest: policy,
		Purpose: s.Purpose, Filter: s.Filter, Visibilities: s.Visibilities, Splits: s.Splits, Formats: s.Formats,
		IncludeText: s.IncludeText, Linkable: s.Linkable, ShardRows: shardRows, Collections: []InputCollection{},
	}
	for _, c := range cols {
		ic := InputCollection{Name: c.Name, Joint: "all_owners", Mentions: "refusal_blocks", Jurisdiction: string(c.Rule.Default)}
		if c.Rule.Joint == consent.AnyOwner {
			ic.Joint = "any_owner"
		}
		if c.Rule.Mentions == consent.MustPermit {
			ic.Mentions = "must_permit"
		}
		in.Collections = append(in.Collections, ic)
	}
	return in
}

// canonical is the inputs' one encoding: members in order, no white space.
func (in Inputs) canonical() ([]byte, error) { return json.Marshal(in) }

// key is what tokens and pseudonyms of a manifest come from, besides people's
// secrets; name is by which a manifest of the same inputs is found.
func (in Inputs) key(k Keys) (key seal.Key, name [32]byte, err error) {
	b, err := in.canonical()
	if err != nil {
		return key, name, err
	}
	return seal.Derive(k.Derive, "assent manifest key", b), seal.MAC(k.Derive, "assent manifest inputs", b), nil
}

// encode is the bytes of manifest.json.
func (h *Header) encode() ([]byte, error) {
	b, err := json.MarshalIndent(h, "", "  ")
	return append(b, '\n'), err
}

func hexOf(sum [32]byte) string { return hex.EncodeToString(sum[:]) }

// merged puts small counts together.
func merged(counts map[string]uint64) map[string]uint64 {
	out, other := map[string]uint64{}, uint64(0)
	for reason, n := range counts {
		if n < SmallCount {
			other += n
		} else {
			out[reason] = n
		}
	}
	if other > 0 {
		out["other"] = other
	}
	return out
}
