// Package httpload offers load over HTTP: an open-loop generator that sends
// each request at its scheduled time, whatever becomes of the others. A delay
// counts from the scheduled time, so that neither a slow server nor a late
// generator makes it look shorter (coordinated omission).
package httpload

import (
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/meshbench/meshbench/lab/load/pace"
	"github.com/meshbench/meshbench/lab/load/stream"
	"github.com/meshbench/meshbench/lab/mesh"
	"github.com/meshbench/meshbench/lab/service/call"
)

// Config describes a generator. Times and rates are unscaled.
type Config struct {
	Target    string    // base URL of the front; requests are GET {Target}/{service}/items/{key}
	Mesh      mesh.Mesh // its services are asked for
	Items     []int     // number of items of each of the layout's microservices
	TimeScale float64   // divides times and multiplies rates; default 1
	Timeout   float64   // after which a request has failed, s; default 10, negative means never
	// NodeHeader and FailureHeader name the headers of a reply that say which
	// node served it and why there is no item, CallsHeader that of the calls that
	// were made for it (see package call).
	NodeHeader, FailureHeader, CallsHeader string
	// RunHeader names the header of requests that has a step's Run.
	RunHeader string
	Log       io.Writer      // of all requests as CSV; default none
	Progress  func(Progress) // called after every step; default none
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
	Failure string      // why there is no item, in a few words; "" for status 200
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

// Generator sends requests. It is for one goroutine.
type Generator struct {
	cfg      Config
	client   *http.Client
	requests *stream.Stream
	names    []string // of the services
	urls     []string
	items    []uint64 // of which the key is one, per service; 0 where the key is the draw
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
	if cfg.Timeout == 0 {
		cfg.Timeout = 10
	}
	if !(cfg.TimeScale > 0) || math.IsInf(cfg.TimeScale, 1) || math.IsNaN(cfg.Timeout) || math.IsInf(cfg.Timeout, 1) {
		return nil, fmt.Errorf("httpload: time scale %v, time-out %v s; accepted: finite numbers, a scale above 0, and a time-out below 0 for none", cfg.TimeScale, cfg.Timeout)
	}
	if err := cfg.Mesh.Validate(); err != nil {
		return nil, fmt.Errorf("httpload: %w", err)
	}
	l := cfg.Mesh.Layout()
	if len(cfg.Items) != len(l.Microservices) {
		return nil, fmt.Errorf("httpload: numbers of items of %d microservices; the mesh has %d", len(cfg.Items), len(l.Microservices))
	}
	for u, n := range cfg.Items {
		if n < 1 {
			return nil, fmt.Errorf("httpload: %s has %d items; accepted: at least 1", l.Microservices[u], n)
		}
	}
	g := &Generator{cfg: cfg, names: cfg.Mesh.ServiceNames(), client: &http.Client{
		Transport: &http.Transport{
			// Connections are kept, since opening one costs more than a request,
			// but not for as long as a server keeps them.
			MaxIdleConnsPerHost: 4096,
			IdleConnTimeout:     15 * time.Second,
			DisableCompression:  true,
		},
		// A redirect is no item, and to follow it would offer more load.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
	for i, name := range g.names {
		g.urls = append(g.urls, cfg.Target+"/"+url.PathEscape(name)+"/items/")
		// The item of a service of several calls is drawn for each at the front.
		items := uint64(0)
		if stages := l.Stages[i]; len(stages) == 1 && len(stages[0]) == 1 {
			items = uint64(cfg.Items[l.Calls[stages[0][0]].Microservice])
		}
		g.items = append(g.items, items)
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
// order of their due times. Other requests may still be under way then, as they
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
				g.send(r, due, step.Run)
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
func (g *Generator) send(r *Result, due time.Time, run string) {
	k := g.cfg.TimeScale
	ctx, cancel := g.ctx, context.CancelFunc(func() {})
	if g.cfg.Timeout > 0 {
		ctx, cancel = context.WithDeadline(g.ctx, due.Add(time.Duration(g.cfg.Timeout/k*1e9)))
	}
	defer cancel()
	r.Lag = time.Since(due).Seconds() * k
	defer func() { r.Delay = time.Since(due).Seconds() * k }()
	key := r.Draw
	if n := g.items[r.Service]; n > 0 {
		key %= n
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, g.urls[r.Service]+strconv.FormatUint(key, 10), nil)
	if err != nil {
		r.Failure = "the target is no URL"
		return
	}
	if run != "" && g.cfg.RunHeader != "" {
		req.Header.Set(g.cfg.RunHeader, run)
	}
	resp, err := g.client.Do(req)
	if err != nil {
		r.Failure = reason(err)
		return
	}
	defer resp.Body.Close()
	r.Status = resp.StatusCode
	r.Node = resp.Header.Get(g.cfg.NodeHeader)
	if g.cfg.CallsHeader != "" {
		if r.Calls, err = call.Parse(resp.Header.Get(g.cfg.CallsHeader)); err != nil {
			r.Failure = "header " + g.cfg.CallsHeader + " cannot be read"
		}
		for c := range r.Calls {
			r.Calls[c].Seconds *= k
		}
	}
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		r.Failure = reason(err)
	} else if r.Status != http.StatusOK {
		if r.Failure = short(resp.Header.Get(g.cfg.FailureHeader)); r.Failure == "" {
			r.Failure = "status " + strconv.Itoa(r.Status)
		}
	}
}

// reason is an error in a few words that do not differ from request to request:
// neither the URL nor an address is among them.
func reason(err error) string {
	var timeout net.Error
	var op *net.OpError
	var in *url.Error
	switch {
	case errors.As(err, &timeout) && timeout.Timeout():
		return "time-out"
	case errors.As(err, &op):
		return "connection: " + short(op.Err.Error())
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "connection: closed"
	case errors.As(err, &in):
		err = in.Err
	}
	// What an error quotes came from the other side.
	text, _, _ := strings.Cut(err.Error(), `"`)
	return "connection: " + short(text)
}

// maxReason bounds a reason, in bytes.
const maxReason = 80

// short is a text of another program as a reason: one line, not long.
func short(text string) string {
	text = strings.Join(strings.Fields(strings.ToValidUTF8(text, "?")), " ")
	if len(text) > maxReason {
		text = strings.ToValidUTF8(text[:maxReason], "") + "..."
	}
	return text
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
