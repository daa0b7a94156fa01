// Package testport finds ports for the servers that tests start.
//
// A port that the kernel finds free is somebody else's a moment later: the
// tests beside it open hundreds of listeners and connections a second, and a
// server that is killed and started again wants the port that it had. So ports
// are taken from below those that the kernel gives out by itself, and each block
// of them is held, against everybody who takes from there as well, by a listener
// on a port beside it. It ends with the process, however that ends.
package testport

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
)

const (
	first, last = 10_000, 32_000 // Linux gives out 32768 and more
	each        = 8              // ports of a block, with the one that holds it
)

// Most is the number of ports that can be taken at once.
const Most = each - 1

var errNone = errors.New("testport: no ports are free")

// A Block is some ports in a row, of 127.0.0.1.
type Block struct {
	first int
	held  net.Listener
}

// Take takes n ports, Most at most, that nobody listens on.
func Take(n int) (*Block, error) {
	const blocks = (last - first) / each
	start := rand.IntN(blocks)
	for i := range blocks {
		at := first + (start+i)%blocks*each
		held, err := listen(at)
		if err != nil {
			continue
		}
		if b := (&Block{at + 1, held}); b.free(n) {
			return b, nil
		}
		held.Close()
	}
	return nil, errNone
}

func listen(port int) (net.Listener, error) {
	return net.Listen("tcp4", fmt.Sprintf("127.0.0.1:%d", port))
}

// free looks whether all of them are: others may not know of blocks.
func (b *Block) free(n int) bool {
	for i := range n {
		l, err := listen(b.Port(i))
		if err != nil {
			return false
		}
		l.Close()
	}
	return true
}

// Port is one of the ports, from 0.
func (b *Block) Port(i int) int { return b.first + i }

// Close gives the ports back. A nil Block has none.
func (b *Block) Close() {
	if b != nil {
		b.held.Close()
	}
}
