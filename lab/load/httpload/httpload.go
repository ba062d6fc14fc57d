// Package httpload offers load over HTTP: an open-loop generator that sends
// each request at its scheduled time, whatever becomes of the others. A delay
// counts from the scheduled time, so that neither a slow server nor a late
// generator makes it look shorter (coordinated omission).
package httpload

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/meshbench/meshbench/lab/load/pace"
	"github.com/meshbench/meshbench/lab/load/stream"
	"github.com/meshbench/meshbench/lab/mesh"
)

// Config describes a generator. Times and rates are unscaled.
type Config struct {
	Target    string    // base URL of the front; requests are GET {Target}/{service}/items/{key}
	Mesh      mesh.Mesh // names the services
	Items     []int     // number of items of each service
	TimeScale float64   // divides times and multiplies rates; default 1
	Timeout   float64   // after which a request has failed, s; default 10
	// NodeHeader and FailureHeader name the headers of a reply that say which
	// node served it and why there is no item.
	NodeHeader, FailureHeader string
	Log                       io.Writer      // of all requests as CSV; default none
	Progress                  func(Progress) // called after every step; default none
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
	Lag     float64 // time from when it was due to when it was sent, s unscaled
	Delay   float64 // time from when it was due to when the whole reply was there, s unscaled
	Status  int     // HTTP status; 0 where there was no reply
	Node    string  // that served it; "" when unknown
	Failure string  // why there is no item, in a few words; "" for status 200
}

// Step tells the course of one step, in unscaled seconds: load is offered for
// Settle without being reported, then for Seconds, and then on until the last
// reply to a reported request is there.
type Step struct {
	Number          int
	Load            mesh.Load // requests/s per service
	Settle, Seconds float64
}

// Generator sends requests. It is for one goroutine.
type Generator struct {
	cfg      Config
	client   *http.Client
	requests *stream.Stream
	urls     []string
	progress Progress

	ctx     context.Context // of the requests under way, which outlive their step
	cancel  context.CancelFunc
	sending sync.WaitGroup
}

// New returns a generator that will repeat the same requests for the same seed.
func New(cfg Config, seed uint64) (*Generator, error) {
	if cfg.TimeScale == 0 {
		cfg.TimeScale = 1
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = 10
	}
	if !(cfg.TimeScale > 0) || !(cfg.Timeout > 0) || math.IsInf(cfg.TimeScale, 1) {
		return nil, fmt.Errorf("httpload: time scale %v, time-out %v s; both must be above 0", cfg.TimeScale, cfg.Timeout)
	}
	if len(cfg.Items) != cfg.Mesh.M() {
		return nil, fmt.Errorf("httpload: numbers of items of %d services; the mesh has %d", len(cfg.Items), cfg.Mesh.M())
	}
	g := &Generator{cfg: cfg, client: &http.Client{Transport: &http.Transport{
		// Connections are kept: opening one costs more than a request.
		MaxIdleConnsPerHost: 4096,
		IdleConnTimeout:     time.Minute,
		DisableCompression:  true,
	}}}
	for i, name := range cfg.Mesh.ServiceNames() {
		if cfg.Items[i] < 1 {
			return nil, fmt.Errorf("httpload: %s has %d items", name, cfg.Items[i])
		}
		g.urls = append(g.urls, cfg.Target+"/"+name+"/items/")
	}
	if cfg.Log != nil {
		if _, err := io.WriteString(cfg.Log, logHeader); err != nil {
			return nil, fmt.Errorf("httpload: request log: %w", err)
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
// order of their due times. Other requests may still be under way then, as they
// would be if the load went on. An error, such as the context's, means that the
// step was not made.
func (g *Generator) Run(ctx context.Context, step Step) ([]Result, error) {
	timer, err := pace.New(ctx)
	if err != nil {
		return nil, err
	}
	defer timer.Close()
	var (
		results []*Result
		pending atomic.Int64
	)
	g.requests.Begin(step.Number, step.Load)
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
			r := &Result{Request: next}
			reported := next.At >= from && next.At < to
			if reported {
				results = append(results, r)
				pending.Add(1)
			}
			g.sending.Go(func() {
				g.send(r, due)
				if reported {
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
	out := make([]Result, len(results))
	for k, r := range results {
		out[k] = *r
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

// send makes one request and waits for the whole reply.
func (g *Generator) send(r *Result, due time.Time) {
	k := g.cfg.TimeScale
	ctx, cancel := context.WithDeadline(g.ctx, due.Add(time.Duration(g.cfg.Timeout/k*1e9)))
	defer cancel()
	r.Lag = time.Since(due).Seconds() * k
	defer func() { r.Delay = time.Since(due).Seconds() * k }()
	key := r.Draw % uint64(g.cfg.Items[r.Service])
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, g.urls[r.Service]+strconv.FormatUint(key, 10), nil)
	if err != nil {
		r.Failure = err.Error()
		return
	}
	resp, err := g.client.Do(req)
	if err != nil {
		r.Failure = reason(err)
		return
	}
	defer resp.Body.Close()
	r.Status = resp.StatusCode
	r.Node = resp.Header.Get(g.cfg.NodeHeader)
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		r.Failure = reason(err)
	} else if r.Status != http.StatusOK {
		if r.Failure = resp.Header.Get(g.cfg.FailureHeader); r.Failure == "" {
			r.Failure = "status " + strconv.Itoa(r.Status)
		}
	}
}

// reason is an error in a few words that do not differ from request to request.
func reason(err error) string {
	var timeout net.Error
	var op *net.OpError
	switch {
	case errors.As(err, &timeout) && timeout.Timeout():
		return "time-out"
	case errors.As(err, &op):
		return "connection: " + op.Err.Error()
	}
	return "connection: " + err.Error()
}

const logHeader = "step,service,due,lag,status,node,failure,delay\n"

// log writes the requests of a step: times in unscaled s, due from the
// beginning of the step.
func (g *Generator) log(step int, results []Result) error {
	if g.cfg.Log == nil {
		return nil
	}
	var b []byte
	names := g.cfg.Mesh.ServiceNames()
	for _, r := range results {
		b = fmt.Appendf(b, "%d,%s,%.6f,%.6f,%d,%s,%s,%.6f\n", step, names[r.Service], r.At, r.Lag, r.Status, r.Node, r.Failure, r.Delay)
	}
	if _, err := g.cfg.Log.Write(b); err != nil {
		return fmt.Errorf("httpload: request log: %w", err)
	}
	return nil
}
