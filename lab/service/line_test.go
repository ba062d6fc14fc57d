package service_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/meshbench/meshbench/lab/service"
	"github.com/meshbench/meshbench/lab/service/cause"
	"github.com/meshbench/meshbench/lab/service/item"
)

// alike are items that a node works on for a quarter of a second each, at scale 8.
var alike = []item.Kind{{Items: 1, MeanBytes: 1e5, Shape: 1e6}, {Items: 1, MeanBytes: 1e5, Shape: 1e6}}

// send asks n for so many items at once and returns when each was answered, the
// first first, and how.
func send(n *service.Node, requests int) (took []time.Duration, codes map[int]int) {
	var mu sync.Mutex
	var wg sync.WaitGroup
	codes = map[int]int{}
	begin := time.Now()
	for range requests {
		wg.Go(func() {
			code := ask(n, "GET", "/service1/items/0", "", "").Code
			mu.Lock()
			defer mu.Unlock()
			codes[code]++
			took = append(took, time.Since(begin))
		})
	}
	wg.Wait()
	return took, codes
}

// Replicas share a queue: whoever is free takes the next call, whichever replica
// it came to. One that retires leaves those that wait to the others; the last one
// serves them first.
func TestLine(t *testing.T) {
	c := catalogue(t, alike, 1)
	const scale = 8
	work := time.Duration(item.ServiceTime(c.Size(0, 0)) / scale * 1e9)
	line := service.NewLine(6)
	a := newNode(t, service.NodeConfig{Catalogue: c, TimeScale: scale, Line: line})
	b := newNode(t, service.NodeConfig{Catalogue: c, TimeScale: scale, Line: line})
	near := func(what string, have, want time.Duration) {
		t.Helper()
		if have < want-work/10 || have > want+2*work/3 {
			t.Errorf("%s: %v, want about %v", what, have, want)
		}
	}
	took, codes := send(a, 8)
	if codes[http.StatusOK] != 8 {
		t.Fatalf("replies %v", codes)
	}
	near("8 calls by two", took[7], 4*work)
	worked, _ := line.Worked()
	near("their work", worked, 8*work)
	if _, codes = send(b, 20); codes[http.StatusOK] != 8 || codes[http.StatusServiceUnavailable] != 12 {
		t.Errorf("20 calls at a queue of 6 and two servers: replies %v", codes)
	}
	line.SetSpeed(2)
	took, _ = send(b, 4)
	near("4 calls by two at twice the speed", took[3], work)
	line.SetSpeed(1)

	time.AfterFunc(work/2, b.Retire)
	if took, codes = send(b, 4); codes[http.StatusOK] != 4 {
		t.Errorf("while one retires: replies %v", codes)
	}
	near("4 calls, of which the one that retires serves one", took[3], 3*work)
	time.AfterFunc(work/2, a.Retire)
	if took, codes = send(a, 3); codes[http.StatusOK] != 3 {
		t.Errorf("while the last one retires: replies %v", codes)
	}
	near("3 calls by the last one", took[2], 3*work)
	time.Sleep(work / 10)
	w := ask(a, "GET", "/service1/items/0", "", "")
	if w.Code != http.StatusServiceUnavailable || w.Header().Get(service.FailureHeader) != cause.Queue {
		t.Errorf("without a server: %d %q", w.Code, w.Header().Get(service.FailureHeader))
	}
}

// A node that leaves says so and serves on.
func TestNodeLeaves(t *testing.T) {
	n := newNode(t, service.NodeConfig{TimeScale: 1000})
	n.Leave()
	if w := ask(n, "GET", "/readyz", "", ""); w.Code != http.StatusServiceUnavailable || !strings.Contains(w.Body.String(), "leaving") {
		t.Errorf("ready: %d %s", w.Code, w.Body)
	}
	if w := ask(n, "GET", "/service1/items/1", "", ""); w.Code != http.StatusOK {
		t.Errorf("an item: %d %s", w.Code, w.Body)
	}
	for _, name := range []string{"meshbench_speed 1\n", "meshbench_work_seconds_total "} {
		if w := ask(n, "GET", "/metrics", "", ""); !strings.Contains(w.Body.String(), name) {
			t.Errorf("no %q in the metrics", name)
		}
	}
}

// Drain answers all requests that have come, and takes no more.
func TestDrain(t *testing.T) {
	begun, done := make(chan struct{}), make(chan struct{})
	s, err := service.Serve("it", "", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		close(begun)
		<-done
		fmt.Fprint(w, "answer")
	}), service.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	reply := make(chan string, 1)
	go func() {
		resp, err := http.Get("http://" + s.Address)
		if err != nil {
			reply <- err.Error()
			return
		}
		defer resp.Body.Close()
		w := httptest.NewRecorder()
		w.Body.ReadFrom(resp.Body)
		reply <- w.Body.String()
	}()
	<-begun
	time.AfterFunc(20*time.Millisecond, func() { close(done) })
	s.Drain(context.Background())
	if r := <-reply; r != "answer" {
		t.Errorf("reply %q", r)
	}
	if resp, err := http.Get("http://" + s.Address); err == nil {
		resp.Body.Close()
		t.Error("it still answers")
	}
}
