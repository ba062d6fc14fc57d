package httpload_test

import (
	"encoding/pem"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/meshbench/meshbench/lab/load/httpload"
	"github.com/meshbench/meshbench/lab/load/request"
	"github.com/meshbench/meshbench/lab/mesh"
)

// asking is a generator of one service with the given requests.
func asking(t *testing.T, url string, client request.Client, mix ...request.Entry) *httpload.Generator {
	t.Helper()
	g, err := httpload.New(httpload.Config{Target: url, Mesh: mesh.New(1, 2), Requests: []request.Mix{mix}, Client: client,
		NodeHeader: "Node", FailureHeader: "Failure", RunHeader: "Run", ServiceHeader: "Service"}, 1)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(g.Close)
	return g
}

func get(path string) request.Entry { return request.Entry{Request: request.Request{Path: path}} }

// failures counts results by what became of them.
func failures(results []httpload.Result) map[string]int {
	n := map[string]int{}
	for _, r := range results {
		n[fmt.Sprint(r.Status, " ", r.Failure)]++
	}
	return n
}

// What an application answers is counted as what it is.
func TestAnswersOfAnApplication(t *testing.T) {
	var n atomic.Int64
	hang := func(w http.ResponseWriter, r *http.Request, status int) {
		c, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		if status > 0 {
			io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf of it")
		}
		c.Close()
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/tenth", func(w http.ResponseWriter, r *http.Request) {
		if n.Add(1)%10 == 0 {
			http.Error(w, "no", http.StatusInternalServerError)
		}
	})
	mux.HandleFunc("/moved", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/there", http.StatusFound) })
	mux.HandleFunc("/there", func(w http.ResponseWriter, r *http.Request) {
		time.Sleep(30 * time.Millisecond)
		w.Header().Set("Node", "node2")
	})
	mux.HandleFunc("/round", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/round", http.StatusFound) })
	mux.HandleFunc("/closes", func(w http.ResponseWriter, r *http.Request) { hang(w, r, 0) })
	mux.HandleFunc("/half", func(w http.ResponseWriter, r *http.Request) { hang(w, r, 200) })
	mux.HandleFunc("/slow", func(w http.ResponseWriter, r *http.Request) {
		for range 4 {
			io.WriteString(w, "part\n")
			http.NewResponseController(w).Flush()
			time.Sleep(20 * time.Millisecond)
		}
	})
	mux.HandleFunc("/gone", func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusGone) })
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	for _, c := range []struct {
		name   string
		client request.Client
		entry  request.Entry
		want   string  // of all, or of most
		tenth  string  // of a tenth
		least  float64 // delay, s
	}{
		{"a tenth of 500s", request.Client{}, get("/tenth"), "200 ", "500 status 500", 0},
		{"redirects are answers", request.Client{}, get("/moved"), "302 status 302", "", 0},
		{"redirects that are expected", request.Client{}, request.Entry{Request: request.Request{Path: "/moved", Expect: []int{302}}}, "302 ", "", 0},
		{"redirects that are followed", request.Client{Redirects: 1}, get("/moved"), "200 ", "", .03},
		{"redirects without end", request.Client{Redirects: 3}, get("/round"), "302 status 302", "", 0},
		{"closed connections", request.Client{}, get("/closes"), "0 connection: closed", "", 0},
		{"closed in the middle of an answer", request.Client{}, get("/half"), "200 connection: closed", "", 0},
		{"slow streams", request.Client{}, get("/slow"), "200 ", "", .08},
		{"slow streams cut off", request.Client{Timeout: .05}, get("/slow"), "200 time-out", "", .05},
		{"other good answers", request.Client{}, request.Entry{Request: request.Request{Path: "/gone", Expect: []int{200, 410}}}, "410 ", "", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := asking(t, server.URL, c.client, c.entry)
			results := run(t, g, httpload.Step{Load: mesh.Load{200}, Seconds: .3})
			kinds := failures(results)
			tenth := 0
			if c.tenth != "" {
				tenth = kinds[c.tenth]
				if share := float64(tenth) / float64(len(results)); share < .07 || share > .13 {
					t.Errorf("%.2f of the answers are %q, want a tenth", share, c.tenth)
				}
			}
			if len(results) < 30 || kinds[c.want] != len(results)-tenth {
				t.Errorf("%v of %d, want %q", kinds, len(results), c.want)
			}
			for _, r := range results {
				if r.Delay < c.least {
					t.Errorf("delay of %v s, want at least %v", r.Delay, c.least)
				}
			}
		})
	}
}

// Methods, headers and bodies arrive as they are said, with those of the run.
func TestRequestsArrive(t *testing.T) {
	var mu sync.Mutex
	seen := map[string]int{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		mu.Lock()
		defer mu.Unlock()
		seen[strings.Join([]string{r.Method, r.URL.RequestURI(), r.Host, r.Header.Get("X-User"), r.Header.Get("Service"), r.Header.Get("Run"), string(body)}, "|")]++
		w.WriteHeader(http.StatusCreated)
	}))
	t.Cleanup(server.Close)
	g := asking(t, server.URL, request.Client{}, request.Entry{
		Request: request.Request{Method: "PUT", Path: "/a%20b/{id}?q={user}", Headers: map[string]string{"X-User": "{user}", "Host": "shop.example"}, Body: `{"id": {id}}`, Expect: []int{201}},
		Values:  map[string]request.Values{"id": {Min: 1, Max: 2}, "user": {List: []string{"å"}}},
	})
	results := run(t, g, httpload.Step{Load: mesh.Load{100}, Seconds: .3, Run: "r1"})
	n := 0
	for id := 1; id <= 2; id++ {
		n += seen[fmt.Sprintf(`PUT|/a%%20b/%d?q=%%C3%%A5|shop.example|å|service1|r1|{"id": %d}`, id, id)]
	}
	if n < len(results) || len(seen) != 2 || failures(results)["201 "] != len(results) {
		t.Errorf("%v; results %v", seen, failures(results))
	}
}

// Connections are kept or not, of HTTP/1.1 or 2, with TLS or without, as it is
// said.
func TestConnections(t *testing.T) {
	var conns atomic.Int64
	var proto atomic.Value
	start := func(secure bool) *httptest.Server {
		s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			proto.Store(r.Proto)
			time.Sleep(2 * time.Millisecond)
		}))
		s.Config.ConnState = func(_ net.Conn, st http.ConnState) {
			if st == http.StateNew {
				conns.Add(1)
			}
		}
		s.Config.Protocols = new(http.Protocols)
		s.Config.Protocols.SetHTTP1(true)
		s.Config.Protocols.SetHTTP2(true)
		s.Config.Protocols.SetUnencryptedHTTP2(true)
		s.EnableHTTP2 = true
		if secure {
			s.StartTLS()
		} else {
			s.Start()
		}
		t.Cleanup(s.Close)
		return s
	}
	open, secure := start(false), start(true)
	ca := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: secure.Certificate().Raw}))
	for _, c := range []struct {
		name   string
		server *httptest.Server
		client request.Client
		proto  string // "" for no answer
		fresh  bool
	}{
		{"kept", open, request.Client{}, "HTTP/1.1", false},
		{"fresh", open, request.Client{Fresh: true}, "HTTP/1.1", true},
		{"HTTP/2 without TLS", open, request.Client{HTTP: "2"}, "HTTP/2.0", false},
		{"TLS", secure, request.Client{CA: ca}, "HTTP/1.1", false},
		{"HTTP/2", secure, request.Client{CA: ca, HTTP: "2"}, "HTTP/2.0", false},
		{"TLS of an unknown authority", secure, request.Client{}, "", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			conns.Store(0)
			g := asking(t, c.server.URL, c.client, get("/"))
			results := run(t, g, httpload.Step{Load: mesh.Load{100}, Seconds: .3})
			kinds := failures(results)
			if c.proto == "" {
				if kinds["200 "] != 0 || !strings.Contains(fmt.Sprint(kinds), "certificate") {
					t.Errorf("%v", kinds)
				}
				return
			}
			if kinds["200 "] != len(results) || proto.Load() != c.proto {
				t.Errorf("%v over %v, want %s", kinds, proto.Load(), c.proto)
			}
			if n := int(conns.Load()); c.fresh != (n >= len(results)) {
				t.Errorf("%d connections for %d requests", n, len(results))
			}
		})
	}
}

// Sessions keep their order, values and cookies; their requests are as many as
// the load says; one ends with a request that fails.
func TestSessions(t *testing.T) {
	var mu sync.Mutex
	broken := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user := r.URL.Query().Get("u")
		if r.URL.Path == "/login" {
			http.SetCookie(w, &http.Cookie{Name: "user", Value: user})
			return
		}
		if c, err := r.Cookie("user"); err != nil || c.Value != user {
			mu.Lock()
			broken++
			mu.Unlock()
		}
		if r.URL.Path == "/fail" {
			w.WriteHeader(http.StatusInternalServerError)
		}
	}))
	t.Cleanup(server.Close)
	values := map[string]request.Values{"u": {Min: 1, Max: 1000}}
	session := func(last string) request.Entry {
		return request.Entry{Values: values, Pause: .01, Session: []request.Request{{Path: "/login?u={u}"}, {Path: "/a?u={u}"}, {Path: last + "?u={u}"}}}
	}
	g := asking(t, server.URL, request.Client{}, session("/b"))
	const load, seconds = 300, 1.
	results := run(t, g, httpload.Step{Load: mesh.Load{load}, Seconds: seconds})
	if broken > 0 {
		t.Errorf("%d requests came without the cookie of their session", broken)
	}
	// A hundred sessions of three requests: five deviations of their number.
	if math.Abs(float64(len(results))-load*seconds) > 5*3*math.Sqrt(load*seconds/3) || len(results)%3 != 0 {
		t.Errorf("%d requests, want about %v, three of every session", len(results), load*seconds)
	}
	if !slices.IsSortedFunc(results, func(a, b httpload.Result) int { return int(math.Copysign(1, a.At-b.At)) }) {
		t.Error("the results are not in the order of their due times")
	}
	at := map[uint64][]httpload.Result{}
	for _, r := range results {
		at[r.Draw] = append(at[r.Draw], r)
	}
	for _, s := range at {
		for k := 1; k < len(s); k++ {
			if after := s[k].At - (s[k-1].At + s[k-1].Delay); after < .0099 {
				t.Fatalf("a request was due %v s after the answer to the one before, want .01", after)
			}
		}
	}
	g = asking(t, server.URL, request.Client{}, session("/fail"), request.Entry{Session: []request.Request{{Path: "/fail"}, {Path: "/a"}}})
	kinds := map[string]int{}
	results = run(t, g, httpload.Step{Load: mesh.Load{load}, Seconds: .5})
	first := map[uint64]int{}
	for _, r := range results {
		first[r.Draw]++
		if first[r.Draw] == 1 && r.Failure != "" {
			kinds["one"]++
		}
	}
	for draw, n := range first {
		if n != 3 && n != 1 {
			t.Errorf("session %d has %d requests; want 3, or 1 where the first fails", draw, n)
		}
	}
	if kinds["one"] == 0 || kinds["one"] == len(first) {
		t.Errorf("%d of %d sessions ended with their first request", kinds["one"], len(first))
	}
}

// A server that stands still does not keep sessions from arriving, and their
// first requests show it in their delays.
func TestSessionsArriveOpenLoop(t *testing.T) {
	begin := time.Now()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if stop := begin.Add(400 * time.Millisecond); time.Since(begin) > 100*time.Millisecond {
			time.Sleep(time.Until(stop))
		}
	}))
	t.Cleanup(server.Close)
	g := asking(t, server.URL, request.Client{}, request.Entry{Session: []request.Request{{Path: "/a"}, {Path: "/b"}}})
	begin = time.Now()
	waited := 0
	for _, r := range run(t, g, httpload.Step{Load: mesh.Load{400}, Seconds: .5}) {
		if r.At > .12 && r.At < .38 {
			waited++
			if want := .4 - r.At; r.Delay < want-.05 {
				t.Errorf("request due at %.3f s has delay %.3f s, want at least %.3f", r.At, r.Delay, want)
			}
		}
	}
	if waited < 25 {
		t.Errorf("%d requests were due while the server stood still", waited)
	}
}

func TestRequestsRefused(t *testing.T) {
	for _, c := range []struct {
		cfg   httpload.Config
		words string
	}{
		{httpload.Config{Mesh: mesh.New(2, 2), Requests: []request.Mix{{get("/")}}}, "requests of 1 services; the mesh has 2"},
		{httpload.Config{Mesh: mesh.New(1, 2), Requests: []request.Mix{{get("x")}}}, `service service1: request 1: path "x"`},
		{httpload.Config{Mesh: mesh.New(2, 2), Requests: []request.Mix{{get("/")}, nil}}, "numbers of items of 0 microservices"},
		{httpload.Config{Mesh: mesh.New(1, 2), Requests: []request.Mix{{get("/")}}, Client: request.Client{HTTP: "3"}}, `http "3"`},
	} {
		if _, err := httpload.New(c.cfg, 1); err == nil || !strings.Contains(err.Error(), c.words) {
			t.Errorf("%v, want %q", err, c.words)
		}
	}
}
