package vault

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"

	"github.com/assent-gateway/assent/internal/seal"
)

var (
	// ErrGap: a record does not continue its tenant's head by exactly one.
	// Nothing of the call was written. Read Head and begin there.
	ErrGap = errors.New("vault: journal position does not follow the head")
	// ErrBroken: a write or sync of the journal failed. What that call
	// appended may be durable or not; nothing is appended until Mend.
	ErrBroken = errors.New("vault: journal is broken until mended")
)

// journal is the open file with an index of where each record begins.
type journal struct {
	path  string
	id    [16]byte
	opt   Options
	known func(tenant string) bool
	group group[*batch]
	end   int64 // guarded by group.turn: up to here acknowledged and durable

	mu     sync.RWMutex // for memory only; held by readers during one pread, too
	file   *os.File     // replaced by Mend
	index  map[string][]int64
	broken bool // changed under group.turn as well
}

// batch is one call of Append, encoded but for base and checksum.
type batch struct {
	recs []Record
	data []byte
}

// Append adds records, in order, with one write and one sync, which concurrent
// calls share. They are durable on return. Each record must continue its
// tenant's head by exactly one, or all are refused with ErrGap. Any other
// error but ErrNoTenant is ErrBroken: see there.
//
// A crash before the sync leaves none, some of the first or all of the records;
// Open cuts a torn one off, and Head tells what is there. Their caller was not
// answered, and appends what is missing from the ledger.
func (v *Vault) Append(recs []Record) error {
	if len(recs) == 0 {
		return nil
	}
	b := &batch{recs: recs}
	tenants := v.keyring.Load().tenants
	for i := range recs {
		t, ok := tenants[recs[i].Tenant]
		if !ok {
			return ErrNoTenant
		}
		var err error
		if b.data, err = appendRecord(b.data, recs[i], t.Journal); err != nil {
			return err
		}
	}
	return v.journal.group.do(b)
}

// flush writes what fits the heads and syncs it.
func (j *journal) flush(requests []*request[*batch]) {
	var fitting []*request[*batch]
	var data []byte
	heads := map[string]uint64{}
	for _, r := range requests {
		switch {
		case j.broken:
			r.err = ErrBroken
		case !j.fits(r.item.recs, heads):
			r.err = ErrGap
		default:
			fitting = append(fitting, r)
			data = append(data, r.item.data...)
		}
	}
	if len(fitting) == 0 {
		return
	}
	for rest := data; len(rest) > 0; {
		rest = finish(rest, j.end)
	}
	err := j.write(j.file, data, j.end)
	j.mu.Lock()
	defer j.mu.Unlock()
	if err != nil {
		j.broken = true
		for _, r := range fitting {
			r.err = fmt.Errorf("%w: %w", ErrBroken, err)
		}
		return
	}
	for _, r := range fitting {
		for _, rec := range r.item.recs {
			j.index[rec.Tenant] = append(j.index[rec.Tenant], j.end)
			j.end += int64(recordSize(data))
			data = data[recordSize(data):]
		}
	}
}

// fits tells whether recs continue the heads, those of the batch so far first,
// and if so moves these.
func (j *journal) fits(recs []Record, heads map[string]uint64) bool {
	moved := map[string]uint64{}
	for _, rec := range recs {
		head, ok := moved[rec.Tenant]
		if !ok {
			head, ok = heads[rec.Tenant]
		}
		if !ok {
			head = j.head(rec.Tenant)
		}
		if rec.Position != head+1 {
			return false
		}
		moved[rec.Tenant] = rec.Position
	}
	for tenant, head := range moved {
		heads[tenant] = head
	}
	return true
}

// write makes data durable at offset, or fails: then anything may be there.
//
// A failed sync must not be tried again. After a failed write-back the kernel
// marks the pages clean; a second sync finds nothing to do and reports success
// for bytes that are in memory only. Hence "broken", and a Mend that writes
// them anew.
func (j *journal) write(f *os.File, data []byte, offset int64) error {
	if err := j.opt.fault("journal.write"); err != nil {
		return err
	}
	if _, err := f.WriteAt(data, offset); err != nil {
		return err
	}
	if err := j.opt.fault("journal.sync"); err != nil {
		return err
	}
	if err := datasync(f); err != nil {
		return err
	}
	return j.opt.fault("journal.synced")
}

// Mend makes a broken journal whole: it opens the file anew, cuts off a torn
// tail, writes the rest of what was not acknowledged once more and syncs it.
// Afterwards Head tells what is durable, which may include records of the
// Append that failed. When Mend fails, the journal stays broken; call it again.
func (v *Vault) Mend() error {
	j := v.journal
	j.group.turn.Lock()
	defer j.group.turn.Unlock()
	if !j.broken {
		return nil
	}
	f, err := openFile(j.path, journalMagic, j.id)
	if err != nil {
		return err
	}
	found, err := j.recover(f, j.end)
	if err == nil {
		err = j.write(f, found.tail, found.end-int64(len(found.tail)))
	}
	if err != nil {
		return errors.Join(fmt.Errorf("vault: mend: %w", err), f.Close())
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	old := j.file
	j.file, j.broken = f, false
	j.accept(found)
	return old.Close()
}

// Head returns the tenant's newest position that is durable here; 0 for none.
func (v *Vault) Head(tenant string) uint64 { return v.journal.head(tenant) }

func (j *journal) head(tenant string) uint64 {
	j.mu.RLock()
	defer j.mu.RUnlock()
	return uint64(len(j.index[tenant]))
}

// Read returns the tenant's record at position, its payload opened, or
// ErrNotExist, or ErrDamaged.
func (v *Vault) Read(tenant string, position uint64) (Record, error) {
	rec, box, offset, err := v.journal.read(tenant, position)
	if err != nil || len(box) == 0 {
		return rec, err
	}
	t, ok := v.Tenant(tenant)
	if !ok {
		return Record{}, ErrNoTenant
	}
	if rec.Payload, err = seal.Open(t.Journal, box, rec.aad()); err != nil {
		return Record{}, damaged(journalFile, offset, "payload does not open")
	}
	return rec, nil
}

// Leaf returns the leaf at position, without opening the payload; false when
// there is none.
func (v *Vault) Leaf(tenant string, position uint64) ([32]byte, bool, error) {
	rec, _, _, err := v.journal.read(tenant, position)
	if errors.Is(err, ErrNotExist) {
		return [32]byte{}, false, nil
	}
	return rec.Leaf, err == nil, err
}

// read returns the record with its payload still sealed, and its offset.
func (j *journal) read(tenant string, position uint64) (Record, []byte, int64, error) {
	j.mu.RLock()
	defer j.mu.RUnlock()
	offsets := j.index[tenant]
	if position == 0 || position > uint64(len(offsets)) {
		return Record{}, nil, 0, ErrNotExist
	}
	offset := offsets[position-1]
	b := make([]byte, 512) // most records, in one read
	n, err := j.file.ReadAt(b, offset)
	if err != nil && !errors.Is(err, io.EOF) {
		return Record{}, nil, 0, fmt.Errorf("vault: read journal: %w", err)
	}
	if n < recordFixed || recordSize(b) > maxRecord {
		return Record{}, nil, 0, damaged(journalFile, offset, "record length")
	}
	if size := recordSize(b); size <= n {
		b = b[:size]
	} else {
		b = make([]byte, size)
		if _, err := j.file.ReadAt(b, offset); errors.Is(err, io.EOF) {
			return Record{}, nil, 0, damaged(journalFile, offset, "record cut short")
		} else if err != nil {
			return Record{}, nil, 0, fmt.Errorf("vault: read journal: %w", err)
		}
	}
	rec, box, ok := parseRecord(b)
	if !ok || rec.Tenant != tenant || rec.Position != position {
		return Record{}, nil, 0, damaged(journalFile, offset, "record checksum")
	}
	return rec, box, offset, nil
}

func (j *journal) close() error {
	j.group.turn.Lock()
	defer j.group.turn.Unlock()
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.file.Close()
}
