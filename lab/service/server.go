package service

import (
	"net"
	"net/http"
	"sync"
	"time"
)

// clientIdle is for how long the front keeps an unused connection to a node:
// less than the node does, so that none is closed while a request is sent on it.
const clientIdle = 15 * time.Second

// Limits bound what clients can make a server keep. The zero value has the
// defaults.
type Limits struct {
	Header      time.Duration // until a request's header is there; default 5 s
	Read        time.Duration // until a request's body is there; default 10 s
	Write       time.Duration // until the reply is sent, from the header on; default 60 s
	Idle        time.Duration // between two requests of a connection; default 30 s
	HeaderBytes int           // default 16 KiB
	Connections int           // default 4096
}

func (l Limits) defaults() Limits {
	for _, d := range []struct {
		value *time.Duration
		def   time.Duration
	}{{&l.Header, 5 * time.Second}, {&l.Read, 10 * time.Second}, {&l.Write, 60 * time.Second}, {&l.Idle, 30 * time.Second}} {
		if *d.value == 0 {
			*d.value = d.def
		}
	}
	if l.HeaderBytes == 0 {
		l.HeaderBytes = 16 << 10
	}
	if l.Connections == 0 {
		l.Connections = 4096
	}
	return l
}

// NewServer returns an HTTP server of h that nobody can exhaust: slow or idle
// clients are dropped in time, and where there are too many connections the
// oldest of those without a request makes room, else the new one is refused.
func NewServer(h http.Handler, limits Limits) *http.Server {
	limits = limits.defaults()
	c := &connections{limit: limits.Connections, state: map[net.Conn]*connection{}}
	c.head.next, c.head.previous = &c.head, &c.head
	return &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.ContentLength == 0 {
				// Nothing is to be read any more: the deadline for it would end a
				// request that waits at a node.
				http.NewResponseController(w).SetReadDeadline(time.Time{})
			}
			h.ServeHTTP(w, r)
		}),
		ReadHeaderTimeout: limits.Header,
		ReadTimeout:       limits.Read,
		WriteTimeout:      limits.Write,
		IdleTimeout:       limits.Idle,
		MaxHeaderBytes:    limits.HeaderBytes,
		ConnState:         c.changed,
	}
}

// connections are those of one server, the ones without a request in a list by
// age.
type connections struct {
	limit int
	mu    sync.Mutex
	state map[net.Conn]*connection
	head  connection // of the ring of idle ones
}

type connection struct {
	conn           net.Conn
	next, previous *connection // nil while it has a request
}

func (c *connections) changed(conn net.Conn, s http.ConnState) {
	c.mu.Lock()
	defer c.mu.Unlock()
	x := c.state[conn]
	switch s {
	case http.StateNew:
		if len(c.state) >= c.limit {
			if oldest := c.head.next; oldest != &c.head {
				c.remove(oldest)
				delete(c.state, oldest.conn)
				oldest.conn.Close()
			} else {
				conn.Close()
				return
			}
		}
		x = &connection{conn: conn}
		c.state[conn] = x
		c.append(x)
	case http.StateIdle:
		if x != nil {
			c.append(x)
		}
	case http.StateActive:
		if x != nil {
			c.remove(x)
		}
	default: // closed, or taken over
		if x != nil {
			c.remove(x)
			delete(c.state, conn)
		}
	}
}

func (c *connections) append(x *connection) {
	c.remove(x)
	x.previous, x.next = c.head.previous, &c.head
	x.previous.next, c.head.previous = x, x
}

func (c *connections) remove(x *connection) {
	if x.next != nil {
		x.previous.next, x.next.previous = x.next, x.previous
		x.next, x.previous = nil, nil
	}
}
