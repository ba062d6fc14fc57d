package httpload_test

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/meshbench/meshbench/lab/load"
	"github.com/meshbench/meshbench/lab/load/httpload"
	"github.com/meshbench/meshbench/lab/load/request"
	"github.com/meshbench/meshbench/lab/mesh"
)

var long = flag.Bool("long", false, "run the long statistical tests")

func generator(t *testing.T, handler http.HandlerFunc, cfg httpload.Config) *httpload.Generator {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	cfg.Target, cfg.Items = server.URL, []int{10, 20}
	if cfg.Mesh.M() == 0 {
		cfg.Mesh = mesh.New(2, 2)
	}
	cfg.NodeHeader, cfg.FailureHeader, cfg.CallsHeader, cfg.RunHeader = "Node", "Failure", "Calls", "Run"
	g, err := httpload.New(cfg, 1)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(g.Close)
	return g
}

func run(t *testing.T, g *httpload.Generator, step httpload.Step) []httpload.Result {
	t.Helper()
	results, err := g.Run(context.Background(), step)
	if err != nil {
		t.Fatal(err)
	}
	return results
}

// ks is the Kolmogorov-Smirnov statistic, times sqrt(n), of the gaps between
// the given times against the exponential distribution of the given rate. Its
// 1 % point is 1.63.
func ks(times []float64, rate float64) float64 {
	times = slices.Sorted(slices.Values(times))
	var gaps []float64
	for k := 1; k < len(times); k++ {
		gaps = append(gaps, times[k]-times[k-1])
	}
	slices.Sort(gaps)
	n, d := float64(len(gaps)), 0.0
	for k, g := range gaps {
		f := 1 - math.Exp(-rate*g)
		d = max(d, f-float64(k)/n, float64(k+1)/n-f)
	}
	return d * math.Sqrt(n)
}

// ksBatches is the median of ks over batches of 1,000 times or more. With
// 100,000 at once the test would see timers that are late by microseconds.
func ksBatches(times []float64, rate float64) float64 {
	times = slices.Sorted(slices.Values(times))
	batches := max(1, len(times)/1000)
	var all []float64
	for k := range batches {
		all = append(all, ks(times[k*len(times)/batches:(k+1)*len(times)/batches], rate))
	}
	slices.Sort(all)
	return all[batches/2]
}

// arrivals is the schedule of one service's requests in a step of that many
// seconds, drawn apart from the generator; its stream draws 2 s at a time.
func arrivals(rate, seconds float64, seed uint64, step int) []float64 {
	var times []float64
	for c := 0; 2*float64(c) < seconds; c++ {
		for _, at := range load.Arrivals(nil, rate, 2, seed, step<<20+c, 0) {
			if at += 2 * float64(c); at < seconds {
				times = append(times, at)
			}
		}
	}
	return times
}

// rates checks that the generator sends exactly the requests of the schedule,
// whose gaps are exponential, and how late. With quiet set, on a machine that
// has nothing else to do, it also judges the times of sending: 1 % of the rate,
// and the gaps again.
func rates(t *testing.T, rates []float64, seconds float64, reply time.Duration, quiet bool) {
	for _, rate := range rates {
		t.Run(fmt.Sprint(rate), func(t *testing.T) {
			g := generator(t, func(http.ResponseWriter, *http.Request) { time.Sleep(reply) }, httpload.Config{})
			run(t, g, httpload.Step{Number: 0, Load: mesh.Load{rate, 0}, Seconds: .2}) // opens connections
			results := run(t, g, httpload.Step{Number: 1, Load: mesh.Load{rate, 0}, Seconds: seconds})
			scheduled := arrivals(rate, seconds, 1, 1)
			if len(results) != len(scheduled) {
				t.Fatalf("%d requests were sent, %d scheduled", len(results), len(scheduled))
			}
			var sent, lags []float64
			for k, r := range results {
				if r.Status != http.StatusOK {
					t.Errorf("request at %v: status %d %s", r.At, r.Status, r.Failure)
				}
				if r.At != scheduled[k] {
					t.Fatalf("request %d was due at %v s, scheduled for %v s", k, r.At, scheduled[k])
				}
				if r.Delay < r.Lag+reply.Seconds() {
					t.Errorf("request at %v: delay %v s, lag %v s, the server takes %v", r.At, r.Delay, r.Lag, reply)
				}
				sent = append(sent, r.At+r.Lag)
				lags = append(lags, r.Lag)
			}
			slices.Sort(lags)
			first, last := slices.Min(sent), slices.Max(sent)
			median, n := lags[len(lags)/2], float64(len(sent)-1)
			achieved, want := n/(last-first), n/(scheduled[len(scheduled)-1]-scheduled[0])
			due, gaps := ks(scheduled, rate), ksBatches(sent, rate)
			t.Logf("%d requests; %.2f/s sent, %.2f/s scheduled (%+.3f %%); lag median %.3f ms, largest %.3f ms; KS of the schedule %.2f, of sending %.2f (all at once %.2f)",
				len(sent), achieved, want, 100*(achieved/want-1), 1e3*median, 1e3*lags[len(lags)-1], due, gaps, ks(sent, rate))
			if due > 1.63 {
				t.Errorf("gaps of the schedule are not exponential: KS %.2f", due)
			}
			if limit := map[bool]float64{true: .005, false: .25}[quiet]; median > limit {
				t.Errorf("half of the requests were sent more than %.3f s late", median)
			}
			if quiet && math.Abs(achieved/want-1) > .01 {
				t.Errorf("%.2f requests/s were sent, %.2f scheduled", achieved, want)
			}
			if quiet && gaps > 1.63 {
				t.Errorf("gaps between requests sent are not exponential: KS %.2f", gaps)
			}
		})
	}
}

func TestRates(t *testing.T) { rates(t, []float64{200, 1000}, 1, 0, false) }

func TestLongRates(t *testing.T) {
	if !*long {
		t.Skip("60 s for each of four rates: run with -long")
	}
	rates(t, []float64{5, 20, 200, 2000}, 60, 0, true)
}

// A server that takes 300 ms for every reply, so that up to 600 requests are
// under way, does not slow the generator.
func TestLongSlowServer(t *testing.T) {
	if !*long {
		t.Skip("20 s for each of two rates: run with -long")
	}
	rates(t, []float64{200, 2000}, 20, 300*time.Millisecond, true)
}

// A server that stands still for a while does not slow the generator, and the
// requests that were due meanwhile show it in their delays.
func TestCoordinatedOmission(t *testing.T) {
	begin := time.Now()
	g := generator(t, func(w http.ResponseWriter, r *http.Request) {
		if stop := begin.Add(400 * time.Millisecond); time.Since(begin) > 100*time.Millisecond {
			time.Sleep(time.Until(stop))
		}
	}, httpload.Config{})
	begin = time.Now()
	results := run(t, g, httpload.Step{Load: mesh.Load{100, 100}, Seconds: .5})
	waited := 0
	var lags []float64
	for _, r := range results {
		lags = append(lags, r.Lag)
		if r.At > .12 && r.At < .38 {
			waited++
			if want := .4 - r.At; r.Delay < want-.05 {
				t.Errorf("request due at %.3f s has delay %.3f s, want at least %.3f", r.At, r.Delay, want)
			}
		}
	}
	slices.Sort(lags)
	if late := lags[len(lags)/2]; late > .1 {
		t.Errorf("half of the requests were sent more than %.3f s late", late)
	}
	if waited < 25 {
		t.Errorf("%d requests were sent while the server stood still", waited)
	}
}

func TestOutcomes(t *testing.T) {
	var log bytes.Buffer
	var progress httpload.Progress
	g := generator(t, func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/service1/") {
			w.Header().Set("Failure", "blocked")
			w.WriteHeader(http.StatusTooManyRequests)
			return
		}
		w.Header().Set("Node", "node2")
		if strings.HasSuffix(r.URL.Path, "/0") {
			<-r.Context().Done() // until the generator gives up
		}
	}, httpload.Config{TimeScale: 10, Client: request.Client{Timeout: 40}, Log: &log, Progress: func(p httpload.Progress) { progress = p }})
	results := run(t, g, httpload.Step{Number: 3, Load: mesh.Load{20, 40}, Settle: .5, Seconds: 5})
	if len(results) < 200 {
		t.Fatalf("%d results", len(results))
	}
	for _, r := range results {
		want := httpload.Result{Status: 429, Failure: "blocked"}
		switch {
		case r.Service == 1 && r.Draw%20 == 0:
			want = httpload.Result{Failure: "time-out"}
		case r.Service == 1:
			want = httpload.Result{Status: 200, Node: "node2"}
		}
		if r.Status != want.Status || r.Failure != want.Failure || r.Node != want.Node {
			t.Errorf("%+v, want %+v", r, want)
		}
		if r.At < .5 || r.At >= 5.5 {
			t.Errorf("a request of %.2f s is reported", r.At)
		}
	}
	if n := strings.Count(log.String(), "\n"); n != len(results)+1 {
		t.Errorf("%d lines in the log of %d requests", n, len(results))
	}
	if progress.Step != 3 || progress.Requests != len(results) {
		t.Errorf("progress %+v", progress)
	}
	again := run(t, g, httpload.Step{Number: 3, Load: mesh.Load{20, 40}, Settle: .5, Seconds: 5})
	for k := range again {
		if again[k].Request != results[k].Request {
			t.Fatalf("request %d is %+v, was %+v", k, again[k].Request, results[k].Request)
		}
	}
}

func TestNoServer(t *testing.T) {
	g, err := httpload.New(httpload.Config{Mesh: mesh.New(2, 2), Target: "http://127.0.0.1:1", Items: []int{1, 1}}, 1)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range run(t, g, httpload.Step{Load: mesh.Load{50, 0}, Seconds: .2}) {
		if !strings.HasPrefix(r.Failure, "connection: ") || r.Status != 0 {
			t.Errorf("%+v", r)
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if _, err := g.Run(ctx, httpload.Step{Load: mesh.Load{0, 0}, Seconds: 5}); err == nil {
		t.Error("a cancelled step gave no error")
	}
	for _, cfg := range []httpload.Config{{Mesh: mesh.New(2, 2), TimeScale: -1, Items: []int{1, 1}}, {Mesh: mesh.New(2, 2), Items: []int{1}},
		{Mesh: mesh.New(2, 2), Items: []int{0, 1}}, {Items: []int{1, 1}}, {Mesh: mesh.New(2, 2), Items: []int{1, 1}, Client: request.Client{Timeout: math.NaN()}}} {
		if _, err := httpload.New(cfg, 1); err == nil {
			t.Errorf("%+v was accepted", cfg)
		}
	}
}
