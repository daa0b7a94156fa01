package training

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/internal/seal"
)

// How far a build is. On disk.
const (
	phaseScan   = 0 // nothing is done, or not recorded
	phaseRender = 1 // shards are in spools
	phaseDone   = 2
)

// A job is a manifest as it rests, sealed.
type job struct {
	Spec    Spec         `json:"spec"`
	Cols    []Collection `json:"collections"`
	Phase   int          `json:"phase"`
	Problem string       `json:"problem,omitempty"`

	// From phaseRender on.
	Manifest []byte  `json:"manifest,omitempty"` // manifest.json
	Header   *Header `json:"header,omitempty"`
	Shards   []shard `json:"shards,omitempty"`

	// From phaseDone on.
	Rows      uint64           `json:"rows,omitempty"`
	Withheld  uint64           `json:"withheld,omitempty"`
	Files     []FileInfo       `json:"files,omitempty"`
	Digest    string           `json:"digest,omitempty"`
	Entry     consent.Position `json:"entry,omitempty"`
	ExpiresAt consent.Time     `json:"expires_at,omitempty"`
	Statement []byte           `json:"statement,omitempty"`
	Croissant []byte           `json:"croissant,omitempty"`
}

// A shard is a run of rows of one split: a file of each format.
type shard struct {
	Split int    `json:"split"`
	Index int    `json:"index"` // in its split
	Of    int    `json:"of"`
	Rows  uint64 `json:"rows"` // also those withheld
}

// A part is what became of a shard.
type part struct {
	Files    []FileInfo `json:"files"`
	Withheld []uint32   `json:"withheld,omitempty"` // ranks in the shard, ascending
}

// A build is a manifest in the hands of who builds or reads it.
type build struct {
	*Service
	t    consent.TenantID
	row  ManifestRow
	was  ManifestRow // as it rests: what is written goes there, and nowhere else
	job  job
	keys Keys
}

func jobAAD(t consent.TenantID, id string) []byte {
	return []byte("assent manifest\x00" + string(t) + "\x00" + id)
}

func partAAD(t consent.TenantID, id string, n int) []byte {
	return fmt.Appendf(nil, "assent manifest part\x00%s\x00%s\x00%d", t, id, n)
}

// open opens a manifest's row.
func (s *Service) open(t consent.TenantID, row ManifestRow) (*build, error) {
	k, err := s.keys(t)
	if err != nil {
		return nil, err
	}
	b := &build{Service: s, t: t, row: row, was: row, keys: k}
	plain, err := seal.Open(k.Payload, row.Sealed, jobAAD(t, row.ID))
	if err != nil || json.Unmarshal(plain, &b.job) != nil {
		return nil, fmt.Errorf("%w: its record", ErrDamaged)
	}
	return b, nil
}

func (b *build) seal() error {
	plain, err := json.Marshal(b.job)
	if err != nil {
		return err
	}
	b.row.Sealed = seal.Seal(b.keys.Payload, plain, jobAAD(b.t, b.row.ID))
	return nil
}

// save writes a row over what it was; ErrConflict when that is not there any more:
// it was erased, or resumed, by somebody else.
func (b *build) save(ctx context.Context) error {
	if err := b.seal(); err != nil {
		return err
	}
	err := b.Manifests.SaveManifest(ctx, b.t, b.row, b.was)
	if err == nil {
		b.was = b.row
	}
	return err
}

func (b *build) putPart(ctx context.Context, n int, p part) error {
	plain, err := json.Marshal(p)
	if err != nil {
		return err
	}
	return b.Manifests.PutPart(ctx, b.t, b.row.ID, PartRow{n, seal.Seal(b.keys.Payload, plain, partAAD(b.t, b.row.ID, n))})
}

// parts returns what is written, by shard.
func (b *build) parts(ctx context.Context) (map[int]part, error) {
	rows, err := b.Manifests.Parts(ctx, b.t, b.row.ID)
	if err != nil {
		return nil, err
	}
	out := make(map[int]part, len(rows))
	for _, r := range rows {
		var p part
		plain, err := seal.Open(b.keys.Payload, r.Sealed, partAAD(b.t, b.row.ID, r.Part))
		if err != nil || json.Unmarshal(plain, &p) != nil {
			return nil, fmt.Errorf("%w: a part's record", ErrDamaged)
		}
		out[r.Part] = p
	}
	return out, nil
}

// Names of files inside a manifest's directory. What a client may ask for is
// below files/.
func (b *build) path(name string) string { return b.row.ID + "/" + name }

func (b *build) filePath(name string) string { return b.path("files/" + name) }

func listPath(id string, shard int) string { return fmt.Sprintf("%s/list/%05d", id, shard) }

func spoolPath(id string, shard int) string { return fmt.Sprintf("%s/work/shard-%05d", id, shard) }

// listKey seals the list of a manifest's rows. It is the tenant's and not that
// of the files, so that a manifest whose files are erased can still say which
// rows it held.
func (b *build) listKey() seal.Key {
	return seal.Derive(b.keys.Payload, "assent manifest list", []byte(b.row.ID))
}

func (b *build) columns() Columns {
	return Columns{Text: b.job.Spec.IncludeText, Linkable: b.job.Spec.Linkable}
}

// shardFile is a shard's name in Hugging Face's convention.
func shardFile(split string, s shard, format string) string {
	return fmt.Sprintf("data/%s-%05d-of-%05d.%s", split, s.Index, s.Of, format)
}
