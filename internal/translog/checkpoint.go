package translog

import (
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
)

// A Checkpoint is a signed tree head. Text is the signed note; nil is none,
// the empty tree that nobody signed for.
type Checkpoint struct {
	Size uint64
	Root Hash
	Text []byte
}

var errCheckpoint = errors.New("translog: not a checkpoint of this log")

// identity is a log's name and its keys.
type identity struct {
	origin  string
	vkey    string          // of the newest key
	signers []note.Signer   // newest first
	active  []note.Verifier // of those that sign
	known   []note.Verifier // and of those that did
}

// newIdentity: the origin must be a name that a signed note can carry.
func newIdentity(origin string, keys Keys) (identity, error) {
	id := identity{origin: origin}
	add := func(public ed25519.PublicKey) (note.Verifier, error) {
		vkey, err := note.NewEd25519VerifierKey(origin, public)
		if err != nil {
			return nil, errors.New("translog: make the verifier key")
		}
		verifier, err := note.NewVerifier(vkey)
		if err != nil {
			return nil, errors.New("translog: the origin is not a valid name of a key")
		}
		if id.vkey == "" {
			id.vkey = vkey
		}
		id.known = append(id.known, verifier)
		return verifier, nil
	}
	for _, seed := range keys.Seeds() {
		key := ed25519.NewKeyFromSeed(seed[:])
		verifier, err := add(key.Public().(ed25519.PublicKey))
		if err != nil {
			return identity{}, err
		}
		id.signers = append(id.signers, signer{verifier, func(msg []byte) []byte { return ed25519.Sign(key, msg) }})
	}
	id.active = slices.Clone(id.known)
	for _, public := range keys.Retired {
		if _, err := add(public[:]); err != nil {
			return identity{}, err
		}
	}
	return id, nil
}

// signer is a note.Signer; the key is in a closure, so that nothing prints it.
type signer struct {
	verifier note.Verifier
	sign     func([]byte) []byte
}

func (s signer) Name() string                    { return s.verifier.Name() }
func (s signer) KeyHash() uint32                 { return s.verifier.KeyHash() }
func (s signer) Sign(msg []byte) ([]byte, error) { return s.sign(msg), nil }

// checkpoint signs a tree head. Whether it may, the caller has made sure.
func (id identity) checkpoint(size uint64, root Hash) (Checkpoint, error) {
	text := fmt.Sprintf("%s\n%d\n%s\n", id.origin, size, base64.StdEncoding.EncodeToString(root[:]))
	signed, err := note.Sign(&note.Note{Text: text}, id.signers...)
	if err != nil {
		return Checkpoint{}, errors.New("translog: sign a checkpoint")
	}
	return Checkpoint{size, root, signed}, nil
}

// parse reads a checkpoint of ours, signed with any key that the log has or
// had; nil is none. ErrOrigin for one of another origin, errCheckpoint for what
// is none or not so signed.
func (id identity) parse(text []byte) (Checkpoint, error) { return id.parseBy(text, id.known) }

func (id identity) parseBy(text []byte, keys []note.Verifier) (Checkpoint, error) {
	if len(text) == 0 {
		return Checkpoint{}, nil
	}
	if first, _, _ := strings.Cut(string(text), "\n"); first != id.origin {
		return Checkpoint{}, ErrOrigin
	}
	n, err := note.Open(text, note.VerifierList(keys...))
	if err != nil {
		return Checkpoint{}, errCheckpoint
	}
	lines := strings.Split(n.Text, "\n")
	if len(lines) != 4 || lines[3] != "" { // no extensions
		return Checkpoint{}, errCheckpoint
	}
	size, err := strconv.ParseUint(lines[1], 10, 63)
	if err != nil || size == 0 || strconv.FormatUint(size, 10) != lines[1] {
		return Checkpoint{}, errCheckpoint
	}
	root, err := base64.StdEncoding.Strict().DecodeString(lines[2])
	if err != nil || len(root) != len(Hash{}) {
		return Checkpoint{}, errCheckpoint
	}
	return Checkpoint{size, Hash(root), text}, nil
}
