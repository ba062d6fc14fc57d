// Package httpload offers load over HTTP: an open-loop generator that sends
// each request at its scheduled time, whatever becomes of the others. A delay
// counts from the scheduled time, so that neither a slow server nor a late
// generator makes it look shorter (coordinated omission). What is asked for are
// the items of this project's services, or requests that a scenario has as data
// (package request).
package httpload

import (
	"cmp"
	"context"
	"encoding/csv"
	"fmt"
	"io"
	"math"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/meshbench/meshbench/lab/load/pace"
	"github.com/meshbench/meshbench/lab/load/request"
	"github.com/meshbench/meshbench/lab/load/stream"
	"github.com/meshbench/meshbench/lab/mesh"
	"github.com/meshbench/meshbench/lab/service/call"
)

// Config describes a generator. Times and rates are unscaled.
type Config struct {
	Target string    // base URL of the front, or of what is asked
	Mesh   mesh.Mesh // its services are asked for
	// Requests has what each service is asked for. Default GET
	// {Target}/{service}/items/{key}, for all services or for those of an empty
	// mix. A session's requests count one by one: as many are offered in a second
	// as the load says.
	Requests  []request.Mix
	Items     []int   // number of items of each of the layout's microservices; needed where items are asked for
	TimeScale float64 // divides times and multiplies rates; default 1
	Client    request.Client
	// NodeHeader and FailureHeader name the headers of a reply that say which
	// node served it and why there is no item, CallsHeader that of the calls that
	// were made for it (see package call).
	NodeHeader, FailureHeader, CallsHeader string
	// RunHeader names the header of requests that has a step's Run, ServiceHeader
	// that with the name of the service.
	RunHeader, ServiceHeader string
	Log                      io.Writer      // of all requests as CSV; default none
	Progress                 func(Progress) // called after every step; default none
}

// Progress tells how far a run is.
type Progress struct {
	Step     int
	Requests int // of all steps so far
	Failed   int
}

// Result is what became of one request.
type Result struct {
	stream.Request
	Lag     float64     // time from when it was due to when it was sent, s unscaled
	Delay   float64     // time from when it was due to when the whole reply was there, s unscaled
	Status  int         // HTTP status; 0 where there was no reply
	Node    string      // that served it, or failed; "" when unknown
	Failure string      // why there is no good answer, in a few words; "" where there is one
	Calls   []call.Call `json:",omitempty"` // that were answered, where the reply tells; s unscaled
}

// Step tells the course of one step, in unscaled seconds: load is offered for
// Settle without being reported, then for Seconds, and then on until the last
// reply to a reported request is there.
type Step struct {
	Number          int
	Load            mesh.Load // requests/s per service
	Settle, Seconds float64
	Run             string `json:",omitempty"` // what the requests have in Config.RunHeader
}

// source is what a service is asked for: the requests that an arrival makes and
// the s between them.
type source struct {
	draw   func(draw uint64) (calls []request.Call, pause float64)
	length float64 // mean number of requests of an arrival
}

// Generator sends requests. It is for one goroutine.
type Generator struct {
	cfg      Config
	client   *http.Client
	requests *stream.Stream
	names    []string // of the services
	sources  []source // of what they are asked for
	arrivals mesh.Load
	progress Progress
	csv      *csv.Writer

	ctx     context.Context // of the requests under way, which outlive their step
	cancel  context.CancelFunc
	sending sync.WaitGroup
}

// New returns a generator that will repeat the same requests for the same seed.
func New(cfg Config, seed uint64) (*Generator, error) {
	if cfg.TimeScale == 0 {
		cfg.TimeScale = 1
	}
	cfg.Client = cfg.Client.Defaults()
	if !(cfg.TimeScale > 0) || math.IsInf(cfg.TimeScale, 1) {
		return nil, fmt.Errorf("httpload: time scale %v; accepted: a finite number above 0", cfg.TimeScale)
	}
	if err := cfg.Mesh.Validate(); err != nil {
		return nil, fmt.Errorf("httpload: %w", err)
	}
	transport, err := cfg.Client.Transport()
	if err != nil {
		return nil, fmt.Errorf("httpload: %w", err)
	}
	g := &Generator{cfg: cfg, names: cfg.Mesh.ServiceNames(), arrivals: make(mesh.Load, cfg.Mesh.M()),
		client: &http.Client{Transport: transport, CheckRedirect: cfg.Client.Redirect}}
	if g.sources, err = sources(cfg); err != nil {
		return nil, fmt.Errorf("httpload: %w", err)
	}
	if cfg.Log != nil {
		g.csv = csv.NewWriter(cfg.Log)
		if err := g.write(logHeader); err != nil {
			return nil, err
		}
	}
	g.ctx, g.cancel = context.WithCancel(context.Background())
	return g, g.Reset(g.ctx, seed)
}

// Reset gives up the requests under way and begins again from seed. It returns
// no error but the context's.
func (g *Generator) Reset(ctx context.Context, seed uint64) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	g.abandon()
	g.ctx, g.cancel = context.WithCancel(context.Background())
	g.requests = stream.New(g.cfg.Mesh.M(), seed)
	g.progress = Progress{}
	return nil
}

func (g *Generator) abandon() {
	g.cancel()
	g.sending.Wait()
}

// Close gives up the requests under way and drops the connections.
func (g *Generator) Close() {
	g.abandon()
	g.client.CloseIdleConnections()
}

// drainPoll is how often the end of a step's replies is looked for.
const drainPoll = time.Millisecond

// Run makes one step and returns what became of its reported requests, in the
// order of their due times; those of a session count for the step in which it
// arrived. Other requests may still be under way then, as they
// would be if the load went on. An error, such as the context's, means that the
// step was not made.
func (g *Generator) Run(ctx context.Context, step Step) ([]Result, error) {
	if len(step.Load) != len(g.names) {
		return nil, fmt.Errorf("httpload: %d loads for %d services", len(step.Load), len(g.names))
	}
	if err := stream.Check(step.Load, step.Settle+step.Seconds); err != nil {
		return nil, fmt.Errorf("httpload: %w", err)
	}
	timer, err := pace.New(ctx)
	if err != nil {
		return nil, err
	}
	defer timer.Close()
	var (
		reported []*arrival
		pending  atomic.Int64
	)
	for i, l := range step.Load {
		g.arrivals[i] = l / g.sources[i].length
	}
	g.requests.Begin(step.Number, g.arrivals)
	begin := time.Now()
	at := func(s float64) time.Time { return begin.Add(time.Duration(s / g.cfg.TimeScale * 1e9)) }
	from, to := step.Settle, step.Settle+step.Seconds
	next := g.requests.Next()
	for {
		now := time.Now()
		wake := at(to)
		if inWindow := now.Before(wake); !inWindow {
			if pending.Load() == 0 && next.At >= to {
				break
			}
			wake = now.Add(drainPoll)
		}
		if !math.IsInf(next.At, 1) && at(next.At).Before(wake) {
			due := at(next.At)
			if err := timer.Until(due); err != nil {
				return nil, err
			}
			x := &arrival{Request: next}
			counts := next.At >= from && next.At < to
			if counts {
				reported = append(reported, x)
				pending.Add(1)
			}
			g.sending.Go(func() {
				g.arrive(g.ctx, x, due, step.Run)
				if counts {
					pending.Add(-1)
				}
			})
			next = g.requests.Next()
			continue
		}
		if err := timer.Until(wake); err != nil {
			return nil, err
		}
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	var out []Result
	for _, x := range reported {
		out = append(out, x.results...)
	}
	slices.SortStableFunc(out, func(a, b Result) int { return cmp.Compare(a.At, b.At) })
	for _, r := range out {
		g.progress.Requests++
		if r.Failure != "" {
			g.progress.Failed++
		}
	}
	g.progress.Step = step.Number
	if err := g.log(step.Number, out); err != nil {
		return nil, err
	}
	if g.cfg.Progress != nil {
		g.cfg.Progress(g.progress)
	}
	return out, nil
}

var logHeader = []string{"step", "service", "due", "lag", "status", "node", "failure", "delay", "calls"}

// log writes the requests of a step: times in unscaled s, due from the
// beginning of the step.
func (g *Generator) log(step int, results []Result) error {
	if g.csv == nil {
		return nil
	}
	rows := make([][]string, len(results))
	for k, r := range results {
		seconds := func(v float64) string { return strconv.FormatFloat(v, 'f', 6, 64) }
		rows[k] = []string{strconv.Itoa(step), g.names[r.Service], seconds(r.At), seconds(r.Lag), strconv.Itoa(r.Status),
			r.Node, r.Failure, seconds(r.Delay), call.Format(r.Calls)}
	}
	return g.write(rows...)
}

// write writes rows through, so that the log has whole steps.
func (g *Generator) write(rows ...[]string) error {
	if err := g.csv.WriteAll(rows); err != nil {
		return fmt.Errorf("httpload: request log: %w", err)
	}
	return nil
}
