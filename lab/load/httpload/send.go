package httpload

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/meshbench/meshbench/lab/load/request"
	"github.com/meshbench/meshbench/lab/load/stream"
	"github.com/meshbench/meshbench/lab/service/call"
)

// sources are what the services are asked for.
func sources(cfg Config) ([]source, error) {
	l := cfg.Mesh.Layout()
	if cfg.Requests != nil && len(cfg.Requests) != cfg.Mesh.M() {
		return nil, fmt.Errorf("requests of %d services; the mesh has %d", len(cfg.Requests), cfg.Mesh.M())
	}
	var list []source
	for i, name := range cfg.Mesh.ServiceNames() {
		if cfg.Requests != nil && len(cfg.Requests[i]) > 0 {
			p, err := request.Compile(cfg.Requests[i])
			if err != nil {
				return nil, fmt.Errorf("service %s: %w", name, err)
			}
			list = append(list, source{p.Draw, p.Length()})
			continue
		}
		if len(cfg.Items) != len(l.Microservices) {
			return nil, fmt.Errorf("numbers of items of %d microservices; the mesh has %d", len(cfg.Items), len(l.Microservices))
		}
		for u, n := range cfg.Items {
			if n < 1 {
				return nil, fmt.Errorf("%s has %d items; accepted: at least 1", l.Microservices[u], n)
			}
		}
		// The item of a service of several calls is drawn for each at the front.
		n := uint64(0)
		if stages := l.Stages[i]; len(stages) == 1 && len(stages[0]) == 1 {
			n = uint64(cfg.Items[l.Calls[stages[0][0]].Microservice])
		}
		list = append(list, items(name, n))
	}
	return list, nil
}

// items asks for items of a service: one of n by the draw, or where n is 0 the
// draw itself.
func items(service string, n uint64) source {
	prefix, expect := "/"+url.PathEscape(service)+"/items/", []int{http.StatusOK}
	return source{length: 1, draw: func(key uint64) ([]request.Call, float64) {
		if n > 0 {
			key %= n
		}
		return []request.Call{{Method: http.MethodGet, Path: prefix + strconv.FormatUint(key, 10), Expect: expect}}, 0
	}}
}

// arrival is a request or session of the schedule, and what became of it.
type arrival struct {
	stream.Request
	results []Result
}

// arrive makes the requests of an arrival that is due. A session ends with a
// request that failed: its user has not got what the next is about.
func (g *Generator) arrive(ctx context.Context, x *arrival, due time.Time, run string) {
	calls, pause := g.sources[x.Service].draw(x.Draw)
	client := g.client
	if len(calls) > 1 {
		jar, err := cookiejar.New(nil)
		if err != nil {
			panic("httpload: " + err.Error()) // it has no options that could be wrong
		}
		own := *g.client
		own.Jar = jar
		client = &own
	}
	k := g.cfg.TimeScale
	first := due
	for n := range calls {
		r := Result{Request: x.Request}
		r.At += due.Sub(first).Seconds() * k
		g.send(ctx, client, &r, &calls[n], due, run)
		x.results = append(x.results, r)
		if r.Failure != "" || n == len(calls)-1 {
			return
		}
		due = time.Now().Add(time.Duration(pause / k * 1e9))
		timer := time.NewTimer(time.Until(due))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return
		}
	}
}

// Try makes the request or session of one arrival of a service at once, apart
// from any step, and returns what became of it.
func (g *Generator) Try(ctx context.Context, service int, draw uint64, run string) []Result {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stop := context.AfterFunc(g.ctx, cancel)
	defer stop()
	x := &arrival{Request: stream.Request{Service: service, Draw: draw}}
	g.arrive(ctx, x, time.Now(), run)
	return x.results
}

// send makes one request and waits for the whole answer.
func (g *Generator) send(ctx context.Context, client *http.Client, r *Result, c *request.Call, due time.Time, run string) {
	k := g.cfg.TimeScale
	if timeout := g.cfg.Client.Timeout; timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, due.Add(time.Duration(timeout/k*1e9)))
		defer cancel()
	}
	r.Lag = time.Since(due).Seconds() * k
	defer func() { r.Delay = time.Since(due).Seconds() * k }()
	var body io.Reader
	if c.Body != "" {
		body = strings.NewReader(c.Body)
	}
	req, err := http.NewRequestWithContext(ctx, c.Method, g.cfg.Target+c.Path, body)
	if err != nil {
		r.Failure = "the target is no URL"
		return
	}
	if c.Header != nil {
		req.Header = c.Header.Clone()
		if host := req.Header.Get("Host"); host != "" {
			req.Host = host
		}
	}
	if run != "" && g.cfg.RunHeader != "" {
		req.Header.Set(g.cfg.RunHeader, run)
	}
	if g.cfg.ServiceHeader != "" {
		req.Header.Set(g.cfg.ServiceHeader, g.names[r.Service])
	}
	resp, err := client.Do(req)
	if err != nil {
		r.Failure = request.Reason(err)
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
		r.Failure = request.Reason(err)
	} else if !c.Expected(r.Status) {
		if r.Failure = request.Short(resp.Header.Get(g.cfg.FailureHeader)); r.Failure == "" {
			r.Failure = "status " + strconv.Itoa(r.Status)
		}
	}
}
