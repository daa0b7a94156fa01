package httpapi

import (
	"io"
	"log"
	"net/http"
	"time"
)

// Timeouts of a server. Streams move their own deadlines with every batch.
const (
	headerTimeout = 10 * time.Second
	readTimeout   = 2 * time.Minute
	writeTimeout  = 5 * time.Minute // an ingest may wait for an embedder
	idleTimeout   = 2 * time.Minute
	streamTimeout = 2 * time.Minute // between two batches of a stream
)

// Server returns a server for h with every timeout and limit set. Its own log
// is discarded: net/http puts clients' addresses and parts of requests there.
func Server(addr string, h http.Handler) *http.Server {
	return &http.Server{
		Addr: addr, Handler: h,
		ReadHeaderTimeout: headerTimeout, ReadTimeout: readTimeout,
		WriteTimeout: writeTimeout, IdleTimeout: idleTimeout,
		MaxHeaderBytes: 64 << 10,
		ErrorLog:       log.New(io.Discard, "", 0),
	}
}

// extend moves a stream's deadlines. A test's recorder has none.
func (c *call) extend() {
	rc := http.NewResponseController(c.w)
	until := time.Now().Add(streamTimeout)
	_ = rc.SetReadDeadline(until)
	_ = rc.SetWriteDeadline(until)
}
