package gateway_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/erasure"
	"github.com/assent-gateway/assent/internal/gateway"
	"github.com/assent-gateway/assent/internal/telemetry"
)

// Of an erasure that does not end, half of its time over is said once, then four
// fifths, then all: in the log by its id and state, in a metric by how much. Of one
// that ended nothing is said.
func TestADeadlineThatComesNearIsSaid(t *testing.T) {
	var log strings.Builder
	var clock ahead
	tel, err := telemetry.New(t.Context(), telemetry.Config{})
	if err != nil {
		t.Fatal(err)
	}
	g := openGateway(t, gateway.Config{AdminKey: adminKey, ErasuresByHand: true, Now: clock.Now, Log: logTo(&log), Telemetry: tel, MetricsHere: true})
	say(t, g, consent.Granted, []string{"ada", "bob"}, rag, emb)
	wantPurged(t, ended(t, g, erase(t, g, "bob").ID))
	held := erase(t, g, "ada")
	if _, err := g.Erasure.Hold(t.Context(), gateway.DefaultTenant, held.ID, "court"); err != nil {
		t.Fatal(err)
	}
	const whole = 30 * 24 * time.Hour
	var said []string
	for _, percent := range []int{49, 51, 60, 79, 81, 99, 101, 300} {
		clock.by.Store(int64(whole) / 100 * int64(percent))
		log.Reset()
		for range 2 {
			g.Erasure.Round(t.Context(), gateway.DefaultTenant)
		}
		lines := strings.Count(log.String(), "an erasure's time runs out")
		said = append(said, fmt.Sprint(percent, ":", lines))
		if strings.Contains(log.String(), "ada") || lines > 0 && (!strings.Contains(log.String(), held.ID) || !strings.Contains(log.String(), "state=held")) {
			t.Errorf("the log says %s", log.String())
		}
	}
	if got, want := strings.Join(said, " "), "49:0 51:1 60:0 79:0 81:1 99:0 101:1 300:0"; got != want {
		t.Errorf("said %s, want %s", got, want)
	}
	_, metrics, _ := get(t, g.Handler(), adminKey, "/metrics")
	for _, used := range []string{"50", "80", "100"} {
		if !strings.Contains(metrics, fmt.Sprintf(`assent_erasure_alerts_total{used=%q} 1`, used)) {
			t.Errorf("no metric of %s %%", used)
		}
	}
	if e, err := g.Erasure.Get(t.Context(), gateway.DefaultTenant, held.ID); err != nil || e.State != erasure.Held || e.DaysLeft() >= 0 {
		t.Errorf("%v, %d days left, %v", e.State, e.DaysLeft(), err)
	}
}
