// Package http is the testbed of an application that is deployed already and
// answers HTTP, wherever that is: a scenario says the base URLs of its nodes, for
// instance of two versions, and what to ask for. A front of this project is
// placed before it, which routes by weight and blocks; no cluster is needed and
// no line of the application is changed.
//
// The front runs in the process of the testbed, or apart (meshbench front) where
// others use the application through it too.
package http

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/url"
	"sync"
	"time"

	"github.com/meshbench/meshbench/lab/control"
	"github.com/meshbench/meshbench/lab/load/httpload"
	"github.com/meshbench/meshbench/lab/load/request"
	"github.com/meshbench/meshbench/lab/mesh"
	"github.com/meshbench/meshbench/lab/scenario"
	"github.com/meshbench/meshbench/lab/service"
	"github.com/meshbench/meshbench/lab/testbed"
)

var _ testbed.Testbed = (*Testbed)(nil)

// Config describes the testbed.
type Config struct {
	// Scenario is what is controlled; it has an Application, and its knobs are
	// routes and blocking. There is no default.
	Scenario scenario.Scenario
	// Listen is the address of the front in this process. Default 127.0.0.1 and a
	// free port.
	Listen string
	// Front and Control are the URLs of a front that runs apart, for requests and
	// for control, and Token is what the latter asks for. Default none: the front
	// is in this process.
	Front, Control, Token string
	// MaxLag and Repeats are LoopConfig's.
	MaxLag  float64
	Repeats int
	// Platform, if set, is asked after each step.
	Platform testbed.Platform
	// Generator may set Log and Progress; the rest is filled in.
	Generator httpload.Config
}

// Testbed is an application behind a front.
type Testbed struct {
	*testbed.Loop
	space     *mesh.Space
	url       string
	front     *Front // nil where it runs apart
	generator *httpload.Generator
	control   service.Controller
	closing   sync.Once
}

// New starts the front, or takes control of the one that runs apart, and asks
// every node for one request or session of each service: an application that
// does not answer as the scenario expects is reported before a run. On an error
// nothing is left running.
func New(ctx context.Context, cfg Config) (t *Testbed, err error) {
	space, err := check(cfg.Scenario)
	if err != nil {
		return nil, fmt.Errorf("http: %w", err)
	}
	s := cfg.Scenario.Defaults()
	t = &Testbed{space: space}
	defer func() {
		if err != nil {
			t.Close()
			t, err = nil, fmt.Errorf("http: %w", err)
		}
	}()
	run := rand.Text()
	switch {
	case cfg.Front == "" && cfg.Control == "":
		token := rand.Text()
		if t.front, err = NewFront(FrontConfig{Scenario: s, Listen: cfg.Listen, Token: token}); err != nil {
			return t, err
		}
		cfg.Front, cfg.Control, cfg.Token = t.front.URL(), t.front.ControlURL(), token
	case cfg.Front == "" || cfg.Control == "" || cfg.Token == "":
		return t, errors.New("a front that runs apart needs the URL for requests, the one for control, and its token")
	}
	t.url = cfg.Front
	t.control = service.Controller{URL: cfg.Control, Token: cfg.Token, Space: space, Weights: true, Run: run}
	g := cfg.Generator
	g.Target, g.Mesh, g.Requests = cfg.Front, s.Mesh, s.Requests
	// Versions and certificates are between the front and the application.
	c := s.Client
	g.Client = request.Client{Timeout: c.Timeout, Redirects: c.Redirects, Fresh: c.Fresh, Idle: c.Idle}
	g.NodeHeader, g.FailureHeader, g.RunHeader, g.ServiceHeader = service.NodeHeader, service.FailureHeader, service.RunHeader, service.ServiceHeader
	if t.generator, err = httpload.New(g, 0); err != nil {
		return t, err
	}
	p := &plane{Controller: t.control, space: space}
	if t.front != nil { // else only the front need reach the nodes
		for _, name := range s.Mesh.NodeNames() {
			p.nodes = append(p.nodes, node{name, address(s.Application.Nodes[name])})
		}
	}
	t.Loop = testbed.NewLoop(testbed.LoopConfig{Name: "http", Space: space, Goals: s.Goals(), Timing: s.Timing, TimeScale: 1, Generator: t.generator, Run: run,
		Plane: p, MaxLag: cfg.MaxLag, Repeats: cfg.Repeats, Foreign: true, Platform: cfg.Platform})
	if err := t.preflight(ctx, s); err != nil {
		return t, err
	}
	return t, t.Reset(ctx, 0)
}

// check reports a scenario that this testbed cannot run.
func check(s scenario.Scenario) (*mesh.Space, error) {
	if err := s.Validate(); err != nil {
		return nil, err
	}
	if s.Application.Nodes == nil {
		return nil, fmt.Errorf("scenario %s has no application; say where its nodes are and what to ask for", s.Name)
	}
	space, err := s.Space()
	if err != nil {
		return nil, err
	}
	return space, control.CheckKinds(space, mesh.Route, mesh.Block)
}

// URL is the address of the front: the application under control.
func (t *Testbed) URL() string { return t.url }

// Close stops what the testbed started. A front that runs apart goes on as it
// is.
func (t *Testbed) Close() error {
	t.closing.Do(func() {
		if t.generator != nil {
			t.generator.Close()
		}
		if t.front != nil {
			t.front.Close()
		}
	})
	return nil
}

// plane controls the front and looks after the nodes.
type plane struct {
	service.Controller
	space   *mesh.Space
	nodes   []node
	inForce mesh.Action
}

type node struct{ name, address string }

// address is where to connect to for a URL, which was checked.
func address(base string) string {
	u, err := url.Parse(base)
	if err != nil {
		return base
	}
	if u.Port() != "" {
		return u.Host
	}
	return net.JoinHostPort(u.Hostname(), map[string]string{"http": "80", "https": "443"}[u.Scheme])
}

func (p *plane) Apply(ctx context.Context, a mesh.Action) error {
	return p.set(ctx, a, nil)
}

// Reset begins the front's draws again.
func (p *plane) Reset(ctx context.Context, seed uint64) error {
	return p.set(ctx, p.space.Default(), &seed)
}

func (p *plane) set(ctx context.Context, a mesh.Action, seed *uint64) error {
	if err := p.Controller.Apply(ctx, a, seed); err != nil {
		return err
	}
	p.inForce = append(p.inForce[:0], a...)
	return nil
}

// InForce is what the front was told last: nothing takes its time.
func (p *plane) InForce() (mesh.Action, []mesh.Pending) { return p.inForce, nil }

// patience bounds the looks after a step.
const patience = 200 * time.Millisecond

// Faults lists nodes that cannot be connected to, and strangers at the front.
func (p *plane) Faults(ctx context.Context) []string {
	var faults []string
	short, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var dial net.Dialer
	for _, n := range p.nodes {
		c, err := dial.DialContext(short, "tcp", n.address)
		if err != nil {
			faults = append(faults, n.name+" cannot be reached: "+request.Reason(err))
			continue
		}
		c.Close()
	}
	switch strangers, err := p.Strangers(short); {
	case err != nil && ctx.Err() == nil:
		faults = append(faults, "the front does not answer")
	case strangers != "":
		faults = append(faults, strangers)
	}
	return faults
}

// preflight asks every node for something of each service that it serves.
func (t *Testbed) preflight(ctx context.Context, s scenario.Scenario) error {
	l := t.space.Layout()
	var all []error
	for j, name := range s.Mesh.NodeNames() {
		shown := scenario.ShownURL(s.Application.Nodes[name])
		a := t.space.Default()
		for h := range t.space.Knobs() {
			k := &t.space.Knobs()[h]
			if k.Kind == mesh.Block {
				a[k.First] = 0
				continue
			}
			for n, at := range l.Calls[k.Of].Nodes {
				if l.Endpoint(k.Of, j) >= 0 {
					a[k.First+n] = map[bool]float64{true: 1}[at == j]
				}
			}
		}
		if err := t.control.Apply(ctx, a, nil); err != nil {
			return err
		}
		for c, call := range l.Calls {
			routed := t.space.RouteOf(a, c)
			e := l.Endpoint(c, j)
			if e < 0 || routed[e-call.First] < 1 {
				continue // it does not serve this, or no knob leads there alone
			}
			for _, r := range t.generator.Try(ctx, call.Service, uint64(j), t.control.Run) {
				switch {
				case ctx.Err() != nil:
					return ctx.Err()
				case r.Failure != "":
					all = append(all, fmt.Errorf("service %s on node %s at %s: a first request failed: %s", s.Mesh.Services[call.Service].Name, name, shown, r.Failure))
				case s.Application.Attribution == scenario.ByHeader && r.Node == "":
					all = append(all, fmt.Errorf("service %s on node %s at %s: the answer has no header %s with the name of a node", s.Mesh.Services[call.Service].Name, name, shown, s.Application.Header))
				}
			}
		}
	}
	return errors.Join(all...)
}
