package broker

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/netip"
	"time"
)

// ErrPlaintext: what goes to the broker and comes from it tells of people, and
// would cross a network for everyone on it to read.
var ErrPlaintext = errors.New("is not on loopback, and its connections would not be encrypted")

// dialTimeout bounds how long a connection may take.
const dialTimeout = 10 * time.Second

// A Dialer connects to a broker.
type Dialer struct {
	TLS *tls.Config // nil: in the clear
	// Anywhere allows connections in the clear to other machines.
	Anywhere bool
}

// Dial connects. Where it may not be in the clear, the address that a name
// leads to decides, not the name; nothing is sent before it is looked at.
func (d Dialer) Dial(ctx context.Context, network, addr string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	if d.TLS != nil {
		return (&tls.Dialer{Config: d.TLS}).DialContext(ctx, network, addr)
	}
	c, err := (&net.Dialer{}).DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	if !d.mayReach(c.RemoteAddr()) {
		c.Close()
		return nil, ErrPlaintext
	}
	return c, nil
}

// mayReach reports whether something may be said in the clear to an address.
func (d Dialer) mayReach(a net.Addr) bool {
	tcp, ok := a.(*net.TCPAddr)
	return d.Anywhere || ok && tcp.IP.IsLoopback()
}

// Loopback reports whether a host is this machine, by its name.
func Loopback(host string) bool {
	if host == "localhost" {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.IsLoopback()
}
