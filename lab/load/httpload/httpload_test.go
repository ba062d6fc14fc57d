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

	"meshbench/lab/load"
	"meshbench/lab/load/httpload"
	"meshbench/lab/mesh"
)

var long = flag.Bool("long", false, "run the long statistical tests")

func generator(t *testing.T, handler http.HandlerFunc, cfg httpload.Config) *httpload.Generator {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	cfg.Target, cfg.Items = server.URL, []int{10, 20}
	cfg.NodeHeader, cfg.FailureHeader = "Node", "Failure"
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
// the given times against the exponential distribution of the given rate.
func ks(times []float64, rate float64) float64 {
	slices.Sort(times)
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

// The generator sends what is scheduled, when it is scheduled: gaps between the
// times of sending pass a Kolmogorov-Smirnov test (1.63 is the 1 % point).
func rates(t *testing.T, rates []float64, seconds float64) {
	for _, rate := range rates {
		t.Run(fmt.Sprint(rate), func(t *testing.T) {
			g := generator(t, func(http.ResponseWriter, *http.Request) {}, httpload.Config{})
			run(t, g, httpload.Step{Number: 0, Load: mesh.Load{rate, 0}, Seconds: .2}) // opens connections
			begin := time.Now()
			results := run(t, g, httpload.Step{Number: 1, Load: mesh.Load{rate, 0}, Seconds: seconds})
			elapsed := time.Since(begin).Seconds()
			var scheduled []float64
			for c := 0; 2*float64(c) < seconds; c++ { // the stream draws 2 s at a time
				for _, at := range load.Arrivals(nil, rate, 2, 1, 1<<20+c, 0) {
					if at += 2 * float64(c); at < seconds {
						scheduled = append(scheduled, at)
					}
				}
			}
			var sent []float64
			lag, worst := 0.0, 0.0
			for _, r := range results {
				if r.Status != http.StatusOK {
					t.Errorf("request at %v: status %d %s", r.At, r.Status, r.Failure)
				}
				sent = append(sent, r.At+r.Lag)
				lag += r.Lag / float64(len(results))
				worst = max(worst, r.Lag)
			}
			// A machine that is busy with other tests sends late; the schedule
			// itself is exact, and what was sent is judged on a quiet machine.
			if !*long {
				sent = scheduled
			}
			d := ks(sent, rate)
			t.Logf("%d requests of %d scheduled, %.1f/s in %.2f s; lag mean %.3f ms, largest %.3f ms; KS %.2f",
				len(sent), len(scheduled), float64(len(sent))/seconds, elapsed, 1e3*lag, 1e3*worst, d)
			if len(results) != len(scheduled) {
				t.Errorf("%d requests were sent, %d scheduled", len(results), len(scheduled))
			}
			if achieved := float64(len(sent)) / elapsed; *long && math.Abs(achieved/(float64(len(scheduled))/seconds)-1) > .01+.05/seconds {
				t.Errorf("%.1f requests/s, scheduled %.1f", achieved, float64(len(scheduled))/seconds)
			}
			if d > 1.63 {
				t.Errorf("gaps are not exponential: KS %.2f", d)
			}
		})
	}
}

func TestRates(t *testing.T) { rates(t, []float64{200, 1000}, 1) }

func TestLongRates(t *testing.T) {
	if !*long {
		t.Skip("60 s for each of four rates: run with -long")
	}
	rates(t, []float64{5, 20, 200, 2000}, 60)
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
	if late := lags[len(lags)/2]; late > .05 {
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
			time.Sleep(300 * time.Millisecond)
		}
	}, httpload.Config{TimeScale: 10, Timeout: 1, Log: &log, Progress: func(p httpload.Progress) { progress = p }})
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
	g, err := httpload.New(httpload.Config{Target: "http://127.0.0.1:1", Items: []int{1, 1}}, 1)
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
	for _, cfg := range []httpload.Config{{TimeScale: -1, Items: []int{1, 1}}, {Items: []int{1}}, {Items: []int{0, 1}}} {
		if _, err := httpload.New(cfg, 1); err == nil {
			t.Errorf("%+v was accepted", cfg)
		}
	}
}
