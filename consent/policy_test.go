package consent

import (
	"errors"
	"fmt"
	"testing"
	"time"
)

// A span that is too long is refused: in 64 bits of nanoseconds 585 years come
// round to three weeks.
func TestParseDuration(t *testing.T) {
	t.Parallel()
	const day = 24 * time.Hour
	for s, want := range map[string]time.Duration{
		"": 0, "720h": 720 * time.Hour, "30d": 30 * day, "P1Y": 365 * day, "P1Y2M3W4D": (365 + 60 + 21 + 4) * day, "P200Y": 200 * 365 * day,
	} {
		if got, err := ParseDuration(s); got != want || err != nil {
			t.Errorf("%q: %v, %v", s, got, err)
		}
	}
	for _, s := range []string{
		"P", "P1", "PY", "1Y", "P-1D", "P1.5Y", "P0D", "0h", "-1h", "d", "P1D ", "P201Y", "P585Y", "P200Y1D", "P65535Y", "P585Y585Y", "73001d", "1800000h",
	} {
		if got, err := ParseDuration(s); err == nil {
			t.Errorf("%q: taken as %v", s, got)
		}
	}
}

// The grace after a withdrawal is a span of time, 30 days where a policy names none.
func TestWithdrawalGrace(t *testing.T) {
	t.Parallel()
	const form = `{"version": 1, "name": "p", "purposes": {"embedding": {"title": "e"}}%s}`
	for in, want := range map[string]time.Duration{
		``: defaultGrace, `, "withdrawal_grace": ""`: defaultGrace, `, "withdrawal_grace": "7d"`: 7 * 24 * time.Hour, `, "withdrawal_grace": "1ns"`: 1,
	} {
		p, err := ParsePolicy(fmt.Appendf(nil, form, in))
		if err != nil || p.grace() != Time(want) {
			t.Errorf("%s: %v", in, err)
		}
	}
	for _, bad := range []string{`"soon"`, `"-1h"`, `"0s"`, `30`} {
		if _, err := ParsePolicy(fmt.Appendf(nil, form, `, "withdrawal_grace": `+bad)); !errors.Is(err, ErrPolicy) {
			t.Errorf("%s: %v", bad, err)
		}
	}
}
