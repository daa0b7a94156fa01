package testpg

import (
	"errors"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// errNone names what is missing and how to get it.
var errNone = errors.New("there is no Postgres server here: scripts/get-postgres installs one")

// binaries returns the directory of initdb and postgres.
func binaries() (string, error) {
	dirs := []string{os.Getenv("ASSENT_POSTGRES_BIN")}
	if dirs[0] == "" {
		dirs, _ = filepath.Glob("/usr/lib/postgresql/*/bin")
	}
	newest, best := "", -1
	for _, dir := range dirs {
		version, _ := strconv.Atoi(filepath.Base(filepath.Dir(dir)))
		if _, err := os.Stat(filepath.Join(dir, "initdb")); err == nil && version > best {
			newest, best = dir, version
		}
	}
	if newest == "" {
		return "", errNone
	}
	return newest, nil
}

// require ends a test that cannot be run here.
func require(t testing.TB, err error) {
	t.Helper()
	switch {
	case err == nil:
	case errors.Is(err, errNone) && os.Getenv("ASSENT_REQUIRE") != "all":
		t.Skip(err)
	default:
		t.Fatal(err)
	}
}

// An owner is whom the server runs as.
type owner struct {
	cred *syscall.Credential // nil: as we are
}

func findOwner() (owner, error) {
	if os.Getuid() != 0 {
		return owner{}, nil
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		return owner{}, errors.New("root cannot run Postgres, and there is no user postgres")
	}
	uid, err1 := strconv.ParseUint(u.Uid, 10, 32)
	gid, err2 := strconv.ParseUint(u.Gid, 10, 32)
	return owner{&syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}, errors.Join(err1, err2)
}

// dir makes a directory that is the owner's alone.
func (o owner) dir() (string, error) {
	dir, err := os.MkdirTemp("", "assent-pg-")
	if err == nil && o.cred != nil {
		err = os.Chown(dir, int(o.cred.Uid), int(o.cred.Gid))
	}
	return dir, err
}

// command is a command of the owner's that dies with us.
func (o owner) command(name string, args ...string) *exec.Cmd {
	c := exec.Command(name, args...)
	c.Dir = "/"
	c.Env = append(os.Environ(), "LC_ALL=C.UTF-8")
	c.SysProcAttr = &syscall.SysProcAttr{Credential: o.cred, Pdeathsig: syscall.SIGQUIT, Setpgid: true}
	return c
}

// run runs a command to its end.
func (o owner) run(name string, args ...string) error {
	out, err := o.command(name, args...).CombinedOutput()
	if err != nil {
		return errors.New(filepath.Base(name) + ": " + strings.TrimSpace(string(out)) + ": " + err.Error())
	}
	return nil
}
