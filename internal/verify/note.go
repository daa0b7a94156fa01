package verify

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	maxNote       = 256 << 10 // bytes of a checkpoint with its signatures
	maxSignatures = 64
	sigPrefix     = "— "
	algEd25519    = 1
)

// A Key is an Ed25519 verifier key of C2SP signed-note.
type Key struct {
	name   string
	id     [4]byte
	public ed25519.PublicKey
}

// ErrKey reports a text that is no verifier key: NAME+ID+BASE64, Ed25519.
var ErrKey = errors.New("not a verifier key of the form NAME+ID+BASE64 with an Ed25519 key")

// ParseKey reads a verifier key; its id must be that of its name and key.
func ParseKey(text string) (*Key, error) {
	name, rest, _ := strings.Cut(text, "+")
	idHex, encoded, _ := strings.Cut(rest, "+")
	raw, ok := decodeBase64(encoded)
	if !ok || !validKeyName(name) || len(raw) != 1+ed25519.PublicKeySize || raw[0] != algEd25519 {
		return nil, ErrKey
	}
	sum := sha256.Sum256(append([]byte(name+"\n"), raw...))
	k := &Key{name: name, id: [4]byte(sum[:4]), public: raw[1:]}
	if hex.EncodeToString(k.id[:]) != idHex {
		return nil, ErrKey
	}
	return k, nil
}

// Name is the key's name, by convention the log's origin.
func (k *Key) Name() string { return k.name }

func validKeyName(s string) bool {
	return s != "" && utf8.ValidString(s) && !strings.ContainsRune(s, '+') &&
		strings.IndexFunc(s, func(r rune) bool { return unicode.IsSpace(r) || r < ' ' }) < 0
}

// decodeBase64 takes only what an encoder writes: Go's decoder, strict or not,
// skips newlines, and without Strict it ignores the last bits.
func decodeBase64(s string) ([]byte, bool) {
	b, err := base64.StdEncoding.Strict().DecodeString(s)
	return b, err == nil && !strings.ContainsAny(s, "\r\n")
}

type signature struct {
	name string
	id   [4]byte
	sig  []byte
}

// openNote returns a note's text, once one of keys has signed it, and how many
// signatures of other keys it bears. A signature that a key of these should have
// made, and did not, refuses the note, whoever else signed.
func openNote(note []byte, keys []*Key) (text string, others int, err error) {
	text, sigs, err := parseNote(note)
	if err != nil {
		return "", 0, err
	}
	signed := map[*Key]bool{}
	for _, s := range sigs {
		i := slices.IndexFunc(keys, func(k *Key) bool { return s.name == k.name && s.id == k.id })
		if i < 0 {
			others++
			continue
		}
		k := keys[i]
		if len(s.sig) != ed25519.SignatureSize || !ed25519.Verify(k.public, []byte(text), s.sig) {
			return "", 0, ErrUnsigned
		}
		if signed[k] {
			return "", 0, refuse(ErrTrailing, "a second signature by the same key")
		}
		signed[k] = true
	}
	if len(signed) == 0 {
		return "", 0, ErrUnsigned
	}
	return text, others, nil
}

// parseNote splits a note at its last empty line.
func parseNote(note []byte) (text string, sigs []signature, err error) {
	if len(note) > maxNote {
		return "", nil, refuse(ErrTrailing, "a checkpoint of more than %d bytes", maxNote)
	}
	if !utf8.Valid(note) || bytes.ContainsFunc(note, func(r rune) bool { return r < ' ' && r != '\n' }) {
		return "", nil, refuse(ErrMalformed, "a checkpoint that is not text")
	}
	i := bytes.LastIndex(note, []byte("\n\n"))
	if i < 0 {
		return "", nil, refuse(ErrTruncated, "a checkpoint without signature lines")
	}
	text, rest := string(note[:i+1]), string(note[i+2:])
	if rest == "" || rest[len(rest)-1] != '\n' {
		return "", nil, refuse(ErrTruncated, "the signature lines of a checkpoint")
	}
	for line := range strings.SplitSeq(rest[:len(rest)-1], "\n") {
		if len(sigs) == maxSignatures {
			return "", nil, refuse(ErrTrailing, "more than %d signatures", maxSignatures)
		}
		s, ok := parseSignature(line)
		if !ok {
			return "", nil, refuse(ErrMalformed, "a signature line of a checkpoint")
		}
		sigs = append(sigs, s)
	}
	return text, sigs, nil
}

func parseSignature(line string) (signature, bool) {
	rest, ok := strings.CutPrefix(line, sigPrefix)
	name, encoded, spaced := strings.Cut(rest, " ")
	raw, canonical := decodeBase64(encoded)
	if !ok || !spaced || !canonical || !validKeyName(name) || len(raw) < 5 {
		return signature{}, false
	}
	return signature{name: name, id: [4]byte(raw[:4]), sig: raw[4:]}, true
}
