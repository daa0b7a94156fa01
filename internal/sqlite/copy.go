package sqlite

import (
	"context"
	"database/sql"
	"net/url"
	"os"
)

// Copy makes a copy of the database file at from, as of one moment, in a new file.
// Another process may write to the original meanwhile; it is only read.
func Copy(ctx context.Context, from, to string) error {
	const doing = "copy the database"
	q := url.Values{"mode": {"ro"}, "_pragma": {"busy_timeout(5000)", "mmap_size(0)"}}
	u := url.URL{Scheme: "file", Path: from, RawQuery: q.Encode()}
	db, err := sql.Open("sqlite", u.String())
	if err != nil {
		return fail(doing, err)
	}
	defer db.Close()
	if _, err := db.ExecContext(ctx, `VACUUM INTO ?`, to); err != nil {
		return fail(doing, err)
	}
	return fail(doing, os.Chmod(to, 0o600))
}
