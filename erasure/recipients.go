package erasure

import (
	"context"
	"crypto/ed25519"
	"encoding/hex"
	"encoding/json"
	"errors"
	"slices"
	"time"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/internal/seal"
)

// AcknowledgementFormat is the first line of what a processor signs.
const AcknowledgementFormat = "assent-erasure-acknowledgement/v1"

// defaultAnswerWithin is how long recipients may be silent.
const defaultAnswerWithin = 7 * 24 * time.Hour

// ErrSignature: an acknowledgement that is not signed by the processor's key,
// or that is of another event.
var ErrSignature = errors.New("erasure: not an acknowledgement by the processor's key")

// A Recipient is somebody outside who is told of erasures.
type Recipient struct {
	Name string
	Role string
	Key  []byte // Ed25519, of its acknowledgements; nil: it has none
	// Broker is set for one that is not asked for an answer: what it has taken
	// others will read.
	Broker Brokerage
}

// Brokerage says whether a recipient hands on.
type Brokerage uint8

// The two kinds of recipients.
const (
	Answers Brokerage = iota
	HandsOn
)

// Recipients are those whom erasures are told to.
type Recipients interface {
	// Recipients lists who is told of erasures now.
	Recipients(ctx context.Context, t consent.TenantID) ([]Recipient, error)
	// Notice is SHA-256 of the event by which they are told to erase: of the
	// entry at a position.
	Notice(t consent.TenantID, id string, at consent.Position, when consent.Time, j consent.Jurisdiction, told Told) ([32]byte, error)
	// Delivered is the entry up to which a broker has everything.
	Delivered(ctx context.Context, t consent.TenantID, broker string) (consent.Position, error)
}

// AnswerState is what a recipient said. The numbers are on disk.
type AnswerState uint8

// The states.
const (
	Silent AnswerState = iota
	Acknowledged
	Refused
)

var answerNames = [...]string{"silent", "acknowledged", "refused"}

func (a AnswerState) String() string {
	if int(a) < len(answerNames) {
		return answerNames[a]
	}
	return ""
}

// A recipient of an erasure, and what it said.
type recipient struct {
	Recipient
	State     AnswerState  `json:"state,omitempty"`
	At        consent.Time `json:"at,omitempty"`
	Signature []byte       `json:"signature,omitempty"`
}

// notice is what recipients are told, while an erasure is open. Whom it names
// rests sealed under the erasure's one-time key, which outlives the person's:
// who cannot be reached for an hour still hears whom it is about.
type notice struct {
	Recipients []recipient      `json:"recipients,omitempty"`
	Names      []byte           `json:"names,omitempty"`
	Asked      consent.Position `json:"asked,omitempty"` // the entry that tells them to erase
	Event      [32]byte         `json:"event,omitzero"`  // SHA-256 of its event
	AnswerBy   consent.Time     `json:"answer_by,omitempty"`
}

// address adds to a request who has to be told of it, and returns the one-time
// key that the names are sealed under; zero when nobody has to.
func (s *Service) address(ctx context.Context, t consent.TenantID, id string, r *Request, j *job) (seal.Ref, error) {
	if s.Deps.Recipients == nil || r.Scope != ScopeSubject {
		return seal.Ref{}, nil
	}
	who, err := s.Deps.Recipients.Recipients(ctx, t)
	if err != nil || len(who) == 0 {
		return seal.Ref{}, err
	}
	for _, one := range who {
		j.Notice.Recipients = append(j.Notice.Recipients, recipient{Recipient: one})
	}
	names := []string{r.Subject.Reveal()}
	num, err := s.Ledger.Find(ctx, t, r.Subject)
	if err != nil {
		return seal.Ref{}, err
	}
	if num != 0 {
		more, err := s.Ledger.Identifiers(ctx, t, num)
		if err != nil {
			return seal.Ref{}, err
		}
		for _, other := range more {
			if !slices.Contains(names, other.Reveal()) {
				names = append(names, other.Reveal())
			}
		}
	}
	plain, err := json.Marshal(names)
	if err != nil {
		return seal.Ref{}, err
	}
	ref, err := s.Vault.NewKey() // a crash here: no row names it, and the next start wipes it
	if err != nil {
		return seal.Ref{}, err
	}
	key, err := s.Vault.Key(ref, nil)
	if err != nil {
		return ref, err
	}
	j.Notice.Names = seal.Seal(key, plain, jobAAD(t, id, "names"))
	return ref, nil
}

// ask notes by which entry recipients are told to erase.
func (s *Service) ask(t consent.TenantID, id string, j *job, ref seal.Ref, due consent.Time, at consent.Position, when consent.Time) error {
	n := &j.Notice
	if len(n.Recipients) == 0 {
		return nil
	}
	names, err := s.opened(t, id, j, ref)
	if err != nil {
		return err
	}
	n.Asked, n.AnswerBy = at, when+consent.Time(s.AnswerWithin)
	if due > when {
		n.AnswerBy = min(n.AnswerBy, due)
	}
	jurisdiction := j.Jurisdiction
	if at != j.Position {
		jurisdiction = "" // an approval's entry has none
	}
	n.Event, err = s.Deps.Recipients.Notice(t, id, at, when, jurisdiction, Told{string(j.Scope), j.Regulation, names})
	return err
}

// opened returns the names that an erasure keeps; none when it keeps none, or
// its key is destroyed.
func (s *Service) opened(t consent.TenantID, id string, j *job, ref seal.Ref) ([]string, error) {
	if len(j.Notice.Names) == 0 || ref.IsZero() {
		return nil, nil
	}
	key, err := s.Vault.Key(ref, nil)
	if errors.Is(err, consent.ErrKeyGone) {
		return nil, nil
	}
	if err != nil {
		return nil, ErrUnavailable
	}
	plain, err := seal.Open(key, j.Notice.Names, jobAAD(t, id, "names"))
	var names []string
	if err != nil || json.Unmarshal(plain, &names) != nil {
		return nil, ErrUnavailable
	}
	return names, nil
}

// An Answer is what a processor says to the event that told it.
type Answer struct {
	// Event is SHA-256 of the event it got; zero when its signature has to say.
	Event     [32]byte
	Says      AnswerState
	Signature []byte
}

// SignedAnswer is what a processor with a key signs to acknowledge.
func SignedAnswer(id string, event [32]byte) []byte {
	return []byte(AcknowledgementFormat + "\n" + id + "\n" + hex.EncodeToString(event[:]) + "\n")
}

// Answer takes what a processor says. ErrNotFound when the erasure was not told
// to one of that name; ErrState when it has ended, or waits for approval; ErrSignature, and nothing
// changed, for an acknowledgement that the processor's key did not sign. The
// first answer stands, but for a refusal, which an acknowledgement ends.
func (s *Service) Answer(ctx context.Context, t consent.TenantID, id, name string, a Answer) error {
	_, err := s.change(ctx, t, id, func(k Keys, row *consent.ErasureRow, j *job) error {
		at := slices.IndexFunc(j.Notice.Recipients, func(r recipient) bool { return r.Name == name && r.Broker == Answers })
		if at < 0 {
			return ErrNotFound
		}
		r := &j.Notice.Recipients[at]
		switch {
		case r.State == Acknowledged || r.State == a.Says:
			return nil
		case !row.Open || len(j.Statement) > 0 || j.Notice.Asked == 0: // ended, or nobody was told to erase yet
			return ErrState
		case a.Event == [32]byte{} && r.Key != nil:
			a.Event = j.Notice.Event // the signature says of which it is
		case a.Event != j.Notice.Event || a.Event == [32]byte{}:
			return ErrSignature
		}
		if a.Says == Acknowledged && r.Key != nil && !signed(r.Key, id, a) {
			return ErrSignature
		}
		head, err := s.Ledger.Head(ctx, t)
		if err != nil {
			return err
		}
		r.State, r.At, r.Signature = a.Says, head.Now, nil
		if r.Key != nil && a.Says == Acknowledged {
			r.Signature = a.Signature
		}
		if !j.Notice.silent() {
			j.RetryAt = 0 // nobody is waited for any more
		}
		if row.Sealed, err = j.seal(k, t, id); err != nil {
			return err
		}
		return s.Store.ChangeErasure(ctx, t, *row)
	})
	return err
}

func signed(key []byte, id string, a Answer) bool {
	return len(key) == ed25519.PublicKeySize && ed25519.Verify(key, SignedAnswer(id, a.Event), a.Signature)
}

// silent reports whether a recipient has said nothing.
func (n *notice) silent() bool {
	return slices.ContainsFunc(n.Recipients, func(r recipient) bool { return r.State == Silent })
}

// obeyed reports whether every recipient acknowledged.
func (n *notice) obeyed() bool {
	return !slices.ContainsFunc(n.Recipients, func(r recipient) bool { return r.State != Acknowledged })
}

// await waits for the recipients' answers, until the time that they have is
// over. What is ours is erased and verified by then.
func (w *work) await(ctx context.Context) error {
	n := &w.j.Notice
	next := n.AnswerBy
	for i := range n.Recipients {
		r := &n.Recipients[i]
		if r.State != Silent || r.Broker != HandsOn {
			continue
		}
		at, err := w.Deps.Recipients.Delivered(ctx, w.t, r.Name)
		if err != nil {
			return err
		}
		if at >= n.Asked {
			r.State, r.At = Acknowledged, w.now
			continue
		}
		next = min(next, w.now+consent.Time(roundEvery))
	}
	if n.silent() && w.now < n.AnswerBy {
		return NotBefore(next)
	}
	return w.enter(ctx, w.outcome())
}

// outcome is how the erasure ends: what is ours by its goals, the recipients by
// their answers.
func (w *work) outcome() State {
	for _, r := range w.j.Targets {
		if r.Level < r.Goal {
			return CompletedWithExceptions
		}
	}
	if !w.j.Notice.obeyed() {
		return CompletedWithExceptions
	}
	return Completed
}

// A ProcessorReport is what a recipient of an erasure said, as it is shown.
type ProcessorReport struct {
	Name  string
	State AnswerState
	At    consent.Time
}

func (n *notice) report() []ProcessorReport {
	out := []ProcessorReport{}
	for _, r := range n.Recipients {
		out = append(out, ProcessorReport{r.Name, r.State, r.At})
	}
	return out
}

// A StatementProcessor is a recipient in a statement. What it signed is the
// SignedAnswer of request and notice; the statement commits to key and signature.
type StatementProcessor struct {
	Name            string `json:"name"`
	Role            string `json:"role"`
	State           string `json:"state"`
	AnsweredAt      string `json:"answered_at"`
	KeyHash         string `json:"key_sha256"`
	Acknowledgement string `json:"acknowledgement_sha256"`
}

// statement returns the digest of the notice and who got it.
func (n *notice) statement() (event string, out []StatementProcessor) {
	if len(n.Recipients) == 0 {
		return "", nil
	}
	for _, r := range n.Recipients {
		p := StatementProcessor{Name: r.Name, Role: r.Role, State: r.State.String()}
		if r.State != Silent {
			p.AnsweredAt = r.At.String()
		}
		if r.Key != nil {
			p.KeyHash = digest(r.Key)
		}
		if r.Signature != nil {
			p.Acknowledgement = digest(r.Signature)
		}
		out = append(out, p)
	}
	return hex.EncodeToString(n.Event[:]), out
}
