package vault

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
)

func openJournal(path string, id [16]byte, o Options, known func(string) bool) (*journal, error) {
	f, err := openFile(path, journalMagic, id)
	if err != nil {
		return nil, err
	}
	j := &journal{path: path, id: id, opt: o, known: known, file: f, index: map[string][]int64{}}
	j.group.flush = j.flush
	found, err := j.recover(f, headerSize)
	if err == nil {
		// What the process before us wrote last may be in the page cache only:
		// it may have been killed before its sync, or its sync may have failed,
		// after which a sync alone proves nothing. All before the last batch
		// was durable when that began.
		if _, err = f.WriteAt(found.tail, found.end-int64(len(found.tail))); err == nil {
			err = datasync(f)
		}
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	j.accept(found)
	return j, nil
}

// recovered is what a scan found from some offset on.
type recovered struct {
	index map[string][]int64
	end   int64
	tail  []byte // bytes before end that may not be durable
}

func (j *journal) accept(found recovered) {
	for tenant, offsets := range found.index {
		j.index[tenant] = append(j.index[tenant], offsets...)
	}
	j.end = found.end
}

// recover scans f from an offset at which a batch begins to its end, and cuts
// off a tail that a crash tore: from the first bad record on, when no record
// after it belongs to a later batch. A crash of the machine may lose any part
// of the batch in flight and keep what follows it, so the base of a later
// record, not its presence, tells that the bad one was durable before. That is
// ErrDamaged: something was acknowledged and is lost.
//
// The last batch alone cannot be judged so. When a bad record in it is cut off
// that was acknowledged, it is missing from the journal, and the gateway
// appends from the ledger what is missing, before it is ready.
func (j *journal) recover(f *os.File, from int64) (recovered, error) {
	info, err := f.Stat()
	if err != nil {
		return recovered{}, fmt.Errorf("vault: journal: %w", err)
	}
	size := info.Size()
	if size < from {
		return recovered{}, damaged(journalFile, size, "cut short")
	}
	found := recovered{index: map[string][]int64{}, end: from}
	base, err := j.scan(f, &found, size)
	if err != nil {
		return recovered{}, err
	}
	if found.end < size {
		later, err := laterBatch(f, found.end, size)
		if err != nil {
			return recovered{}, err
		}
		if later {
			return recovered{}, damaged(journalFile, found.end, "bad record before good ones")
		}
		if err := f.Truncate(found.end); err != nil {
			return recovered{}, fmt.Errorf("vault: journal: %w", err)
		}
	}
	found.tail = make([]byte, found.end-base)
	if _, err := f.ReadAt(found.tail, base); err != nil {
		return recovered{}, fmt.Errorf("vault: journal: %w", err)
	}
	return found, nil
}

const window = 1 << 20 // bytes of the journal in memory at a time

// scan reads records into found until the first bad one, and returns the base
// of the last good one.
func (j *journal) scan(f *os.File, found *recovered, size int64) (base int64, err error) {
	base = found.end
	r := bufio.NewReaderSize(io.NewSectionReader(f, base, size-base), int(min(size-base, window)))
	var b []byte
	for {
		front, err := r.Peek(16)
		if errors.Is(err, io.EOF) || err == nil && !plausible(front, size-found.end) {
			return base, nil
		}
		if err != nil {
			return 0, fmt.Errorf("vault: journal: %w", err)
		}
		n := recordSize(front)
		if cap(b) < n {
			b = make([]byte, n)
		}
		b = b[:n]
		if _, err := io.ReadFull(r, b); err != nil {
			return 0, fmt.Errorf("vault: journal: %w", err)
		}
		rec, _, ok := parseRecord(b)
		if at := recordBase(b); !ok || at != base && at != found.end {
			return base, nil
		}
		// An intact record that does not fit is not torn: it is from elsewhere,
		// or the keyring is older than the journal.
		if !j.known(rec.Tenant) {
			return 0, damaged(journalFile, found.end, "record of a tenant that the keyring does not know")
		}
		head := len(j.index[rec.Tenant]) + len(found.index[rec.Tenant])
		if rec.Position != uint64(head)+1 {
			return 0, damaged(journalFile, found.end, "position out of order")
		}
		base = recordBase(b)
		found.index[rec.Tenant] = append(found.index[rec.Tenant], found.end)
		found.end += int64(n)
	}
}

// laterBatch tells whether anywhere after the bad record at bad there is an
// intact one of a batch that began after it. Where it begins is unknown, so
// every byte is tried; few pass the cheap tests.
func laterBatch(f *os.File, bad, size int64) (bool, error) {
	const front = 16
	buf := make([]byte, min(size-bad, window))
	for at := bad + 1; at+recordFixed <= size; {
		n, err := f.ReadAt(buf, at)
		if err != nil && !errors.Is(err, io.EOF) {
			return false, fmt.Errorf("vault: journal: %w", err)
		}
		if n < front {
			return false, nil
		}
		for i := 0; i+front <= n; i++ {
			b, offset := buf[i:n], at+int64(i)
			base := recordBase(b)
			if base <= bad || base > offset || !plausible(b, size-offset) {
				continue
			}
			rec := make([]byte, recordSize(b))
			if _, err := f.ReadAt(rec, offset); err != nil {
				return false, fmt.Errorf("vault: journal: %w", err)
			}
			if _, _, ok := parseRecord(rec); ok {
				return true, nil
			}
		}
		at += int64(n - front + 1)
	}
	return false, nil
}
