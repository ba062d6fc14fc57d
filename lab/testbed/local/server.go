package local

import (
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/meshbench/meshbench/lab/service"
)

// server serves one handler on one address.
type server struct {
	addr string
	http *http.Server
	done chan struct{}
}

// serve listens and answers; write bounds the time of a reply, negative for not.
func serve(what, addr string, h http.Handler, write time.Duration) (*server, error) {
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("address of %s: %w; give another, or none for a free port", what, err)
	}
	s := &server{addr: listener.Addr().String(), done: make(chan struct{}),
		http: service.NewServer(h, service.Limits{Write: write})}
	go func() {
		defer close(s.done)
		s.http.Serve(listener) // returns when closed
	}()
	return s, nil
}

// close breaks all connections.
func (s *server) close() {
	s.http.Close()
	<-s.done
}
