package local

import (
	"fmt"
	"net"
	"net/http"
	"time"
)

// server serves one handler on one address.
type server struct {
	addr string
	http *http.Server
	done chan struct{}
}

func serve(what, addr string, h http.Handler) (*server, error) {
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("address of %s: %w; give another, or none for a free port", what, err)
	}
	s := &server{addr: listener.Addr().String(), done: make(chan struct{}),
		http: &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second}}
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
