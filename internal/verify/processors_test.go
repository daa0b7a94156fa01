package verify

import (
	"errors"
	"strings"
	"testing"
)

// TestProcessorsBearTheState: what a statement says of its recipients fits
// together, and "completed" is said by none that names one who did not
// acknowledge. Each statement is signed by its operator; that it is refused is
// because of what it says.
func TestProcessorsBearTheState(t *testing.T) {
	t.Parallel()
	hash := strings.Repeat("ab", 32)
	yes := ErasureProcessor{"crm", "processor", "acknowledged", "2026-01-01T00:00:00Z", "", ""}
	keyed := ErasureProcessor{"crm", "processor", "acknowledged", "2026-01-01T00:00:00Z", hash, hash}
	mute := ErasureProcessor{"mail", "processor", "silent", "", hash, ""}
	with := func(p ErasureProcessor, change func(*ErasureProcessor)) ErasureProcessor { change(&p); return p }
	for name, c := range map[string]struct {
		state  string
		notice string
		who    []ErasureProcessor
		good   bool
	}{
		"nobody":                      {"completed", "", nil, true},
		"all":                         {"completed", hash, []ErasureProcessor{yes}, true},
		"signed":                      {"completed", hash, []ErasureProcessor{keyed}, true},
		"one is silent":               {"completed_with_exceptions", hash, []ErasureProcessor{yes, mute}, true},
		"completed over silence":      {"completed", hash, []ErasureProcessor{yes, mute}, false},
		"completed over a refusal":    {"completed", hash, []ErasureProcessor{with(yes, func(p *ErasureProcessor) { p.State = "refused" })}, false},
		"a key without a signature":   {"completed", hash, []ErasureProcessor{with(keyed, func(p *ErasureProcessor) { p.Acknowledgement = "" })}, false},
		"a signature without a key":   {"completed", hash, []ErasureProcessor{with(keyed, func(p *ErasureProcessor) { p.KeyHash = "" })}, false},
		"silent and signed":           {"completed_with_exceptions", hash, []ErasureProcessor{with(mute, func(p *ErasureProcessor) { p.Acknowledgement = hash })}, false},
		"silent at a time":            {"completed_with_exceptions", hash, []ErasureProcessor{with(mute, func(p *ErasureProcessor) { p.AnsweredAt = "2026-01-01T00:00:00Z" })}, false},
		"acknowledged at no time":     {"completed", hash, []ErasureProcessor{with(yes, func(p *ErasureProcessor) { p.AnsweredAt = "" })}, false},
		"twice the same":              {"completed", hash, []ErasureProcessor{yes, yes}, false},
		"no name":                     {"completed", hash, []ErasureProcessor{with(yes, func(p *ErasureProcessor) { p.Name = "" })}, false},
		"another state":               {"completed", hash, []ErasureProcessor{with(yes, func(p *ErasureProcessor) { p.State = "erased" })}, false},
		"no digest of the event":      {"completed", "", []ErasureProcessor{yes}, false},
		"an event that nobody got":    {"completed", hash, nil, false},
		"something that is no digest": {"completed", hash, []ErasureProcessor{with(keyed, func(p *ErasureProcessor) { p.Acknowledgement = "AB" })}, false},
	} {
		s := ErasureStatement{
			State: c.state, Level: "purged", NoticeHash: c.notice, Processors: c.who,
			Targets: []ErasureTarget{{Name: "t", Goal: "purged", Level: "purged", CheckedAt: "2026-01-01T00:00:00Z"}},
			Probes:  []ErasureProbe{{Name: "p", Control: true}},
		}
		err := s.bears()
		if c.good && err != nil || !c.good && !errors.Is(err, ErrOverstated) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
