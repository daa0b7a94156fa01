package translog

import (
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
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

// identity is a log's name and key.
type identity struct {
	origin   string
	vkey     string
	verifier note.Verifier
	sign     func([]byte) []byte // a closure, so that nothing prints the key
}

// newIdentity: the origin must be a name that a signed note can carry.
func newIdentity(origin string, seed [32]byte) (identity, error) {
	key := ed25519.NewKeyFromSeed(seed[:])
	vkey, err := note.NewEd25519VerifierKey(origin, key.Public().(ed25519.PublicKey))
	if err != nil {
		return identity{}, errors.New("translog: make the verifier key")
	}
	verifier, err := note.NewVerifier(vkey)
	if err != nil {
		return identity{}, errors.New("translog: the origin is not a valid name of a key")
	}
	return identity{origin, vkey, verifier, func(msg []byte) []byte { return ed25519.Sign(key, msg) }}, nil
}

// signer is note.Signer over an identity.
type signer struct{ identity }

func (s signer) Name() string                    { return s.verifier.Name() }
func (s signer) KeyHash() uint32                 { return s.verifier.KeyHash() }
func (s signer) Sign(msg []byte) ([]byte, error) { return s.sign(msg), nil }

// checkpoint signs a tree head. Whether it may, the caller has made sure.
func (id identity) checkpoint(size uint64, root Hash) (Checkpoint, error) {
	text := fmt.Sprintf("%s\n%d\n%s\n", id.origin, size, base64.StdEncoding.EncodeToString(root[:]))
	signed, err := note.Sign(&note.Note{Text: text}, signer{id})
	if err != nil {
		return Checkpoint{}, errors.New("translog: sign a checkpoint")
	}
	return Checkpoint{size, root, signed}, nil
}

// parse reads a checkpoint of ours; nil is none. ErrOrigin for one of another
// origin, errCheckpoint for what is none or not signed with our key.
func (id identity) parse(text []byte) (Checkpoint, error) {
	if len(text) == 0 {
		return Checkpoint{}, nil
	}
	if first, _, _ := strings.Cut(string(text), "\n"); first != id.origin {
		return Checkpoint{}, ErrOrigin
	}
	n, err := note.Open(text, note.VerifierList(id.verifier))
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
