package consent

import (
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
