package erasure

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/internal/seal"
)

// job is what an erasure's row holds sealed.
type job struct {
	Scope        Scope                `json:"scope"`
	Regulation   string               `json:"regulation"`
	Jurisdiction consent.Jurisdiction `json:"jurisdiction,omitempty"`
	By           string               `json:"by"`
	Subject      consent.SubjectNum   `json:"subject,omitempty"` // the mark that the entry is about
	// Behind: there is somebody behind the mark, whom the ledger knows until the
	// erasure is completed. This row never does.
	Behind  bool            `json:"behind,omitempty"`
	Key     seal.Ref        `json:"key,omitzero"` // in older rows, of the person: Subject is their own number
	Removal consent.Removal `json:"removal,omitzero"`
	At      consent.Time    `json:"at"` // of the suppression

	Prepared bool           `json:"prepared,omitempty"` // the probe material is durable
	Begun    bool           `json:"begun,omitempty"`    // something may be deleted: no way back
	Gathered Gathered       `json:"gathered"`
	Steps    []string       `json:"steps,omitempty"` // that ended
	Targets  []TargetReport `json:"targets"`
	Probes   []Probe        `json:"probes,omitempty"`
	Suspects []suspect      `json:"suspects,omitempty"` // that nobody decided about
	// Since is when steps were first come to, and Looked that it was verified how
	// far everything is while one of them waits.
	Since    map[string]consent.Time `json:"since,omitempty"`
	Looked   bool                    `json:"looked,omitempty"`
	Attempts int                     `json:"attempts,omitempty"` // that failed since something last succeeded
	RetryAt  consent.Time            `json:"retry_at,omitempty"`
	Resume   State                   `json:"resume,omitempty"` // after a hold

	ErasedAt   consent.Time `json:"erased_at,omitempty"`   // the last step ended
	VerifiedAt consent.Time `json:"verified_at,omitempty"` // by the verification that the statement rests on

	Notice   notice           `json:"notice,omitzero"` // to recipients outside
	Position consent.Position `json:"position,omitempty"`

	Statement []byte           `json:"statement,omitempty"` // frozen: its digest is in the ledger
	Outcome   State            `json:"outcome,omitempty"`
	Entry     consent.Position `json:"entry,omitempty"` // of completion
}

func jobAAD(t consent.TenantID, id, part string) []byte {
	return fmt.Appendf(nil, "assent erasure\x00%s\x00%s\x00%s", t, id, part)
}

func (j *job) seal(k Keys, t consent.TenantID, id string) ([]byte, error) {
	plain, err := json.Marshal(j)
	if err != nil {
		return nil, fmt.Errorf("erasure: encode a job: %w", err)
	}
	return seal.Seal(k.Payload, plain, jobAAD(t, id, "job")), nil
}

func openJob(k Keys, t consent.TenantID, row *consent.ErasureRow) (*job, error) {
	plain, err := seal.Open(k.Payload, row.Sealed, jobAAD(t, row.ID, "job"))
	var j job
	if err != nil || json.Unmarshal(plain, &j) != nil {
		return nil, fmt.Errorf("%w: a job does not open", ErrUnavailable)
	}
	return &j, nil
}

// order is an erasure as its steps see it. Of a person it is about whoever is
// behind the mark, as long as anybody can tell.
func (s *Service) order(ctx context.Context, j *job, t consent.TenantID, row *consent.ErasureRow) (Order, error) {
	o := Order{
		Tenant: t, ID: row.ID, Position: row.Position, Subject: j.Subject, Mark: j.Subject, Key: j.Key,
		Removal: j.Removal, At: j.At, Due: row.Due, Probe: row.Key,
	}
	if !j.Behind {
		return o, nil
	}
	who, err := s.Ledger.Behind(ctx, t, j.Subject, row.ID)
	switch {
	case err != nil:
		return o, err
	case who.Num != 0:
		o.Subject, o.Key, o.Lookup = who.Num, who.Key, who.Lookup
	case State(row.State).open() && len(j.Statement) == 0:
		return o, fmt.Errorf("%w: nobody is behind the mark of an open erasure", ErrUnavailable)
	}
	return o, nil
}

// target returns a target's report.
func (j *job) target(name string) *TargetReport {
	for i := range j.Targets {
		if j.Targets[i].Name == name {
			return &j.Targets[i]
		}
	}
	return nil
}

// level is that of the weakest target.
func (j *job) level() Level {
	if len(j.Targets) == 0 {
		return Unreachable
	}
	low := Purged
	for _, t := range j.Targets {
		low = min(low, t.Level)
	}
	return low
}

// An Erasure is one as it is shown.
type Erasure struct {
	ID       string
	State    State
	Level    Level
	Scope    Scope
	Position consent.Position
	Created  consent.Time
	Deadline consent.Time
	Now      consent.Time
	Claim    string
	Gathered Gathered
	Targets  []TargetReport
	Probes   []Probe
	Attempts int
	// Processors are the recipients that were told.
	Processors []ProcessorReport
}

// DaysLeft is how many days are left until the deadline, rounded down; below 0
// when it has passed.
func (e Erasure) DaysLeft() int {
	const day = consent.Time(24 * 60 * 60 * 1e9)
	left := e.Deadline - e.Now
	if left < 0 {
		return int(left/day) - 1
	}
	return int(left / day)
}
