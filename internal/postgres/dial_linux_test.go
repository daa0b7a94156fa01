package postgres

import (
	"net"
	"testing"

	"golang.org/x/sys/unix"
)

func TestConnectionsGiveUpASilentServer(t *testing.T) {
	db := open(t, database(t), Options{})
	err := db.reading(t.Context(), "test", func(s *session) error {
		raw, err := s.c.PgConn().Conn().(*net.TCPConn).SyscallConn()
		if err != nil {
			return err
		}
		return raw.Control(func(fd uintptr) {
			got, err := unix.GetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT)
			if want := int(silent.Milliseconds()); got != want || err != nil {
				t.Errorf("the timeout is %d ms, want %d, error %v", got, want, err)
			}
			if alive, err := unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_KEEPALIVE); alive != 1 || err != nil {
				t.Errorf("keepalive is %d, error %v", alive, err)
			}
		})
	})
	if err != nil {
		t.Error(err)
	}
}
