package sqlite

import (
	"context"
	"database/sql"
	"encoding/binary"
	"errors"
	"io"
	"net/url"
	"os"
)

// Purge makes what was deleted before leave the files. secure_delete zeroes a
// cell that is freed, and a page that is; but when SQLite moves cells between
// pages, to keep its trees balanced, it leaves their old bytes in the room
// between cell pointers and cells. Found by the scan of a verification: one of a
// hundred erased people had a record there. So this also goes through every
// page of every tree and zeroes what is allocated to nothing.
//
// Pages are looked at in the file, without any lock, and changed through
// SQLite's own pager (sqlite_dbpage), in transactions of a few pages, so that a
// crash leaves each as it was or as it shall be, and other writes wait for
// little. ErrBusy when a reader holds back a checkpoint: repeat it.
func (db *DB) Purge(ctx context.Context) error {
	if err := db.Checkpoint(ctx); err != nil {
		return err
	}
	dirty, err := db.dirtyPages()
	if err != nil || len(dirty) == 0 {
		return err
	}
	if err := db.scrub(ctx, dirty); err != nil {
		return err
	}
	return db.Checkpoint(ctx)
}

const scrubBatch = 128

// dirtyPages lists the pages of trees whose unallocated room is not zero.
func (db *DB) dirtyPages() ([]int64, error) {
	const doing = "look for remains in pages"
	if err := db.life.enter(doing); err != nil {
		return nil, err
	}
	defer db.life.leave()
	f, err := os.Open(db.path)
	if err != nil {
		return nil, fail(doing, err)
	}
	defer f.Close()
	var head [100]byte
	if _, err := f.ReadAt(head[:], 0); err != nil {
		return nil, fail(doing, err)
	}
	size := int(binary.BigEndian.Uint16(head[16:]))
	usable := size - int(head[20])
	if size < 512 {
		return nil, &failure{doing: doing, kind: ErrCorrupt}
	}
	var dirty []int64
	buf := make([]byte, 128*size)
	for first := int64(1); ; first += 128 {
		n, err := f.ReadAt(buf, (first-1)*int64(size))
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, fail(doing, err)
		}
		for i := 0; i+size <= n; i += size {
			page := first + int64(i/size)
			if wipePage(buf[i:i+usable], page) {
				dirty = append(dirty, page)
			}
		}
		if n < len(buf) {
			return dirty, nil
		}
	}
}

// wipePage zeroes what is allocated to nothing in a page of a tree, and
// reports whether that changed anything. Other pages (overflow, free ones) do
// not begin like one of a tree: with the number of a page, whose first byte is 0.
func wipePage(b []byte, number int64) (changed bool) {
	at := 0
	if number == 1 {
		at = 100 // after the file's header
	}
	head := 8
	switch b[at] {
	case 2, 5:
		head = 12
	case 10, 13:
	default:
		return false
	}
	cells := int(binary.BigEndian.Uint16(b[at+3:]))
	content := int(binary.BigEndian.Uint16(b[at+5:]))
	if content == 0 {
		content = 1 << 16
	}
	begin := at + head + 2*cells
	if begin > content || content > len(b) {
		return false // not what it looks like, or torn: it is read again through the pager
	}
	changed = wipe(b[begin:content])
	// Free blocks are a chain of offsets, ascending: two bytes next, two size.
	for block := int(binary.BigEndian.Uint16(b[at+1:])); block != 0; {
		if block < content || block+4 > len(b) {
			return changed
		}
		next, size := int(binary.BigEndian.Uint16(b[block:])), int(binary.BigEndian.Uint16(b[block+2:]))
		if size < 4 || block+size > len(b) || next != 0 && next <= block {
			return changed
		}
		changed = wipe(b[block+4:block+size]) || changed
		block = next
	}
	return changed
}

func wipe(b []byte) (changed bool) {
	i := 0
	for i+8 <= len(b) && binary.NativeEndian.Uint64(b[i:]) == 0 { // nearly all are, and every page is looked at
		i += 8
	}
	for ; i < len(b); i++ {
		if b[i] != 0 {
			clear(b[i:])
			return true
		}
	}
	return false
}

// scrub zeroes the unallocated room of pages, through the pager.
func (db *DB) scrub(ctx context.Context, pages []int64) error {
	const doing = "scrub pages"
	if err := db.life.enter(doing); err != nil {
		return err
	}
	defer db.life.leave()
	// A connection of its own: sqlite_dbpage takes no writes on defensive ones.
	q := url.Values{"_pragma": {"busy_timeout(5000)", "synchronous(FULL)", "secure_delete(ON)", "temp_store(MEMORY)", "wal_autocheckpoint(0)", "mmap_size(0)"}, "mode": {"rw"}}
	u := url.URL{Scheme: "file", Path: db.path, RawQuery: q.Encode()}
	pool, err := sql.Open("sqlite", u.String())
	if err != nil {
		return fail(doing, err)
	}
	defer pool.Close()
	pool.SetMaxOpenConns(1)
	for len(pages) > 0 {
		n := min(scrubBatch, len(pages))
		if err := db.scrubSome(ctx, pool, pages[:n]); err != nil {
			return err
		}
		pages = pages[n:]
	}
	return nil
}

// scrubSome does it for a few pages, in one transaction, while no other write
// is in progress.
func (db *DB) scrubSome(ctx context.Context, pool *sql.DB, pages []int64) error {
	const doing = "scrub pages"
	select {
	case db.turn <- struct{}{}:
	case <-ctx.Done():
		return fail(doing, ctx.Err())
	}
	defer func() { <-db.turn }()
	c, err := pool.Conn(context.Background())
	if err != nil {
		return fail(doing, err)
	}
	defer c.Close()
	if _, err := c.ExecContext(context.Background(), "BEGIN IMMEDIATE"); err != nil {
		return fail(doing, err)
	}
	if err := scrubPages(c, pages); err != nil {
		_, _ = c.ExecContext(context.Background(), "ROLLBACK") // closed with the pool, whatever it says
		return fail(doing, err)
	}
	_, err = c.ExecContext(context.Background(), "COMMIT")
	return fail(doing, err)
}

func scrubPages(c *sql.Conn, pages []int64) error {
	ctx := context.Background()
	var reserved int
	if err := c.QueryRowContext(ctx, `SELECT data FROM sqlite_dbpage WHERE pgno = 1`).Scan((*reservedBytes)(&reserved)); err != nil {
		return err
	}
	for _, number := range pages {
		var b []byte
		err := c.QueryRowContext(ctx, `SELECT data FROM sqlite_dbpage WHERE pgno = ?`, number).Scan(&b)
		if errors.Is(err, sql.ErrNoRows) {
			continue // the file became shorter
		}
		if err != nil {
			return err
		}
		if !wipePage(b[:len(b)-reserved], number) {
			continue
		}
		if _, err := c.ExecContext(ctx, `UPDATE sqlite_dbpage SET data = ? WHERE pgno = ?`, b, number); err != nil {
			return err
		}
	}
	return nil
}

// reservedBytes reads from the first page how many bytes at the end of each
// page are not SQLite's.
type reservedBytes int

// Scan implements sql.Scanner.
func (r *reservedBytes) Scan(src any) error {
	b, ok := src.([]byte)
	if !ok || len(b) < 100 {
		return errShape
	}
	*r = reservedBytes(b[20])
	return nil
}
