package local

import (
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/meshbench/meshbench/lab/service"
)

// door is an address at which several servers take connections, each the next
// one that comes: what a Service is in Kubernetes.
type door struct {
	net.Listener
	conns  chan net.Conn
	closed chan struct{} // when the address is given up
}

// openDoor listens.
func openDoor(what, addr string) (*door, error) {
	l, err := service.Listen(addr)
	if err != nil {
		return nil, fmt.Errorf("address of %s: %w; give another, or none for a free port", what, err)
	}
	d := &door{Listener: l, conns: make(chan net.Conn), closed: make(chan struct{})}
	go func() {
		defer close(d.closed)
		for {
			c, err := l.Accept()
			if err != nil {
				if e, ok := err.(interface{ Temporary() bool }); ok && e.Temporary() { // out of file descriptors
					time.Sleep(10 * time.Millisecond)
					continue
				}
				return
			}
			d.conns <- c
		}
	}()
	return d, nil
}

// close gives the address up.
func (d *door) close() {
	d.Listener.Close()
	for {
		select {
		case c := <-d.conns:
			c.Close()
		case <-d.closed:
			return
		}
	}
}

// entrance is the listener of one of the servers at a door.
type entrance struct {
	*door
	once sync.Once
	left chan struct{}
}

func (d *door) entrance() *entrance { return &entrance{door: d, left: make(chan struct{})} }

// Accept waits for a connection.
func (e *entrance) Accept() (net.Conn, error) {
	select {
	case <-e.left:
		return nil, net.ErrClosed
	default:
	}
	select {
	case <-e.left:
		return nil, net.ErrClosed
	case <-e.closed:
		return nil, net.ErrClosed
	case c := <-e.conns:
		return c, nil
	}
}

// Close leaves the door to the others.
func (e *entrance) Close() error {
	e.once.Do(func() { close(e.left) })
	return nil
}
