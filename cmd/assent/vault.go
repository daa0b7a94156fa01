package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"golang.org/x/term"

	"github.com/assent-gateway/assent/internal/vault"
)

const vaultUsage = `assent vault status
assent vault rotate
assent vault backup --out FILE
assent vault restore FILE
assent vault accept
assent vault forget GENERATION
assent vault replay
assent vault rotate-log-key [TENANT]
assent vault retire-log-key [TENANT]

Works on the vault of a gateway that is stopped: a running one holds its lock.
What it does is entered in every tenant's ledger at the next start.
With ASSENT_VAULT_URL, status, accept and replay work on the vault in that
database. Nothing keeps a gateway on it from running meanwhile: stop them all.

status   shows the epoch, the keys and the backups on the vault's list
rotate   wraps every key anew and destroys the old wrapping key
backup   writes an encrypted backup; whoever has it and the passphrase has every
         key in it, so until it is forgotten no key counts as purged
restore  makes a vault from a backup, where none is
accept   says that the data is right where it is ahead of the vault: read the
         README on restoring a vault first
forget   says that every copy of the backup of that generation is destroyed
replay   brings data that was put back from a backup up to the vault's journal:
         refusals, restrictions and events of keys come back, grants since the
         backup do not, and their people must be asked again. First look for
         newer data: afterwards it cannot be used in full any more
rotate-log-key  makes a new key for the log of every tenant, or of one; from then
         on both keys sign every checkpoint
retire-log-key  ends the use of the older key, once a checkpoint bears both`

// vaultVerbs are the verbs, and how many arguments each takes.
var vaultVerbs = []struct {
	name        string
	least, most int
}{
	{"status", 0, 0}, {"rotate", 0, 0}, {"backup", 0, 0}, {"restore", 1, 1}, {"accept", 0, 0}, {"forget", 1, 1},
	{"replay", 0, 0}, {"rotate-log-key", 0, 1}, {"retire-log-key", 0, 1},
}

func vaultVerbNames() string {
	var names []string
	for _, v := range vaultVerbs {
		names = append(names, v.name)
	}
	return strings.Join(names, ", ")
}

// vaultFlags are those of every verb.
type vaultFlags struct {
	*flagSet
	dir, data, passphraseFile, out string
	options                        vault.Options // of the key service, if one is set
}

func vaultCommand(ctx context.Context, s *session, args []string) error {
	fs := &vaultFlags{flagSet: newFlags(vaultUsage)}
	fs.StringVar(&fs.dir, "vault", s.vaultDir(), "vault `directory` (ASSENT_VAULT)")
	fs.StringVar(&fs.data, "data", s.dataDir(), "replay, retire-log-key: data `directory` (ASSENT_DATA)")
	fs.StringVar(&fs.passphraseFile, "passphrase-file", "", "`file` whose first line is the backup's passphrase; asked for at the terminal when not given")
	fs.StringVar(&fs.out, "out", "", "backup: the `file` to make")
	rest, err := fs.parse(s, args)
	if err != nil {
		return err
	}
	if len(rest) == 0 {
		return fs.mistake("vault needs one of " + vaultVerbNames())
	}
	verb, rest := rest[0], rest[1:]
	for _, v := range vaultVerbs {
		if v.name == verb && (len(rest) < v.least || len(rest) > v.most) {
			return fs.mistake("vault " + verb + " takes another number of arguments besides its flags")
		}
	}
	kms, err := kmsFrom(s.getenv)
	if err != nil {
		return err
	}
	fs.options = vault.Options{KMS: kms.service, KMSKey: kms.key}
	if url := s.getenv("ASSENT_VAULT_URL"); url != "" {
		return sharedVault(ctx, s, fs, url, verb)
	}
	switch verb {
	case "status":
		return fs.with(func(v *vault.Vault) error { return vaultStatus(s, v) })
	case "rotate":
		return fs.with(func(v *vault.Vault) error { return vaultRotate(ctx, s, v) })
	case "backup":
		if err := fs.need("out"); err != nil {
			return err
		}
		return fs.with(func(v *vault.Vault) error { return vaultBackup(s, v, fs) })
	case "restore":
		return vaultRestore(s, fs, rest[0])
	case "accept":
		return fs.with(func(v *vault.Vault) error { return vaultAccept(s, v) })
	case "forget":
		generation, err := strconv.ParseUint(rest[0], 10, 64)
		if err != nil {
			return fs.mistake("forget needs a GENERATION as status lists it")
		}
		return fs.with(func(v *vault.Vault) error { return v.BackupDestroyed(generation) })
	case "replay":
		return vaultReplay(ctx, s, fs)
	case "rotate-log-key":
		return fs.with(func(v *vault.Vault) error { return rotateLogKeys(s, v, rest) })
	case "retire-log-key":
		return vaultRetireLogKey(ctx, s, fs, rest)
	}
	return fs.mistake("vault needs one of " + vaultVerbNames())
}

// vaultDir is where serve would look.
func (s *session) vaultDir() string {
	if dir := s.getenv("ASSENT_VAULT"); dir != "" {
		return dir
	}
	return filepath.Clean(s.dataDir()) + ".vault"
}

func (s *session) dataDir() string { return or(s.getenv("ASSENT_DATA"), "./assent-data") }

// with opens the vault, which a running gateway does not allow.
func (f *vaultFlags) with(do func(*vault.Vault) error) error {
	v, err := vault.Open(f.dir, f.options)
	switch {
	case errors.Is(err, vault.ErrLocked):
		return errors.New("the vault is in use: a running gateway holds its lock; stop the gateway, then run this again")
	case errors.Is(err, vault.ErrNotExist):
		return errors.New("there is no vault at that place: set ASSENT_VAULT or --vault")
	case errors.Is(err, vault.ErrNoKMS):
		return errors.New("the vault's epoch key is wrapped by a key service: set ASSENT_KMS_URL and what goes with it")
	case err != nil:
		return err
	}
	return errors.Join(do(v), v.Close())
}

func vaultStatus(s *session, v *vault.Vault) error {
	used, free := v.Slots()
	w := tabwriter.NewWriter(s.out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "epoch\t%d\ngeneration\t%d\nkeys\t%d (%d slots free)\n", v.Epoch(), v.Generation(), used, free)
	for _, t := range v.Tenants() {
		fmt.Fprintf(w, "journal of %s\tat %d\n", plain(t), v.Head(t))
	}
	for _, b := range v.Backups() {
		fmt.Fprintf(w, "backup\tgeneration %d, %s\n", b.Generation, b.Taken.Format(time.RFC3339))
	}
	if r, ok := v.Restored(); ok {
		fmt.Fprintf(w, "restored\tfrom generation %d, %s; not settled\n", r.Generation, r.Taken.Format(time.RFC3339))
	}
	if v.Accepted() {
		fmt.Fprintf(w, "accepted\tthe next start takes the data for right\n")
	}
	return w.Flush()
}

func vaultRotate(ctx context.Context, s *session, v *vault.Vault) error {
	began := time.Now()
	if err := v.Rotate(ctx); err != nil {
		return err
	}
	used, _ := v.Slots()
	_, err := fmt.Fprintf(s.out, "epoch %d: %d keys wrapped anew in %s; the old wrapping key is destroyed\n",
		v.Epoch(), used, time.Since(began).Round(time.Millisecond))
	if n := len(v.Backups()); err == nil && n > 0 {
		_, err = fmt.Fprintf(s.err, "%d backups keep the wrapping key they were made with\n", n)
	}
	return err
}

func vaultBackup(s *session, v *vault.Vault, fs *vaultFlags) (err error) {
	pass, err := s.passphrase(fs.passphraseFile, "again")
	if err != nil {
		return err
	}
	f, err := os.OpenFile(fs.out, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	c, err := v.Backup(f, pass)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return errors.Join(err, os.Remove(fs.out))
	}
	_, err = fmt.Fprintf(s.out, "backup of generation %d in %s\n", c.Generation, fs.out)
	fmt.Fprintf(s.err, "while it exists, no key counts as purged; when every copy is destroyed: assent vault forget %d\n", c.Generation)
	return err
}

func vaultRestore(s *session, fs *vaultFlags, from string) error {
	pass, err := s.passphrase(fs.passphraseFile, "")
	if err != nil {
		return err
	}
	f, err := os.Open(from)
	if err != nil {
		return err
	}
	defer f.Close()
	c, err := vault.Restore(f, fs.dir, pass, fs.options)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(s.out, "restored to %s: generation %d, taken %s\n", fs.dir, c.Generation, c.Taken.Format(time.RFC3339))
	fmt.Fprintln(s.err, "it does not know what happened since: a gateway whose data is ahead of it will not start until you say that the data is right (assent vault accept)")
	return err
}

func vaultAccept(s *session, v *vault.Vault) error {
	if err := v.Accept(); err != nil {
		return err
	}
	_, err := fmt.Fprintln(s.out, acceptedText)
	return err
}

const acceptedText = "the next start takes the data for right: it completes the journal from the ledger, destroys keys that no row names, and drops documents whose keys are lost"

// passphrase reads it from a file, or asks at the terminal, twice when again.
func (s *session) passphrase(file, again string) ([]byte, error) {
	if file != "" {
		b, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		line, _, _ := bytes.Cut(b, []byte("\n"))
		return bytes.TrimSuffix(line, []byte("\r")), nil
	}
	f, ok := s.in.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return nil, errors.New("there is no terminal to ask for the passphrase: give --passphrase-file")
	}
	ask := func(prompt string) ([]byte, error) {
		fmt.Fprint(s.err, prompt)
		b, err := term.ReadPassword(int(f.Fd()))
		fmt.Fprintln(s.err)
		return b, err
	}
	pass, err := ask("passphrase of the backup: ")
	if err != nil || again == "" {
		return pass, err
	}
	second, err := ask("and again: ")
	if err == nil && !bytes.Equal(pass, second) {
		err = errors.New("the two are not the same")
	}
	return pass, err
}
