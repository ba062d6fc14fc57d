package prometheus_test

import (
	"context"
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/meshbench/meshbench/lab/prometheus"
	"github.com/meshbench/meshbench/lab/scenario"
	"github.com/meshbench/meshbench/lab/testbed"
	bed "github.com/meshbench/meshbench/lab/testbed/http"
	"github.com/meshbench/meshbench/lab/trace"
)

const quotes = `name: quotes
nodes: [{name: v1}, {name: v2}]
microservices: [{name: quote, nodes: [v1, v2], time: 0.01}]
services:
  - {name: quote, stages: [quote], load: {min: 20, max: 40}, goal: 0.05, requests: [{path: /quote}]}
timing: {step: 0.2, settle: 0.05}
application:
  nodes: {v1: "%s", v2: "%s"}
platform:
  prometheus: "%s"
  window: 3
  columns:
    - {name: cpu_v1, of: cpu, node: v1}
    - {name: waiting, query: 'sum(rate(queue[$window]))'}
`

// api is the HTTP API of a Prometheus that has some answers by query.
type api struct {
	*httptest.Server
	mu      sync.Mutex
	answers map[string]string // by what is in the query: the body
	asked   []string
	at      []string
}

func newAPI(t *testing.T) *api {
	a := &api{answers: map[string]string{}}
	a.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/api/v1/query" || r.ParseForm() != nil {
			http.NotFound(w, r)
			return
		}
		query := r.Form.Get("query")
		a.mu.Lock()
		defer a.mu.Unlock()
		a.asked, a.at = append(a.asked, query), append(a.at, r.Form.Get("time"))
		w.Header().Set("Content-Type", "application/json")
		for part, body := range a.answers {
			if strings.Contains(query, part) {
				if strings.Contains(body, `"error"`) {
					w.WriteHeader(http.StatusBadRequest)
				}
				fmt.Fprint(w, body)
				return
			}
		}
		fmt.Fprint(w, vector())
	}))
	t.Cleanup(a.Close)
	return a
}

func (a *api) answer(part, body string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.answers[part] = body
}

func vector(values ...string) string {
	var list []string
	for k, v := range values {
		list = append(list, fmt.Sprintf(`{"metric":{"pod":"p%d"},"value":[1700000000.5,"%s"]}`, k, v))
	}
	return `{"status":"success","data":{"resultType":"vector","result":[` + strings.Join(list, ",") + `]}}`
}

func parse(t *testing.T, text string) scenario.Scenario {
	t.Helper()
	s, err := scenario.Parse("quotes.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// A trace has what Prometheus measured as further columns: of the step's end, by
// the templates filled in; missing where it has nothing.
func TestColumns(t *testing.T) {
	a := newAPI(t)
	a.answer("container_cpu_usage", vector("0.25"))
	a.answer("rate(queue", `{"status":"success","data":{"resultType":"scalar","result":[1700000000,"-3.5"]}}`)
	var urls []any
	for range 2 {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprintln(w, "42") }))
		t.Cleanup(s.Close)
		urls = append(urls, s.URL)
	}
	s := parse(t, fmt.Sprintf(quotes, append(urls, a.URL)...))
	p, err := prometheus.New(s)
	if err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	if err := p.Check(ctx); err != nil {
		t.Fatal(err)
	}
	b, err := bed.New(ctx, bed.Config{Scenario: s, Platform: p})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	file := filepath.Join(t.TempDir(), "quotes.csv")
	collect := func(steps int) *trace.Table {
		t.Helper()
		if _, err := testbed.CollectFile(ctx, b, file, testbed.Collection{Scenario: s, Steps: steps, Seed: 1, Reference: -1}); err != nil {
			t.Fatal(err)
		}
		x, err := trace.Read(file, trace.ReadOptions{Space: s.MustSpace()})
		if err != nil {
			t.Fatal(err)
		}
		return x
	}
	begin := time.Now()
	collect(2)
	a.mu.Lock()
	last := len(a.asked) - 1
	if q := strings.Join(a.asked[last-1:], " "); !strings.Contains(q, `rate(container_cpu_usage_seconds_total{namespace="meshbench",pod=~"v1-.*",container!="",container!="istio-proxy"}[3000ms])`) || !strings.Contains(q, "sum(rate(queue[3000ms]))") {
		t.Errorf("it was asked for %s", q)
	}
	var at float64
	if _, err := fmt.Sscan(a.at[last], &at); err != nil || at < float64(begin.UnixMilli())/1e3 || at > float64(time.Now().UnixMilli())/1e3+1 {
		t.Errorf("as of %s", a.at[last])
	}
	a.mu.Unlock()
	// It loses one, does not know another, and goes away: the steps are sound.
	a.answer("container_cpu_usage", vector())
	a.answer("rate(queue", vector("NaN"))
	collect(3)
	a.answer("container_cpu_usage", vector("1", "2"))
	collect(4)
	a.Close()
	x := collect(5)
	cpu, err := x.Column("cpu_v1")
	if err != nil {
		t.Fatal(err)
	}
	waiting, err := x.Column("waiting")
	if err != nil {
		t.Fatal(err)
	}
	for r := range x.Len() {
		want, want2 := .25, -3.5
		if r > 1 {
			want, want2 = math.NaN(), math.NaN()
		}
		if same := func(a, b float64) bool { return a == b || math.IsNaN(a) && math.IsNaN(b) }; !same(cpu[r], want) || !same(waiting[r], want2) || x.Row(r).Measurement.Mark != "" {
			t.Errorf("row %d: cpu_v1 %v, waiting %v, mark %q; want %v and %v", r, cpu[r], waiting[r], x.Row(r).Measurement.Mark, want, want2)
		}
	}
	missing := fmt.Sprint(b.Unmeasured())
	for _, want := range []string{"cpu_v1: it gives 2 series; accepted: one, such as of sum(...)", "connection refused"} {
		if !strings.Contains(missing, want) {
			t.Errorf("%q is not in %s", want, missing)
		}
	}
}

// What a scenario or a Prometheus does not know is said before a run.
func TestBad(t *testing.T) {
	a := newAPI(t)
	text := fmt.Sprintf(quotes, "http://127.0.0.1:1", "http://127.0.0.1:1", a.URL)
	for _, c := range []struct{ old, new, want string }{
		{"of: cpu", "of: gpu", `platform: column cpu_v1 of "gpu"; accepted: cpu, delay, rate, throttled`},
		{", node: v1", "", "platform: column cpu_v1 is of no node"},
		{"node: v1", "node: v3", `platform: column cpu_v1 is of node "v3"; accepted: v1, v2`},
		{"name: waiting", "name: cpu_v1", `platform: column "cpu_v1"`},
		{"query: 'sum(rate(queue[$window]))'", "of: rate, query: x", "one of both"},
		{"window: 3", "window: -3", "platform: window -3 s"},
		{`prometheus: "` + a.URL, `prometheus: "prometheus`, `platform: prometheus "prometheus"; accepted: a URL`},
	} {
		if _, err := scenario.Parse("x.yaml", []byte(strings.Replace(text, c.old, c.new, 1))); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.new, err, c.want)
		}
	}
	p, err := prometheus.New(parse(t, text))
	if err != nil {
		t.Fatal(err)
	}
	a.answer("rate(queue", `{"status":"error","errorType":"bad_data","error":"parse error"}`)
	if err := p.Check(context.Background()); err == nil || !strings.Contains(err.Error(), "column waiting, query sum(rate(queue[3000ms])): bad_data: parse error") || strings.Contains(err.Error(), "\n") {
		t.Errorf("%v", err)
	}
	for body, want := range map[string]string{
		`{"status":"success"}`: "its answer has no data",
		`{"status":"success","data":{"resultType":"matrix","result":[]}}`: "it gives a matrix; accepted: one number",
	} {
		a.answer("rate(queue", body)
		if err := p.Check(context.Background()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", body, err, want)
		}
	}
	// What stands before it answers in words of its own, of any length.
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusUnauthorized)
		fmt.Fprint(w, "sign in\nat the portal", strings.Repeat(" ", 9), strings.Repeat("x", 9999))
	}))
	defer proxy.Close()
	if p, err = prometheus.New(parse(t, strings.Replace(text, a.URL, proxy.URL, 1))); err != nil {
		t.Fatal(err)
	}
	if err := p.Check(context.Background()); err == nil || !strings.Contains(err.Error(), "client error: 401: sign in at the portal xx") || len(err.Error()) > 1000 {
		t.Errorf("%v", err)
	}
	if _, err := prometheus.New(scenario.Paper()); err == nil || !strings.Contains(err.Error(), "no platform") {
		t.Errorf("of none: %v", err)
	}
}
