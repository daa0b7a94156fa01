package training

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"time"

	"crypto/rand"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/internal/seal"
)

// DefaultLease is how long a manifest holds when nothing is asked for;
// MaxLease is the longest.
const (
	DefaultLease = 30 * 24 * time.Hour
	MaxLease     = 366 * 24 * time.Hour
)

// NewID returns a random name of a manifest.
func NewID() string {
	var b [15]byte
	rand.Read(b[:])
	return "m_" + base64.RawURLEncoding.EncodeToString(b[:])
}

// Create takes a request for a manifest, under an id from NewID. It is built
// in the background, from the positions that are the newest now unless others
// are asked for. remember commits with it.
func (s *Service) Create(ctx context.Context, c Caller, id string, spec Spec, remember []consent.Remembered) (Manifest, error) {
	if err := spec.check(s.Formats); err != nil {
		return Manifest{}, err
	}
	purposes, _, err := s.Ledger.Purposes(ctx, c.Tenant)
	if err != nil {
		return Manifest{}, err
	}
	if !slices.Contains(purposes, spec.Purpose) || !c.MayPurpose(spec.Purpose) {
		return Manifest{}, consent.ErrPurposeUnknown
	}
	cols, err := s.Corpus.Select(ctx, c, spec.Collections, spec.Filter)
	if err != nil {
		return Manifest{}, err
	}
	if err := s.pinned(ctx, c.Tenant, &spec); err != nil {
		return Manifest{}, err
	}
	k, err := s.keys(c.Tenant)
	if err != nil {
		return Manifest{}, err
	}
	head, err := s.Ledger.Head(ctx, c.Tenant)
	if err != nil {
		return Manifest{}, err
	}
	_, ref, err := s.Vault.NewFileKey()
	if err != nil {
		return Manifest{}, err
	}
	// A crash here leaves a key that no row names: wiped at the next start.
	b := &build{Service: s, t: c.Tenant, keys: k, job: job{Spec: spec, Cols: cols}}
	b.row = ManifestRow{ID: id, State: Building, Holder: s.Files.Holder(), Key: ref, CreatedAt: head.Now}
	if err := b.seal(); err != nil {
		return Manifest{}, err
	}
	if err := s.Manifests.AddManifest(ctx, c.Tenant, b.row, remember); err != nil {
		if errors.Is(err, consent.ErrRemembered) || errors.Is(err, ErrConflict) {
			_ = s.Vault.Destroy(ref) // else the next start does it
		}
		return Manifest{}, err
	}
	s.kick()
	return b.told(), nil
}

// pinned settles the positions of a request.
func (s *Service) pinned(ctx context.Context, t consent.TenantID, spec *Spec) error {
	head, err := s.Ledger.Head(ctx, t)
	if err != nil {
		return err
	}
	corpus, err := s.Corpus.Head(ctx, t)
	if err != nil {
		return err
	}
	spec.ResumeOnChange = spec.AtPosition == 0 && spec.AtCorpusHead
	switch {
	case spec.AtPosition > head.Position:
		return invalid("at_position", "lies in the future")
	case !spec.AtCorpusHead && spec.AtCorpus > corpus:
		return invalid("at_corpus_position", "lies in the future")
	}
	if spec.AtPosition == 0 {
		spec.AtPosition = head.Position
	}
	if spec.AtCorpusHead {
		spec.AtCorpus, spec.AtCorpusHead = corpus, false
	}
	return nil
}

// Get tells of a manifest; ErrNotFound also for one of collections or a
// purpose that the caller may not know of.
func (s *Service) Get(ctx context.Context, c Caller, id string) (Manifest, error) {
	b, err := s.find(ctx, c, id)
	if err != nil {
		return Manifest{}, err
	}
	return b.told(), nil
}

func (s *Service) find(ctx context.Context, c Caller, id string) (*build, error) {
	row, found, err := s.Manifests.Manifest(ctx, c.Tenant, id)
	if err != nil {
		return nil, err
	}
	if !found {
		return nil, ErrNotFound
	}
	b, err := s.open(c.Tenant, row)
	if err != nil {
		return nil, err
	}
	if c.MayPurpose != nil && !c.MayPurpose(b.job.Spec.Purpose) {
		return nil, ErrNotFound
	}
	if !b.within(c) {
		return nil, ErrNotFound
	}
	return b, nil
}

// within reports whether all collections of a manifest are the caller's.
func (b *build) within(c Caller) bool {
	return c.Collections == nil || !slices.ContainsFunc(b.job.Cols, func(col Collection) bool {
		return !slices.Contains(c.Collections, col.Name)
	})
}

// ready is find for what is built.
func (s *Service) ready(ctx context.Context, c Caller, id string) (*build, error) {
	b, err := s.find(ctx, c, id)
	if err == nil && b.row.State != Ready {
		err = ErrNotReady
	}
	return b, err
}

// told is what is told of a manifest.
func (b *build) told() Manifest {
	j := &b.job
	m := Manifest{
		ID: b.row.ID, State: b.row.State, Problem: j.Problem, Spec: j.Spec, Header: j.Header, Rows: j.Rows,
		Withheld: j.Withheld, Digest: j.Digest, Entry: j.Entry, ExpiresAt: j.ExpiresAt, Files: j.Files,
		LedgerPos: j.Spec.AtPosition, CorpusPos: j.Spec.AtCorpus, FilesGone: b.row.Key.IsZero(),
		FilesHere: b.row.Holder == b.Files.Holder(),
	}
	if j.Header != nil {
		m.PolicyHash = j.Header.PolicyDigest
	}
	switch b.row.State {
	case Ready:
		m.Progress = 1
	case Building:
		b.mu.Lock()
		m.Progress = b.progress[b.row.ID]
		b.mu.Unlock()
		if j.Phase == phaseRender {
			m.Progress = max(m.Progress, 0.7)
		}
	}
	return m
}

// Resume goes on with a manifest that failed. One that did not is left alone.
func (s *Service) Resume(ctx context.Context, c Caller, id string) (Manifest, error) {
	s.turn.Lock()
	defer s.turn.Unlock()
	for {
		b, err := s.find(ctx, c, id)
		if err != nil {
			return Manifest{}, err
		}
		if b.row.State != Failed {
			return b.told(), nil
		}
		if b.row.Holder != s.Files.Holder() {
			return Manifest{}, ErrElsewhere
		}
		if err := b.renew(); err != nil {
			return Manifest{}, err
		}
		b.row.State, b.job.Problem = Building, ""
		switch err := b.save(ctx); {
		case err == nil:
			s.kick()
			return b.told(), nil
		case !errors.Is(err, ErrConflict):
			return Manifest{}, err
		case b.row.Key != b.was.Key: // it was erased at another gateway meanwhile
			_ = s.Vault.Destroy(b.row.Key) // else the next start does it
		}
	}
}

// Statement returns the DSSE envelope of a ready manifest.
func (s *Service) Statement(ctx context.Context, c Caller, id string) ([]byte, error) {
	b, err := s.ready(ctx, c, id)
	if err != nil {
		return nil, err
	}
	return b.job.Statement, nil
}

// Croissant returns the Croissant rendering of a ready manifest.
func (s *Service) Croissant(ctx context.Context, c Caller, id string) ([]byte, error) {
	b, err := s.ready(ctx, c, id)
	if err != nil {
		return nil, err
	}
	return b.job.Croissant, nil
}

// OpenFile opens a file of a ready manifest that is valid at the ledger's
// head, then and, as ctx lasts, while it is read: the second gate of what is
// served. ErrStale, ErrExpired and ErrErased
// say why it is not; ErrNotFound for a name it does not have.
func (s *Service) OpenFile(ctx context.Context, c Caller, id, name string) (io.ReadCloser, FileInfo, error) {
	b, err := s.ready(ctx, c, id)
	if err != nil {
		return nil, FileInfo{}, err
	}
	i := slices.IndexFunc(b.job.Files, func(f FileInfo) bool { return f.Name == name })
	switch {
	case i < 0:
		return nil, FileInfo{}, ErrNotFound
	case b.row.Key.IsZero():
		return nil, FileInfo{}, ErrErased
	case b.row.Holder != s.Files.Holder():
		return nil, FileInfo{}, ErrElsewhere
	}
	key, err := s.Vault.FileKey(b.row.Key)
	if err != nil {
		return nil, FileInfo{}, err
	}
	still := func() error {
		now, err := b.standsNow(ctx)
		if err != nil {
			return err
		}
		return now.refusal()
	}
	if err := still(); err != nil {
		return nil, FileInfo{}, err
	}
	f, err := s.Files.Open(b.filePath(name), key)
	if errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("%w: it is missing", ErrDamaged)
	}
	if err != nil {
		return nil, FileInfo{}, err
	}
	return &served{f, still, lookAfter}, b.job.Files[i], nil
}

// Erase destroys the files of a manifest and their key; what rows it held can
// still be told. It is repeatable, and what an erasure calls for the manifests
// that hold its subject.
func (s *Service) Erase(ctx context.Context, t consent.TenantID, id string) error {
	_, err := s.EraseCounted(ctx, t, id)
	return err
}

// EraseCounted is Erase, and reports whether it was this call that took the key from
// the row, also where it failed afterwards: the repeat does not find it again.
func (s *Service) EraseCounted(ctx context.Context, t consent.TenantID, id string) (erased bool, err error) {
	s.turn.Lock()
	defer s.turn.Unlock()
	if err := s.destroy(); err != nil {
		return false, err
	}
	for {
		row, found, err := s.Manifests.Manifest(ctx, t, id)
		if err != nil || !found {
			return false, err
		}
		if erased, err = s.erase(ctx, t, row); !errors.Is(err, ErrConflict) {
			return erased, err
		}
	}
}

// destroy destroys keys that no row names any more, and those that earlier calls could
// not: what they were of is not found again. The caller holds turn.
func (s *Service) destroy(refs ...seal.Ref) error {
	s.limbo = append(s.limbo, refs...)
	if len(s.limbo) == 0 {
		return nil
	}
	err := s.Vault.Destroy(s.limbo...)
	if err == nil {
		s.limbo = nil
	}
	return err
}

func (s *Service) destroyLeft() error {
	s.turn.Lock()
	defer s.turn.Unlock()
	return s.destroy()
}

// erase erases what is as it was read; else ErrConflict. The caller holds turn.
func (s *Service) erase(ctx context.Context, t consent.TenantID, was ManifestRow) (erased bool, err error) {
	// The row stops naming the key before it is destroyed, so that no restored
	// vault gives it back. A crash in between leaves a key that no row names.
	row, id, ref := was, was.ID, was.Key
	if row.Key = (seal.Ref{}); row.State == Building {
		row.State = Failed
		if b, err := s.open(t, was); err == nil {
			b.job.Problem = problemOf(ErrErased)
			if err := b.seal(); err != nil {
				return false, err
			}
			row.Sealed = b.row.Sealed
		}
	}
	if err := s.Manifests.SaveManifest(ctx, t, row, was); err != nil {
		return false, err
	}
	if erased = !ref.IsZero(); erased {
		if err := s.destroy(ref); err != nil {
			return erased, err
		}
	}
	for _, dir := range []string{"/files", "/work"} {
		if err := s.Files.Remove(id + dir); err != nil {
			return erased, err
		}
	}
	return erased, nil
}
