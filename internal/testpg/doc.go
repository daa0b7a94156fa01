// Package testpg starts Postgres servers for tests: the real one, in a
// directory of its own, on a free port of 127.0.0.1, with fsync on.
//
// Postgres refuses to run as root. A test run by root starts it as the user
// postgres, which Debian's package makes; any other user starts it as himself.
// The server dies with the test's process, however that ends.
//
// Where there is no Postgres, tests are skipped and say so, or fail where
// ASSENT_REQUIRE=all. ASSENT_POSTGRES_BIN names the directory of another
// server than the newest below /usr/lib/postgresql.
package testpg
