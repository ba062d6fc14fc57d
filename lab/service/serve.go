package service

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
)

// Running is a handler that is served on an address.
type Running struct {
	Address string
	http    *http.Server
	done    chan struct{}
}

// Listen listens on HOST:PORT. What is something else is not shown: a URL may have
// a password in it.
func Listen(addr string) (net.Listener, error) {
	if _, _, err := net.SplitHostPort(addr); err != nil || strings.ContainsAny(addr, "/@") {
		return nil, errors.New("it is not HOST:PORT, such as 127.0.0.1:8080")
	}
	return net.Listen("tcp", addr)
}

// Serve listens on addr, "" for 127.0.0.1 and a free port, and answers until
// Close; what names the server in errors.
func Serve(what, addr string, h http.Handler, limits Limits) (*Running, error) {
	if addr == "" {
		addr = "127.0.0.1:0"
	}
	listener, err := Listen(addr)
	if err != nil {
		return nil, fmt.Errorf("address of %s: %w; give another, or none for a free port", what, err)
	}
	return ServeOn(listener, h, limits), nil
}

// ServeOn answers those who connect to a listener, until Close.
func ServeOn(listener net.Listener, h http.Handler, limits Limits) *Running {
	r := &Running{Address: listener.Addr().String(), http: NewServer(h, limits), done: make(chan struct{})}
	go func() {
		defer close(r.done)
		r.http.Serve(listener) // returns when closed
	}()
	return r
}

// Drain takes no more connections and ends when all requests are answered, or
// ctx has ended.
func (r *Running) Drain(ctx context.Context) {
	r.http.Shutdown(ctx)
	r.Close()
}

// Close breaks all connections.
func (r *Running) Close() {
	r.http.Close()
	<-r.done
}
