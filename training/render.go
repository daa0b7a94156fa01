package training

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/assent-gateway/assent/internal/seal"
)

// render writes the shards that are not written yet, on all workers.
func (b *build) render(ctx context.Context, fkey seal.Key, done map[int]part) error {
	todo := make(chan int, len(b.job.Shards))
	for i := range b.job.Shards {
		if _, ok := done[i]; !ok {
			todo <- i
		}
	}
	total := len(b.job.Shards)
	close(todo)
	parts := make([]*part, total)
	g, gctx := errgroup.WithContext(ctx)
	for range min(b.Workers, total) {
		work := func() error {
			for i := range todo {
				p, err := b.renderShard(gctx, fkey, i)
				if err != nil {
					return err
				}
				parts[i] = &p
				b.Step("part") // a crash here: the shards written are recorded, the next start writes the others
				b.setProgress(b.row.ID, 0.7+0.25*float64(total-len(todo))/float64(total))
			}
			return nil
		}
		g.Go(func() error { return guarded(b.Log, work) })
	}
	if err := g.Wait(); err != nil {
		return err
	}
	for i, p := range parts {
		if p != nil {
			done[i] = *p
		}
	}
	return nil
}

// renderShard writes a shard's files without the rows that the ledger does not
// permit at its head, as read when it begins.
func (b *build) renderShard(ctx context.Context, fkey seal.Key, i int) (part, error) {
	st, err := b.standingNow(ctx)
	if err != nil {
		return part{}, err
	}
	in, err := openReel(b.Files, spoolPath(b.row.ID, i), fkey)
	if err != nil {
		return part{}, err
	}
	defer in.close()
	outs, err := b.outputs(fkey, i)
	defer func() {
		for _, o := range outs {
			o.f.Abort()
		}
	}()
	if err != nil {
		return part{}, err
	}
	var p part
	var rec record
	rows := uint64(0)
	for rank := uint32(0); ; rank++ {
		ok, err := in.next()
		if err != nil {
			return part{}, err
		}
		if !ok {
			if uint64(rank) != b.job.Shards[i].Rows {
				return part{}, fmt.Errorf("%w: rows are missing", ErrDamaged)
			}
			break
		}
		if err := decodeRecord(in.rec, &rec, b.job.Spec.Splits); err != nil {
			return part{}, err
		}
		if !rec.content || st.why(&rec.entry) != "" {
			p.Withheld = append(p.Withheld, rank)
			continue
		}
		rows++
		for _, o := range outs {
			if err := o.rows.Write(&rec.row); err != nil {
				return part{}, err
			}
		}
		if rank&1023 == 0 && ctx.Err() != nil {
			return part{}, ctx.Err()
		}
	}
	for _, o := range outs {
		info, err := o.close(rows)
		if err != nil {
			return part{}, err
		}
		p.Files = append(p.Files, info)
	}
	return p, b.putPart(ctx, i, p)
}

// An output is a file that rows are written to.
type output struct {
	name string
	f    File
	rows RowWriter
	sum  hash.Hash
	n    int64
}

// Write counts and hashes what goes to the file.
func (o *output) Write(p []byte) (int, error) {
	o.sum.Write(p)
	o.n += int64(len(p))
	return o.f.Write(p)
}

func (o *output) close(rows uint64) (FileInfo, error) {
	if o.rows != nil {
		if err := o.rows.Close(); err != nil {
			return FileInfo{}, err
		}
	}
	if err := o.f.Commit(); err != nil {
		return FileInfo{}, err
	}
	return FileInfo{Name: o.name, Rows: rows, Bytes: o.n, SHA256: hex.EncodeToString(o.sum.Sum(nil))}, nil
}

func (b *build) output(name string, fkey seal.Key) (*output, error) {
	f, err := b.Files.Create(b.filePath(name), fkey)
	if err != nil {
		return nil, err
	}
	return &output{name: name, f: f, sum: sha256.New()}, nil
}

// outputs begins a shard's files, one a format.
func (b *build) outputs(fkey seal.Key, i int) (outs []*output, err error) {
	s := b.job.Shards[i]
	for _, format := range b.Formats {
		if !slices.Contains(b.job.Spec.Formats, format.Name()) {
			continue
		}
		o, err := b.output(shardFile(b.job.Spec.Splits[s.Split].Name, s, format.Name()), fkey)
		if err != nil {
			return outs, err
		}
		o.rows = format.NewWriter(o, b.columns())
		outs = append(outs, o)
	}
	return outs, nil
}

// writeFile writes a small file whole.
func (b *build) writeFile(name string, content []byte, fkey seal.Key) (FileInfo, error) {
	o, err := b.output(name, fkey)
	if err != nil {
		return FileInfo{}, err
	}
	defer o.f.Abort()
	if _, err := o.Write(content); err != nil {
		return FileInfo{}, err
	}
	return o.close(0)
}
