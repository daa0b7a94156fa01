package gateway

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/json"
	"strings"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/internal/seal"
	"github.com/assent-gateway/assent/training"
)

// DestroyPersonsKey destroys a person's key in the vault, as an erasure will.
func (g *Gateway) DestroyPersonsKey(ctx context.Context, who consent.Subject) error {
	num, err := g.Ledger.Find(ctx, DefaultTenant, who)
	if err != nil {
		return err
	}
	rows, err := g.db.SubjectsBy(ctx, DefaultTenant, []consent.SubjectNum{num})
	if err != nil {
		return err
	}
	refs := []seal.Ref{rows[0].Key}
	return g.vault.Destroy(refs...)
}

// A WrittenRow is of a manifest's files as they rest.
type WrittenRow struct {
	ID string `json:"document_id"`
}

// ManifestRows reads the JSON rows of a manifest past the second gate.
func (g *Gateway) ManifestRows(ctx context.Context, id string) (out []WrittenRow) {
	row, _, err := g.db.Manifest(ctx, DefaultTenant, id)
	if err != nil {
		panic(err)
	}
	key, err := g.vault.Manifests().FileKey(row.Key)
	if err != nil {
		panic(err)
	}
	m, err := g.Training.Get(ctx, training.Caller{Tenant: DefaultTenant}, id)
	if err != nil {
		panic(err)
	}
	for _, f := range m.Files {
		if !strings.HasSuffix(f.Name, ".jsonl") {
			continue
		}
		in, err := g.Training.Files.Open(id+"/files/"+f.Name, key)
		if err != nil {
			panic(err)
		}
		for lines := bufio.NewScanner(in); lines.Scan(); {
			var r WrittenRow
			if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
				panic(err)
			}
			out = append(out, r)
		}
		in.Close()
	}
	return out
}

// Suppress enters the suppression of a person, as an erasure will: the entry
// alone. Nobody may write to the ledger meanwhile.
func (g *Gateway) Suppress(ctx context.Context, who consent.Subject) error {
	num, err := g.Ledger.Find(ctx, DefaultTenant, who)
	if err != nil {
		return err
	}
	port := g.vault.Consent()
	keys, _ := port.Keys(DefaultTenant)
	var row consent.Row
	err = g.db.Append(ctx, DefaultTenant, func(head consent.Head) (consent.Batch, error) {
		row = consent.Row{Position: head.Position + 1, Kind: consent.KindErasure, Subject: num, RecordedAt: head.Now, Sealed: []byte("{}")}
		row.Leaf = sha256.Sum256(row.AppendEntry([]byte{0}))
		row.MAC = seal.MAC(keys.MAC, "assent ledger row", row.Leaf[:])
		return consent.Batch{Rows: []consent.Row{row}}, nil
	})
	if err != nil {
		return err
	}
	return port.AppendJournal(DefaultTenant, []consent.JournalRecord{{Position: row.Position, Leaf: row.Leaf, Kind: row.Kind}})
}
