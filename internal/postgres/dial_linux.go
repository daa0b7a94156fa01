package postgres

import (
	"net"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// silent is how long a server may leave what was sent to it unacknowledged, or
// a quiet connection's probes unanswered, before it counts as gone: a network
// that swallows everything must not hold a head's lock, or a search, for the
// quarter of an hour that TCP would try.
const silent = 10 * time.Second

func dialer() *net.Dialer {
	return &net.Dialer{
		KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: silent / 2, Interval: silent / 4, Count: 2},
		Control: func(network, _ string, c syscall.RawConn) (err error) {
			if !strings.HasPrefix(network, "tcp") {
				return nil
			}
			if e := c.Control(func(fd uintptr) {
				err = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(silent.Milliseconds()))
			}); e != nil {
				return e
			}
			return err
		},
	}
}
