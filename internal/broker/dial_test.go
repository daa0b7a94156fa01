package broker

import (
	"net"
	"testing"
)

// What decides is where a connection leads, not what it is called.
func TestNothingIsSaidInTheClearElsewhere(t *testing.T) {
	t.Parallel()
	for addr, want := range map[net.Addr]bool{
		&net.TCPAddr{IP: net.ParseIP("127.0.0.1"), Port: 9}: true, &net.TCPAddr{IP: net.ParseIP("::1")}: true,
		&net.TCPAddr{IP: net.ParseIP("10.0.0.1")}: false, &net.TCPAddr{IP: net.ParseIP("2001:db8::1")}: false,
		&net.TCPAddr{}: false, &net.UnixAddr{Name: "/tmp/kafka"}: false, nil: false,
	} {
		if got := (Dialer{}).mayReach(addr); got != want {
			t.Errorf("%v: %v", addr, got)
		}
		if !(Dialer{Anywhere: true}).mayReach(addr) {
			t.Errorf("%v, where any is allowed: no", addr)
		}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := Dialer{}.Dial(t.Context(), "tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
	for host, want := range map[string]bool{"localhost": true, "127.0.0.9": true, "::1": true, "example.org": false, "10.0.0.1": false, "": false} {
		if Loopback(host) != want {
			t.Errorf("%q on loopback: %v", host, !want)
		}
	}
}
