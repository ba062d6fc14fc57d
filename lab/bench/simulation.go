package bench

import (
	"container/heap"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"

	"github.com/meshbench/meshbench/lab/internal/median"
	"github.com/meshbench/meshbench/lab/load/httpload"
	"github.com/meshbench/meshbench/lab/load/request"
	"github.com/meshbench/meshbench/lab/mesh"
	"github.com/meshbench/meshbench/lab/scenario"
	"github.com/meshbench/meshbench/lab/service"
	"github.com/meshbench/meshbench/lab/testbed/local"
	"github.com/meshbench/meshbench/lab/testbed/virtual"
)

// simulatedSteps of a load without blocking are simulated, of which node1 is asked
// for a share simulatedRoute.
const (
	simulatedSteps = 2000
	simulatedRoute = .4
)

var simulatedLoad = mesh.Load{10, 10}

// simulate measures requests of the virtual testbed per second of processor time.
func (d *data) simulate(ctx context.Context, got results, seed uint64) error {
	bed, err := virtual.New(virtual.Config{Scenario: d.scenario})
	if err != nil {
		return err
	}
	action := bed.Space().Default()
	for _, k := range bed.Space().Knobs() {
		if k.Kind == mesh.Route {
			copy(action[k.First:], []float64{simulatedRoute, 1 - simulatedRoute})
		}
	}
	if err := bed.Reset(ctx, seed); err != nil {
		return err
	}
	requests := 0.0
	count, sum := make([]float64, len(simulatedLoad)), make([]float64, len(simulatedLoad))
	t, err := processorSeconds(func() error {
		for range simulatedSteps {
			x, err := bed.Measure(ctx, simulatedLoad, action)
			if err != nil {
				return err
			}
			for i, s := range x.Service {
				count[i], sum[i] = count[i]+s.Count, sum[i]+s.Count*s.Mean
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	checks := map[string]float64{}
	for i := range count {
		requests += count[i] * bed.Timing().Seconds() / bed.Timing().Step
		checks[fmt.Sprintf("mean delay %d", i+1)] = sum[i] / count[i]
	}
	got[simulation] = result{requests / t, checks}
	return nil
}

// times is a heap of moments.
type times []float64

func (t times) Len() int           { return len(t) }
func (t times) Less(i, j int) bool { return t[i] < t[j] }
func (t times) Swap(i, j int)      { t[i], t[j] = t[j], t[i] }
func (t *times) Push(x any)        { *t = append(*t, x.(float64)) }
func (t *times) Pop() any {
	old := *t
	x := old[len(old)-1]
	*t = old[:len(old)-1]
	return x
}

// floor is what no simulation of requests can do without: three random numbers, one
// of them exponential, and an event in and out of a heap.
func floor(_ context.Context, _ Config, d *data) (string, results, error) {
	const n = 2_000_000
	rng := rand.New(rand.NewPCG(0, 0))
	h := times{0}
	sum := 0.0
	t, err := processorSeconds(func() error {
		for range n {
			now := heap.Pop(&h).(float64)
			sum += float64(rng.IntN(2)) + d.times[0][rng.IntN(len(d.times[0]))]
			heap.Push(&h, now+rng.ExpFloat64())
		}
		return nil
	})
	if !(sum > 0) {
		return "", nil, fmt.Errorf("service times of %v s", sum)
	}
	return "", results{simulation: {Value: n / t}}, err
}

// rate is what generators offer in requests, for so many seconds.
const (
	rate    = 2000
	offered = 5
)

// requests measures the load generator at a handler that answers at once, and the
// front and four nodes of the local testbed with items that take .5 ms: what they add
// to that, the queues of nodes that work for a quarter of the time included.
func (d *data) requests(ctx context.Context, got results, seed uint64) error {
	server, err := answering()
	if err != nil {
		return err
	}
	defer server.Close()
	g, err := httpload.New(httpload.Config{Target: "http://" + server.Address, Mesh: mesh.Single([]string{"s"}, []string{"node"}),
		Requests: []request.Mix{{{Request: request.Request{Path: "/"}}}}}, seed)
	if err != nil {
		return err
	}
	list, err := g.Run(ctx, httpload.Step{Load: mesh.Load{rate}, Settle: 1, Seconds: offered})
	if err != nil {
		return err
	}
	var delays []float64
	failed := 0.0
	for _, r := range list {
		if r.Failure != "" {
			failed++
		}
		delays = append(delays, r.Delay-r.Lag) // as fortio counts: from when a request was sent
	}
	got[generator] = result{median.Of(delays), map[string]float64{"requests/s": float64(len(list)) / offered, "failed": failed}}
	return d.through(ctx, got, seed)
}

// answering is a handler that answers at once.
func answering() (*service.Running, error) {
	return service.Serve("the handler", "", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "ok") }), service.Limits{})
}

const quick = `
name: quick
nodes: [{name: a, speed: 10}, {name: b, speed: 10}, {name: c, speed: 10}, {name: d, speed: 10}]
microservices: [{name: s, nodes: [a, b, c, d], time: 0.005, variation: 0.2, items: 100}]
services: [{name: s, stages: [s], load: {min: 1, max: 2000}, goal: 1}]
knobs: [{kind: block, levels: 2}]
objectives: [{name: all, terms: [{product: [carried s]}]}]
timing: {step: 5, settle: 1}
link: -1
`

// through measures the median delay of a request through front and node.
func (d *data) through(ctx context.Context, got results, seed uint64) error {
	s, err := scenario.Parse("quick", []byte(quick))
	if err != nil {
		return err
	}
	bed, err := local.New(ctx, local.Config{Scenario: s, TimeScale: 1})
	if err != nil {
		return err
	}
	defer bed.Close()
	if err := bed.Reset(ctx, seed); err != nil {
		return err
	}
	x, err := bed.Measure(ctx, mesh.Load{rate}, bed.Space().Default())
	if err != nil {
		return err
	}
	got[front] = result{x.Service[0].P50 - s.Work[0].Time/s.Mesh.Speed(0), map[string]float64{"requests/s": x.Carried[0], "failed": x.Failed[0]}}
	return nil
}

// fortio offers the same load to the same handler, from 8 connections.
func fortio(ctx context.Context, cfg Config, _ *data) (version string, got results, err error) {
	program := filepath.Join(cfg.Tools, "fortio")
	if _, err := os.Stat(program); err != nil {
		return "", nil, err
	}
	server, err := answering()
	if err != nil {
		return "", nil, err
	}
	defer server.Close()
	cmd := exec.CommandContext(ctx, program, "load", "-qps", fmt.Sprint(rate), "-c", "8", "-t", fmt.Sprintf("%ds", offered), "-uniform", "-nocatchup",
		"-r", "0.00001", "-p", "50", "-loglevel", "Error", "-json", "-", "http://"+server.Address+"/")
	b, err := cmd.Output()
	if err != nil {
		return "", nil, err
	}
	var report struct {
		Version           string
		ActualQPS         float64
		RetCodes          map[string]float64
		DurationHistogram struct {
			Count       float64
			Percentiles []struct{ Percentile, Value float64 }
		}
	}
	if err := json.Unmarshal(b, &report); err != nil {
		return "", nil, err
	}
	h := report.DurationHistogram
	at := slices.IndexFunc(h.Percentiles, func(p struct{ Percentile, Value float64 }) bool { return p.Percentile == 50 })
	if at < 0 {
		return "", nil, fmt.Errorf("fortio printed no median")
	}
	return report.Version, results{generator: {h.Percentiles[at].Value, map[string]float64{"requests/s": report.ActualQPS, "failed": h.Count - report.RetCodes["200"]}}}, nil
}
