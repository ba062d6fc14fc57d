package service_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/meshbench/meshbench/lab/service"
)

func listen(t *testing.T, h http.Handler, limits service.Limits) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := service.NewServer(h, limits)
	go server.Serve(l)
	t.Cleanup(func() { server.Close() })
	return l.Addr().String()
}

// gone waits until all connections were closed by the other side.
func gone(t *testing.T, list []net.Conn, within time.Duration) {
	t.Helper()
	end := time.Now().Add(within)
	for k, c := range list {
		c.SetReadDeadline(end)
		if _, err := io.Copy(io.Discard, c); err != nil && strings.Contains(err.Error(), "timeout") {
			t.Fatalf("connection %d of %d is there after %v", k, len(list), within)
		}
	}
}

func dial(t *testing.T, addr, text string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if text != "" {
		io.WriteString(c, text)
	}
	return c
}

// Clients that are slow or idle are dropped, and while there are more of them
// than connections are allowed, others are served.
func TestServerLimits(t *testing.T) {
	_, urls := upstreams(t, "node1", "node2")
	front := newFront(t, service.FrontConfig{Mesh: two, Nodes: urls})
	addr := listen(t, front, service.Limits{Header: 500 * time.Millisecond, Read: 500 * time.Millisecond, Idle: 500 * time.Millisecond, Connections: 200})
	const many = 500
	begun := "GET /healthz HTTP/1.1\r\nHost: x\r\n"
	for _, c := range []struct{ name, text string }{
		{"say nothing", ""},
		{"never end the header", begun},
		{"stay after a reply", begun + "\r\n"},
		{"send a body slowly", "GET /service1/items/1 HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\nx"},
		{"set something slowly", "PUT /control HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + token + "\r\nContent-Length: 1000\r\n\r\n{"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var list []net.Conn
			for range many {
				list = append(list, dial(t, addr, c.text))
			}
			client := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
			var err error
			for begin := time.Now(); time.Since(begin) < 5*time.Second; time.Sleep(50 * time.Millisecond) {
				var resp *http.Response
				if resp, err = client.Get("http://" + addr + "/service1/items/1"); err == nil {
					resp.Body.Close()
					break
				}
			}
			if err != nil {
				t.Errorf("among %d others: %v", many, err)
			}
			gone(t, list, 20*time.Second)
		})
	}
	resp, err := http.Get("http://" + addr + "/healthz?" + strings.Repeat("x", 100<<10))
	if err == nil {
		resp.Body.Close()
		if resp.StatusCode != http.StatusRequestHeaderFieldsTooLarge && resp.StatusCode != http.StatusRequestURITooLong {
			t.Errorf("a long header: %s", resp.Status)
		}
	}
}

// A request that takes longer than its header and body may is not cut off.
func TestServerPatience(t *testing.T) {
	addr := listen(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-r.Context().Done():
			fmt.Fprint(w, "cut off")
		case <-time.After(600 * time.Millisecond):
			fmt.Fprint(w, "done")
		}
	}), service.Limits{Header: 200 * time.Millisecond, Read: 200 * time.Millisecond, Idle: 200 * time.Millisecond})
	for range 2 {
		resp, err := http.Get("http://" + addr)
		if err != nil {
			t.Fatal(err)
		}
		text, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if string(text) != "done" {
			t.Errorf("%s %q", resp.Status, text)
		}
	}
}
