package vault

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"golang.org/x/crypto/argon2"

	"github.com/assent-gateway/assent/internal/seal"
)

// A backup's envelope:
//
//	magic 8 ‖ version u32 ‖ salt 32 ‖ crc32c ‖ box of nothing
//	frames: length of the box u32 ‖ box of at most 64 KiB
//
// The key is Argon2id of passphrase and salt, with the second recommended
// parameters of RFC 9106 §4 (3 passes, 64 MiB, 4 lanes); they are fixed by the
// version, so that a forged file cannot ask for more. Each box has as additional
// data all before the frames, its number, and whether it is the last: what is
// cut, reordered, repeated or added does not open. The box of nothing tells a
// wrong passphrase from damage, since it commits to its key.
const (
	envelopeMagic   = "assentBK"
	envelopeVersion = 1
	envelopeFront   = 8 + 4 + 32 + 4
	frameSize       = 64 << 10

	// MinPassphrase is the least number of bytes of a backup's passphrase. It
	// keeps out the empty and the absent-minded; use a long random one.
	MinPassphrase = 12
)

var (
	// ErrPassphrase: the backup was not made with this passphrase.
	ErrPassphrase = errors.New("vault: wrong passphrase")
	// ErrBackup: not a backup, or cut short, or changed. Nothing was restored.
	ErrBackup = errors.New("vault: backup is damaged or incomplete")
	// ErrShortPassphrase: it has fewer than MinPassphrase bytes.
	ErrShortPassphrase = fmt.Errorf("vault: a passphrase has at least %d bytes", MinPassphrase)
)

// envelopeKey is argon2id; but for a test of it, tests take a quicker one.
var envelopeKey = argon2id

func argon2id(passphrase, salt []byte) seal.Key {
	return seal.Key(argon2.IDKey(passphrase, salt, 3, 64<<10, 4, 32))
}

func frameAAD(front []byte, number uint64, last byte) []byte {
	b := append([]byte("assent vault backup\x00"), front...)
	return append(binary.BigEndian.AppendUint64(b, number), last)
}

// sealWriter seals what is written to it; Close ends the stream. It does not
// close what it writes to.
type sealWriter struct {
	w      io.Writer
	key    func() seal.Key
	front  []byte
	buf    []byte
	number uint64
}

func newSealWriter(w io.Writer, passphrase []byte) (*sealWriter, error) {
	if len(passphrase) < MinPassphrase {
		return nil, ErrShortPassphrase
	}
	front := binary.BigEndian.AppendUint32([]byte(envelopeMagic), envelopeVersion)
	var salt [32]byte
	rand.Read(salt[:])
	front = append(front, salt[:]...)
	front = binary.BigEndian.AppendUint32(front, checksum(front))
	key := envelopeKey(passphrase, salt[:])
	front = seal.AppendSeal(front, key, nil, bytes.Clone(front))
	_, err := w.Write(front)
	return &sealWriter{w: w, key: seal.Hold(key), front: front, buf: make([]byte, 0, frameSize)}, err
}

func (s *sealWriter) Write(p []byte) (int, error) {
	done := 0
	for done < len(p) {
		if len(s.buf) == frameSize { // more follows: so this one is not the last
			if err := s.frame(0); err != nil {
				return done, err
			}
		}
		n := min(len(p)-done, frameSize-len(s.buf))
		s.buf = append(s.buf, p[done:done+n]...)
		done += n
	}
	return done, nil
}

func (s *sealWriter) Close() error { return s.frame(1) }

func (s *sealWriter) frame(last byte) error {
	b := binary.BigEndian.AppendUint32(nil, uint32(len(s.buf)+seal.Overhead))
	b = seal.AppendSeal(b, s.key(), s.buf, frameAAD(s.front, s.number, last))
	clear(s.buf)
	s.buf, s.number = s.buf[:0], s.number+1
	_, err := s.w.Write(b)
	return err
}

// openReader reads what sealWriter wrote. It ends with io.EOF only behind the
// last frame, with nothing after it; else with ErrBackup.
type openReader struct {
	r      io.Reader
	key    func() seal.Key
	front  []byte
	rest   []byte
	number uint64
	err    error
}

func newOpenReader(r io.Reader, passphrase []byte) (*openReader, error) {
	front := make([]byte, envelopeFront+seal.Overhead)
	if _, err := io.ReadFull(r, front); err != nil {
		return nil, asBackup(err)
	}
	head := front[:envelopeFront]
	sum := binary.BigEndian.Uint32(head[envelopeFront-4:])
	if string(head[:8]) != envelopeMagic || sum != checksum(head[:envelopeFront-4]) {
		return nil, ErrBackup
	}
	if v := binary.BigEndian.Uint32(head[8:]); v != envelopeVersion {
		return nil, fmt.Errorf("%w: a backup of version %d, known is %d", ErrFormat, v, envelopeVersion)
	}
	key := envelopeKey(passphrase, head[12:44])
	if _, err := seal.Open(key, front[envelopeFront:], head); err != nil {
		return nil, ErrPassphrase
	}
	return &openReader{r: r, key: seal.Hold(key), front: front}, nil
}

func (o *openReader) Read(p []byte) (int, error) {
	for len(o.rest) == 0 {
		if o.err != nil {
			return 0, o.err
		}
		o.next()
	}
	n := copy(p, o.rest)
	o.rest = o.rest[n:]
	return n, nil
}

func (o *openReader) next() {
	var size [4]byte
	if _, err := io.ReadFull(o.r, size[:]); err != nil {
		o.err = asBackup(err)
		return
	}
	n := binary.BigEndian.Uint32(size[:])
	if n < seal.Overhead || n > frameSize+seal.Overhead {
		o.err = ErrBackup
		return
	}
	box := make([]byte, n)
	if _, err := io.ReadFull(o.r, box); err != nil {
		o.err = asBackup(err)
		return
	}
	plain, err := seal.Open(o.key(), box, frameAAD(o.front, o.number, 0))
	o.number++
	if err == nil {
		o.rest = plain
		return
	}
	if plain, err = seal.Open(o.key(), box, frameAAD(o.front, o.number-1, 1)); err != nil {
		o.err = ErrBackup
		return
	}
	o.rest, o.err = plain, io.EOF
	if n, err := o.r.Read(size[:1]); n > 0 {
		o.rest, o.err = nil, ErrBackup // something follows the end
	} else if err != nil && !errors.Is(err, io.EOF) {
		o.err = fmt.Errorf("vault: read backup: %w", err)
	}
}

// asBackup makes an early end damage; any other error is the reader's.
func asBackup(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%w: cut short", ErrBackup)
	}
	return fmt.Errorf("vault: read backup: %w", err)
}
