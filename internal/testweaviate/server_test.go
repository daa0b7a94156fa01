package testweaviate

import (
	"net/http"
	"testing"
)

// A killed server is there again on its ports after Restart, and gone after Stop.
func TestAServerIsKilledAndStartedAgain(t *testing.T) {
	s := Start(t)
	s.Kill()
	if _, err := http.Get(s.URL() + "/v1/meta"); err == nil {
		t.Fatal("a killed server answers")
	}
	if err := s.Restart(); err != nil {
		t.Fatal(err)
	}
	resp, err := http.Get(s.URL() + "/v1/meta")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Errorf("status %d", resp.StatusCode)
	}
}
