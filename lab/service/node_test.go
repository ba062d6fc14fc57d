package service_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/meshbench/meshbench/lab/mesh"
	"github.com/meshbench/meshbench/lab/service"
	"github.com/meshbench/meshbench/lab/service/cause"
	"github.com/meshbench/meshbench/lab/service/item"
)

// few are small databases of the paper's two kinds.
var few = []item.Kind{
	{Items: 40, MeanBytes: 1200, Shape: .5},
	{Items: 300, MeanBytes: 3600, Shape: 16, Nested: true},
}

func catalogue(t *testing.T, kinds []item.Kind, seed uint64) *item.Catalogue {
	t.Helper()
	c, err := item.NewCatalogue(kinds, seed)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func open(t *testing.T, dsn string, c *item.Catalogue) *service.Database {
	t.Helper()
	d, err := service.OpenDatabase(context.Background(), dsn, c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

// newNode starts a node with a database in memory, unless cfg has one.
func newNode(t *testing.T, cfg service.NodeConfig) *service.Node {
	t.Helper()
	if cfg.Mesh.M() == 0 {
		cfg.Mesh = two
	}
	if cfg.Catalogue == nil {
		cfg.Catalogue = catalogue(t, few, 1)
	}
	if cfg.Database == nil {
		cfg.Database = open(t, ":memory:", cfg.Catalogue)
	}
	n, err := service.NewNode(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(n.Close)
	return n
}

func TestNodeReplies(t *testing.T) {
	c := catalogue(t, few, 1)
	n := newNode(t, service.NodeConfig{Name: "node2", Catalogue: c, TimeScale: 1000})
	for i, name := range two.ServiceNames() {
		for _, key := range []int{0, 1, c.Len(i) - 1} {
			w := ask(n, "GET", fmt.Sprintf("/%s/items/%d", name, key), "", "")
			var reply struct {
				Service, Node string
				Item          json.RawMessage
			}
			if err := json.Unmarshal(w.Body.Bytes(), &reply); err != nil || w.Code != http.StatusOK {
				t.Fatalf("item %d of %s: %d %s: %v", key, name, w.Code, w.Body, err)
			}
			if reply.Service != name || reply.Node != "node2" || w.Header().Get(service.NodeHeader) != "node2" {
				t.Errorf("item %d of %s: served as %s by %s, header %q", key, name, reply.Service, reply.Node, w.Header().Get(service.NodeHeader))
			}
			var want bytes.Buffer
			json.Compact(&want, []byte(c.Content(i, key)))
			if string(reply.Item) != want.String() {
				t.Errorf("item %d of %s is\n%s, want\n%s", key, name, reply.Item, want.String())
			}
			seconds, err := strconv.ParseFloat(w.Header().Get(service.SecondsHeader), 64)
			if least := item.ServiceTime(c.Size(i, key)) / 1000; err != nil || seconds < least-1e-6 {
				t.Errorf("item %d of %s: %q s, at least %v", key, name, w.Header().Get(service.SecondsHeader), least)
			}
		}
	}
	for _, c := range []struct {
		path string
		code int
		want string
	}{
		{"/service3/items/1", 404, `unknown microservice "service3"; node node2 has service1, service2`},
		{"/service1/items/40", 404, `items 0 to 39, not "40"`},
		{"/service1/items/-1", 404, `not "-1"`},
		{"/service1/items/1e3", 404, `not "1e3"`},
		{"/healthz", 200, "ok"},
		{"/readyz", 200, "ready"},
		{"/metrics", 200, `meshbench_requests_total{code="404",service="service1"} 3`},
		{"/metrics", 200, `meshbench_requests_total{code="200",service="service2"} 3`},
		{"/metrics", 200, `meshbench_node_seconds_count{service="service1"} 3`},
	} {
		if w := ask(n, "GET", c.path, "", ""); w.Code != c.code || !strings.Contains(w.Body.String(), c.want) {
			t.Errorf("%s: %d %s, want %d and %q", c.path, w.Code, w.Body, c.code, c.want)
		}
	}
}

// A node serves one request after the other, for as long as their sizes say:
// requests that wait together are done in the sum of their service times, which
// is what the last one's reply tells.
func TestNodeServesInLine(t *testing.T) {
	c := catalogue(t, few, 1)
	const scale = 20
	n := newNode(t, service.NodeConfig{Catalogue: c, TimeScale: scale})
	const requests = 12
	var mu sync.Mutex
	var seconds []float64
	var wg sync.WaitGroup
	total := 0.0 // s
	begin := time.Now()
	for key := range requests {
		total += item.ServiceTime(c.Size(1, key)) / scale
		wg.Go(func() {
			w := ask(n, "GET", fmt.Sprintf("/service2/items/%d", key), "", "")
			s, err := strconv.ParseFloat(w.Header().Get(service.SecondsHeader), 64)
			if err != nil {
				t.Errorf("%d %s", w.Code, w.Body)
			}
			mu.Lock()
			defer mu.Unlock()
			seconds = append(seconds, s)
		})
	}
	wg.Wait()
	took := time.Since(begin).Seconds()
	slices.Sort(seconds)
	// The first arrives some time after begin, so the last may have waited less
	// than the total; it cannot have waited longer than the test took.
	if last := seconds[requests-1]; took < total || last > took || seconds[0] > total/2 {
		t.Errorf("%d requests of %.3f s in all were done in %.3f s; the first took %.3f s, the last %.3f s", requests, total, took, seconds[0], last)
	}
}

// large are items that a node works on for 20 s: longer than a test takes.
var large = []item.Kind{{Items: 1, MeanBytes: 1e6, Shape: 1}, {Items: 1, MeanBytes: 1e6, Shape: 1}}

// occupy sends requests, one after the other, until the node has one in service
// and the given number in its queue. Their replies go to the channel.
func occupy(t *testing.T, n *service.Node, ctx context.Context, waiting int) <-chan *httptest.ResponseRecorder {
	t.Helper()
	replies := make(chan *httptest.ResponseRecorder, waiting+1)
	for k := range waiting + 1 {
		go func() {
			w := httptest.NewRecorder()
			n.ServeHTTP(w, httptest.NewRequestWithContext(ctx, "GET", "/service1/items/0", nil))
			replies <- w
		}()
		// The first leaves the queue at once, so it shows only with the second.
		want := fmt.Sprintf("meshbench_queue_length %d\n", k)
		for begin := time.Now(); k > 0 && !strings.Contains(ask(n, "GET", "/metrics", "", "").Body.String(), want); time.Sleep(time.Millisecond) {
			if time.Since(begin) > 10*time.Second {
				t.Fatalf("the queue did not come to %d", k)
			}
		}
	}
	return replies
}

// Who finds the queue full is turned away at once; who waits when the node
// stops is told so.
func TestNodeQueue(t *testing.T) {
	const queue = 3
	n := newNode(t, service.NodeConfig{Catalogue: catalogue(t, large, 1), Queue: queue})
	replies := occupy(t, n, context.Background(), queue)
	for range 3 {
		w := ask(n, "GET", "/service2/items/0", "", "")
		if w.Code != 503 || w.Header().Get(service.FailureHeader) != cause.Queue || !strings.Contains(w.Body.String(), "queue of 3 requests is full") {
			t.Errorf("beyond the queue: %d %q %.100s", w.Code, w.Header().Get(service.FailureHeader), w.Body)
		}
	}
	n.Close()
	for range queue + 1 {
		if w := <-replies; w.Code != 503 || w.Header().Get(service.FailureHeader) != cause.Stopping {
			t.Errorf("at the node's end: %d %q %.100s", w.Code, w.Header().Get(service.FailureHeader), w.Body)
		}
	}
}

// The place of a client that has gone is not served.
func TestNodeClientGone(t *testing.T) {
	kinds := []item.Kind{few[0], large[1]}
	n := newNode(t, service.NodeConfig{Catalogue: catalogue(t, kinds, 1), Queue: 2})
	ctx, cancel := context.WithCancel(context.Background())
	gone := make(chan struct{})
	first := make(chan int)
	go func() { first <- ask(n, "GET", "/service1/items/0", "", "").Code }()
	go func() {
		defer close(gone)
		<-ctx.Done()
		n.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(ctx, "GET", "/service2/items/0", nil))
	}()
	cancel()
	<-gone
	if code := <-first; code != http.StatusOK {
		t.Fatalf("status %d", code)
	}
	// Were it served, this one would wait for 20 s.
	done := make(chan int, 1)
	go func() { done <- ask(n, "GET", "/service1/items/1", "", "").Code }()
	select {
	case code := <-done:
		if code != http.StatusOK {
			t.Errorf("status %d", code)
		}
	case <-time.After(10 * time.Second):
		t.Error("the node works for a client that has gone")
	}
}

// A node whose database is gone is alive but not ready, and says of each
// request what it lacks.
func TestNodeWithoutDatabase(t *testing.T) {
	c := catalogue(t, few, 1)
	d := open(t, filepath.Join(t.TempDir(), "items.sqlite"), c)
	n := newNode(t, service.NodeConfig{Catalogue: c, Database: d, TimeScale: 1000})
	d.Close()
	for _, c := range []struct {
		path, failure string
		code          int
		want          string
	}{
		{"/service2/items/7", cause.Database, 500, "looking up item 7 of service2: "},
		{"/readyz", "", 503, "the database does not answer: "},
		{"/healthz", "", 200, "ok"},
	} {
		w := ask(n, "GET", c.path, "", "")
		if w.Code != c.code || w.Header().Get(service.FailureHeader) != c.failure || !strings.Contains(w.Body.String(), c.want) {
			t.Errorf("%s: %d %q %s", c.path, w.Code, w.Header().Get(service.FailureHeader), w.Body)
		}
	}
}

func TestNewNodeErrors(t *testing.T) {
	c := catalogue(t, few, 1)
	d := open(t, ":memory:", c)
	for _, x := range []struct {
		cfg  service.NodeConfig
		want string
	}{
		{service.NodeConfig{Catalogue: c, Database: d}, "no service; a mesh has at least one"},
		{service.NodeConfig{Mesh: two, Catalogue: c}, "node node1 needs a database and a catalogue of 2 microservices"},
		{service.NodeConfig{Mesh: two, Database: d}, "needs a database and a catalogue"},
		{service.NodeConfig{Mesh: mesh.New(3, 2), Catalogue: c, Database: d}, "a catalogue of 3 microservices"},
		{service.NodeConfig{Mesh: two, Catalogue: c, Database: d, Name: "node3"}, `unknown node "node3"; the mesh has node1, node2`},
		{service.NodeConfig{Mesh: two, Catalogue: c, Database: d, Queue: -1}, "queue of -1, time scale 1; both must be above 0"},
		{service.NodeConfig{Mesh: two, Catalogue: c, Database: d, TimeScale: -2}, "time scale -2"},
	} {
		if _, err := service.NewNode(x.cfg); err == nil || !strings.Contains(err.Error(), x.want) {
			t.Errorf("error %v, want one with %q", err, x.want)
		}
	}
}

// contents are all items of a database.
func contents(t *testing.T, d *service.Database, c *item.Catalogue) [][]string {
	t.Helper()
	all := make([][]string, c.Services())
	for i := range all {
		for key := range c.Len(i) {
			s, err := d.Lookup(context.Background(), i, key)
			if err != nil {
				t.Fatalf("item %d of service %d: %v", key, i+1, err)
			}
			all[i] = append(all[i], s)
		}
	}
	return all
}

// generated are the items as the catalogue makes them.
func generated(c *item.Catalogue) [][]string {
	all := make([][]string, c.Services())
	for i := range all {
		for key := range c.Len(i) {
			all[i] = append(all[i], c.Content(i, key))
		}
	}
	return all
}

func same(a, b [][]string) bool { return slices.EqualFunc(a, b, slices.Equal[[]string]) }

// A database holds what the catalogue makes, is not filled again for the same
// catalogue, and is for another.
func TestDatabaseFill(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a folder", "100%.sqlite")
	if err := os.Mkdir(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	first, second := catalogue(t, few, 1), catalogue(t, few, 2)
	if same(generated(first), generated(second)) {
		t.Fatal("two seeds make the same items")
	}
	if d := open(t, path, first); !same(contents(t, d, first), generated(first)) {
		t.Error("the database does not hold the catalogue's items")
	} else {
		d.Close()
	}
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	open(t, path, first).Close()
	if after, _ := os.ReadFile(path); !bytes.Equal(before, after) {
		t.Error("opening a filled database changed its file")
	}
	if d := open(t, path, second); !same(contents(t, d, second), generated(second)) {
		t.Error("another catalogue's items are not there")
	}
}

func TestOpenDatabaseErrors(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, []byte(strings.Repeat("not a database ", 100)), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ name, dsn, want string }{
		{"below a file", filepath.Join(file, "items.sqlite"), filepath.Join(file, "items.sqlite")},
		{"no such folder", filepath.Join(dir, "none", "items.sqlite"), "none/items.sqlite"},
		{"a folder", dir, dir},
		{"unwritable", "/proc/items.sqlite", "/proc/items.sqlite"},
		{"another file", file, "not a database"},
		{"no server", "postgres://meshbench:s3cret@127.0.0.1:1/items", "items on PostgreSQL at 127.0.0.1:1: 127.0.0.1:1 (127.0.0.1): dial error: dial tcp 127.0.0.1:1: connect: connection refused"},
		{"no such host", "postgres://meshbench:s3cret@host.invalid/items", "host.invalid"},
		{"not a DSN", "postgres://meshbench:s3cret@127.0.0.1:port/items", "port"},
	} {
		t.Run(c.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
			defer cancel()
			_, err := service.OpenDatabase(ctx, c.dsn, catalogue(t, few, 1))
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("error %v, want one with %q", err, c.want)
			}
			if s := err.Error(); strings.Contains(s, "\n") || strings.Contains(s, "s3cret") {
				t.Errorf("more than one line, or the password: %q", s)
			}
		})
	}
	if text, _ := os.ReadFile(file); !strings.HasPrefix(string(text), "not a database") {
		t.Error("the file that is no database was overwritten")
	}
}
