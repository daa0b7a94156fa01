package events

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"unicode"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/internal/seal"
)

// ErrUnavailable: what is stored of a processor does not open.
var ErrUnavailable = errors.New("events: a processor does not open")

// An InputError names the field of a processor that is not valid, never its value.
type InputError struct {
	Field  string
	Reason string // a constant sentence fragment
}

func (e *InputError) Error() string { return "events: " + e.Field + ": " + e.Reason }

// Role is what a recipient is to the operator.
type Role string

// The roles.
const (
	RoleProcessor       Role = "processor"
	RoleSubProcessor    Role = "sub_processor"
	RoleJointController Role = "joint_controller"
	RoleRecipient       Role = "recipient"
)

// A Processor is somebody who has data of people from here and is told of what
// they say. Address and secret are the operator's: they rest sealed, and are in
// no log and no error.
type Processor struct {
	Name       string   `json:"name"`
	URL        string   `json:"url"`
	Secret     []byte   `json:"secret"`               // of its webhook's signatures
	PublicKey  []byte   `json:"public_key,omitempty"` // Ed25519, of its acknowledgements
	Role       Role     `json:"role"`
	Kinds      []Kind   `json:"kinds"`
	Categories []string `json:"categories,omitempty"`
	Version    uint64   `json:"-"`
}

// Wants reports whether the processor is told of events of a kind.
func (p *Processor) Wants(k Kind) bool { return slices.Contains(p.Kinds, k) }

// Sink is the name of the processor's cursor.
func (p *Processor) Sink() string { return sinkOf(p.Name) }

// sinkOf is a word of the log, and no name that a broker may have.
func sinkOf(name string) string { return "processor." + name }

// Bounds of a processor.
const (
	maxProcessors = 100
	maxURL        = 2048
	maxCategories = 100
	maxCategory   = 128
)

// ValidName reports whether a processor may be called so: a word of the log.
func ValidName(name string) bool {
	return name != "" && len(name) <= 50 && strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789_-") == "" && name[0] != '-'
}

// Check names what is not valid.
func (p *Processor) Check() error {
	if !ValidName(p.Name) {
		return &InputError{"name", "is not 1 to 50 of a-z, 0-9, _ and -"}
	}
	if err := CheckURL(p.URL); err != nil {
		return err
	}
	if len(p.Secret) != 0 && (len(p.Secret) < 24 || len(p.Secret) > 64) {
		return &InputError{"secret", "is not whsec_ and base64 of 24 to 64 bytes"}
	}
	if len(p.PublicKey) != 0 && len(p.PublicKey) != ed25519.PublicKeySize {
		return &InputError{"public_key", "is not base64 of an Ed25519 key"}
	}
	switch p.Role {
	case RoleProcessor, RoleSubProcessor, RoleJointController, RoleRecipient:
	default:
		return &InputError{"role", "is not one of processor, sub_processor, joint_controller and recipient"}
	}
	if len(p.Kinds) == 0 {
		return &InputError{"kinds", "is empty"}
	}
	for i, k := range p.Kinds {
		if k != Consent && k != Erasure && k != Manifest || slices.Contains(p.Kinds[:i], k) {
			return &InputError{"kinds", "holds what is not one of consent, erasure and manifest, or one twice"}
		}
	}
	if len(p.Categories) > maxCategories || slices.ContainsFunc(p.Categories, func(c string) bool {
		return c == "" || len(c) > maxCategory || strings.ContainsFunc(c, unicode.IsControl)
	}) {
		return &InputError{"categories", "are more than 100, or one is not 1 to 128 bytes of text"}
	}
	return nil
}

// CheckURL takes https, and http to this machine alone: events name people.
func CheckURL(address string) error {
	u, err := url.Parse(address)
	if err != nil || len(address) > maxURL || u.Host == "" || u.User != nil || u.Fragment != "" {
		return &InputError{"url", "is not an address without user and fragment"}
	}
	switch u.Scheme {
	case "https":
		return nil
	case "http":
		if Local(u.Hostname()) {
			return nil
		}
	}
	return &InputError{"url", "is not https, which is needed off this machine"}
}

// Local reports whether a host is this machine by its name.
func Local(host string) bool {
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.IsLoopback() || host == "localhost"
}

// Here reports whether a checked processor is on this machine.
func (p *Processor) Here() bool {
	u, err := url.Parse(p.URL)
	return err == nil && Local(u.Hostname())
}

// Shown is the address as it may be shown: without its query, which may hold a
// secret of the recipient's.
func (p *Processor) Shown() string {
	shown, _, _ := strings.Cut(p.URL, "?")
	return shown
}

const secretPrefix = "whsec_"

// ParseSecret reads a secret as Standard Webhooks write it.
func ParseSecret(s string) ([]byte, error) {
	text, ok := strings.CutPrefix(s, secretPrefix)
	secret, err := base64.StdEncoding.Strict().DecodeString(text)
	if !ok || err != nil || len(secret) == 0 {
		return nil, &InputError{"secret", "is not whsec_ and base64 of 24 to 64 bytes"}
	}
	return secret, nil
}

// ShowSecret writes a secret as Standard Webhooks do.
func ShowSecret(secret []byte) string {
	return secretPrefix + base64.StdEncoding.EncodeToString(secret)
}

// Processors registers recipients.
type Processors struct {
	Store  Store
	Ledger interface {
		Head(ctx context.Context, t consent.TenantID) (consent.Head, error)
	}
	// Key returns the key that a tenant's processors are sealed under; false
	// when the tenant is unknown.
	Key func(consent.TenantID) (seal.Key, bool)
	// Changed is called after a change; nil: nobody cares.
	Changed func()
}

func aad(t consent.TenantID, name string) []byte {
	return fmt.Appendf(nil, "assent processor\x00%s\x00%s", t, name)
}

// Put registers a processor, or changes it. One without a secret keeps the one
// that it has; a new one gets one, which is returned and never again. It is told
// of what happens from now on.
func (s *Processors) Put(ctx context.Context, t consent.TenantID, p Processor) (made bool, secret []byte, err error) {
	if err := p.Check(); err != nil {
		return false, nil, err
	}
	key, ok := s.Key(t)
	if !ok {
		return false, nil, consent.ErrUnknownTenant
	}
	all, err := s.List(ctx, t)
	if err != nil {
		return false, nil, err
	}
	at := slices.IndexFunc(all, func(q Processor) bool { return q.Name == p.Name })
	if at < 0 && len(all) >= maxProcessors {
		return false, nil, &InputError{"name", "is that of one more than 100 processors"}
	}
	switch {
	case len(p.Secret) > 0:
	case at >= 0:
		p.Secret = all[at].Secret
	default:
		p.Secret = make([]byte, 32)
		rand.Read(p.Secret)
		secret = p.Secret
	}
	plain, err := json.Marshal(p)
	if err != nil {
		return false, nil, fmt.Errorf("events: encode a processor: %w", err)
	}
	head, err := s.Ledger.Head(ctx, t)
	if err != nil {
		return false, nil, err
	}
	// First, so that what happens after this answered is told. A crash between
	// leaves a cursor of nobody, from which the repeat goes on.
	if err := s.Store.StartCursor(ctx, t, p.Sink(), head.Position); err != nil {
		return false, nil, err
	}
	made, err = s.Store.PutProcessor(ctx, t, p.Name, seal.Seal(key, plain, aad(t, p.Name)))
	s.changed(err)
	return made, secret, err
}

func (s *Processors) changed(err error) {
	if err == nil && s.Changed != nil {
		s.Changed()
	}
}

// List returns the processors of a tenant by name.
func (s *Processors) List(ctx context.Context, t consent.TenantID) ([]Processor, error) {
	key, ok := s.Key(t)
	if !ok {
		return nil, consent.ErrUnknownTenant
	}
	rows, err := s.Store.Processors(ctx, t)
	if err != nil {
		return nil, err
	}
	out := make([]Processor, len(rows))
	for i, row := range rows {
		plain, err := seal.Open(key, row.Sealed, aad(t, row.Name))
		if err != nil || json.Unmarshal(plain, &out[i]) != nil || out[i].Name != row.Name {
			return nil, ErrUnavailable
		}
		out[i].Version = row.Version
	}
	return out, nil
}

// Delivered returns up to which entry a processor was told.
func (s *Processors) Delivered(ctx context.Context, t consent.TenantID, name string) (consent.Position, error) {
	at, _, err := s.Store.Cursor(ctx, t, sinkOf(name))
	return at, err
}

// Drop forgets a processor; absent is fine. What it was not told it is not told
// any more.
func (s *Processors) Drop(ctx context.Context, t consent.TenantID, name string) error {
	err := s.Store.DropProcessor(ctx, t, name)
	if err == nil {
		err = s.Store.DropCursor(ctx, t, sinkOf(name))
	}
	s.changed(err)
	return err
}
