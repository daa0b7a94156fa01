package training

import (
	"bytes"
	"context"
	"encoding/binary"
	"slices"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/internal/seal"
)

// secrets gives what stands for people in one manifest. A person's secret
// there comes from their key in the vault and the manifest's own key: without
// either nobody can compute it, and after an erasure nobody at all.
type secrets struct {
	ledger *consent.Ledger
	tenant consent.TenantID
	key    func() seal.Key // the manifest's
	splits []Split
	people map[consent.SubjectNum]*person
}

// person is somebody in one manifest.
type person struct {
	secret    func() seal.Key
	pseudonym Token
	split     uint8
	alone     *cast // of documents that are this person's alone
}

func newSecrets(l *consent.Ledger, t consent.TenantID, key seal.Key, splits []Split) *secrets {
	return &secrets{ledger: l, tenant: t, key: seal.Hold(key), splits: splits, people: map[consent.SubjectNum]*person{}}
}

// of returns a person; consent.ErrKeyGone or ErrNoPerson for one who is erased.
func (s *secrets) of(ctx context.Context, num consent.SubjectNum) (*person, error) {
	if p := s.people[num]; p != nil {
		return p, nil
	}
	own, err := s.ledger.PersonSecret(ctx, s.tenant, num, "assent training")
	if err != nil {
		return nil, err
	}
	secret := seal.Combine("assent manifest person", own, s.key())
	p := &person{secret: seal.Hold(secret), pseudonym: token(secret, "assent pseudonym"), split: s.split(secret)}
	s.people[num] = p
	return p, nil
}

func token(k seal.Key, label string, parts ...[]byte) Token {
	mac := seal.MAC(k, label, parts...)
	return Token(mac[:16])
}

// split draws a split by the shares.
func (s *secrets) split(secret seal.Key) uint8 {
	mac := seal.MAC(secret, "assent split")
	at := uint32(binary.BigEndian.Uint64(mac[:]) % Shares)
	for i, sp := range s.splits {
		if at < sp.Share {
			return uint8(i)
		}
		at -= sp.Share
	}
	return uint8(len(s.splits) - 1)
}

// A cast is the people of one document, and what names it in the manifest.
type cast struct {
	secret     func() seal.Key
	pseudonyms []Token
	split      uint8
	conflict   bool // they fall in different splits
}

// cast of a document. The secret is of all its people, in an order that does
// not depend on their numbers, so that it dies with any of them.
func (s *secrets) cast(ctx context.Context, who consent.People, collection, id string) (cast, error) {
	var c cast
	if who.Nobody {
		secret := seal.Derive(s.key(), "assent manifest document about nobody", []byte(collection), []byte(id))
		c.secret, c.split = seal.Hold(secret), s.split(secret)
		return c, nil
	}
	if len(who.Owners) == 1 && len(who.Mentions) == 0 {
		return s.alone(ctx, who.Owners[0])
	}
	keys := []seal.Key{}
	seen := map[consent.SubjectNum]bool{}
	for _, list := range [][]consent.SubjectNum{who.Owners, who.Mentions} {
		for _, num := range list {
			if seen[num] {
				continue
			}
			seen[num] = true
			p, err := s.of(ctx, num)
			if err != nil {
				return c, err
			}
			c.conflict = c.conflict || len(keys) > 0 && p.split != c.split
			c.split = p.split
			keys = append(keys, p.secret())
			c.pseudonyms = append(c.pseudonyms, p.pseudonym)
		}
	}
	slices.SortFunc(keys, func(a, b seal.Key) int { return bytes.Compare(a[:], b[:]) })
	slices.SortFunc(c.pseudonyms, func(a, b Token) int { return bytes.Compare(a[:], b[:]) })
	c.secret = seal.Hold(seal.Combine("assent manifest document", keys...))
	return c, nil
}

// alone is the cast of documents of one person.
func (s *secrets) alone(ctx context.Context, num consent.SubjectNum) (cast, error) {
	p, err := s.of(ctx, num)
	if err != nil {
		return cast{}, err
	}
	if p.alone == nil {
		p.alone = &cast{
			secret:     seal.Hold(seal.Combine("assent manifest document", p.secret())),
			pseudonyms: []Token{p.pseudonym}, split: p.split,
		}
	}
	return *p.alone, nil
}
