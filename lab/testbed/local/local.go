// Package local is the testbed that needs nothing but Go: load generator, front
// and processing nodes of a scenario in one process, talking HTTP over loopback,
// with a database for each node.
package local

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"math"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/meshbench/meshbench/lab/load/httpload"
	"github.com/meshbench/meshbench/lab/mesh"
	"github.com/meshbench/meshbench/lab/scenario"
	"github.com/meshbench/meshbench/lab/service"
	"github.com/meshbench/meshbench/lab/service/item"
	"github.com/meshbench/meshbench/lab/testbed"
)

var _ testbed.Testbed = (*Testbed)(nil)

// Config describes the testbed.
type Config struct {
	// Scenario is what runs; there is no default. Its knobs are routes and
	// blocking.
	Scenario  scenario.Scenario
	TimeScale float64  // k: all times are divided and all rates multiplied by it; reports are unscaled. Default 10
	ItemSeed  uint64   // of the items
	Front     string   // address of the front; default 127.0.0.1 and a free port
	Nodes     []string // addresses of the nodes; default likewise
	// Databases has a DSN for each node (see service.OpenDatabase); default a
	// SQLite file each in Dir.
	Databases []string
	Dir       string  // of the SQLite files, kept; default a folder below os.TempDir, removed by Close or, after a crash, by the next start
	Timeout   float64 // of a request, s unscaled; default 10, negative for none
	// Generator may set Log and Progress; the rest is filled in.
	Generator httpload.Config
}

// Testbed is a running mesh.
type Testbed struct {
	*testbed.Loop
	cfg       Config
	space     *mesh.Space
	layout    *mesh.Layout
	catalogue *item.Catalogue
	token     string
	front     *service.Running
	nodes     []*node
	generator *httpload.Generator
	temporary *temporary
	closing   sync.Once
}

// node is a processing node and its database.
type node struct {
	name     string
	addr     string // fixed once it is known, so that a node restarts where it was
	dsn      string
	mu       sync.Mutex // guards what follows
	database *service.Database
	handler  *service.Node
	server   *service.Running
}

// New starts the mesh and returns when all of it is ready. On an error nothing
// is left running.
func New(ctx context.Context, cfg Config) (t *Testbed, err error) {
	space, err := cfg.complete()
	if err != nil {
		return nil, fmt.Errorf("local: %w", err)
	}
	t = &Testbed{cfg: cfg, space: space, layout: space.Layout(), token: rand.Text()}
	defer func() {
		if err != nil {
			t.Close()
			t, err = nil, fmt.Errorf("local: %w", err)
		}
	}()
	if t.catalogue, err = item.NewCatalogue(cfg.Scenario.Kinds(), cfg.ItemSeed); err != nil {
		return t, err
	}
	if err := t.startNodes(ctx); err != nil {
		return t, err
	}
	if err := t.startFront(); err != nil {
		return t, err
	}
	g := cfg.Generator
	g.Target, g.Mesh, g.Items = "http://"+t.front.Address, cfg.Scenario.Mesh, t.items()
	g.TimeScale, g.Client.Timeout = cfg.TimeScale, cfg.Timeout
	g.NodeHeader, g.FailureHeader, g.CallsHeader, g.RunHeader = service.NodeHeader, service.FailureHeader, service.CallsHeader, service.RunHeader
	if t.generator, err = httpload.New(g, 0); err != nil {
		return t, err
	}
	run := rand.Text()
	t.Loop = testbed.NewLoop(testbed.LoopConfig{
		Name: "local", Space: space, Timing: cfg.Scenario.Timing, TimeScale: cfg.TimeScale, Generator: t.generator, Run: run,
		Plane: &plane{t: t, Controller: service.Controller{URL: "http://" + t.front.Address, Token: t.token, Space: space, Weights: true, Run: run}},
	})
	return t, t.Reset(ctx, 0)
}

// complete fills in the defaults and reports what does not fit.
func (c *Config) complete() (*mesh.Space, error) {
	if err := c.Scenario.Validate(); err != nil {
		return nil, err
	}
	c.Scenario = c.Scenario.Defaults()
	space, err := c.Scenario.Space()
	if err != nil {
		return nil, err
	}
	if err := testbed.CheckKnobs(space, mesh.Route, mesh.Block); err != nil {
		return nil, err
	}
	if c.TimeScale == 0 {
		c.TimeScale = 10
	}
	if c.Timeout == 0 {
		c.Timeout = 10
	}
	if c.Front == "" {
		c.Front = "127.0.0.1:0"
	}
	n := c.Scenario.Mesh.N()
	if c.Nodes == nil {
		for range n {
			c.Nodes = append(c.Nodes, "127.0.0.1:0")
		}
	}
	switch {
	case !(c.TimeScale > 0) || math.IsInf(c.TimeScale, 1):
		return nil, fmt.Errorf("time scale %v; it is above 0, and 1 is real time", c.TimeScale)
	case len(c.Nodes) != n:
		return nil, fmt.Errorf("%d addresses for %d nodes", len(c.Nodes), n)
	case len(c.Databases) != 0 && len(c.Databases) != n:
		return nil, fmt.Errorf("%d databases for %d nodes", len(c.Databases), n)
	}
	return space, nil
}

func (t *Testbed) startNodes(ctx context.Context) error {
	dsns := t.cfg.Databases
	if len(dsns) == 0 {
		dir := t.cfg.Dir
		var err error
		if dir == "" {
			if t.temporary, err = newTemporary(); err == nil {
				dir = t.temporary.dir
			}
		} else {
			err = os.MkdirAll(dir, 0o755)
		}
		if err != nil {
			return fmt.Errorf("directory for the databases: %w", err)
		}
		for j, name := range t.cfg.Scenario.Mesh.NodeNames() {
			dsns = append(dsns, filepath.Join(dir, fileName(j, name)))
		}
	}
	for j, name := range t.cfg.Scenario.Mesh.NodeNames() {
		n := &node{name: name, addr: t.cfg.Nodes[j], dsn: dsns[j]}
		t.nodes = append(t.nodes, n)
		if err := t.start(ctx, n); err != nil {
			return err
		}
	}
	return nil
}

// fileName is the database file of node j: its name, where that can be one.
func fileName(j int, name string) string {
	if name != filepath.Base(name) || strings.Trim(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_. ") != "" || strings.Trim(name, ". ") == "" {
		name = fmt.Sprintf("node-%d", j+1)
	}
	return name + ".sqlite"
}

// start brings a node up.
func (t *Testbed) start(ctx context.Context, n *node) (err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.server != nil {
		return nil
	}
	if n.database, err = service.OpenDatabase(ctx, n.dsn, t.catalogue); err != nil {
		return fmt.Errorf("%s: %w", n.name, err)
	}
	n.handler, err = service.NewNode(service.NodeConfig{Name: n.name, Mesh: t.cfg.Scenario.Mesh, Catalogue: t.catalogue,
		Database: n.database, Queue: t.cfg.Scenario.Queue, TimeScale: t.cfg.TimeScale})
	if err != nil {
		return err
	}
	if n.server, err = service.Serve(n.name, n.addr, n.handler, service.Limits{Write: t.write()}); err != nil {
		return err
	}
	if n.addr != n.server.Address { // only at the first start: others read it
		n.addr = n.server.Address
	}
	return nil
}

// stop takes a node down.
func (n *node) stop() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.server != nil {
		n.server.Close()
	}
	if n.handler != nil {
		n.handler.Close()
	}
	if n.database != nil {
		n.database.Close()
	}
	n.server, n.handler, n.database = nil, nil, nil
}

func (t *Testbed) startFront() error {
	cfg := service.FrontConfig{Mesh: t.cfg.Scenario.Mesh, Token: t.token, Items: t.items(), Link: max(t.cfg.Scenario.Link, 0) / t.cfg.TimeScale}
	// The generator gives up first; the front's is for those who ask by hand.
	cfg.Timeout = t.write().Seconds()
	if t.cfg.Timeout < 0 {
		cfg.Timeout = -1
	}
	for _, n := range t.nodes {
		cfg.Nodes = append(cfg.Nodes, "http://"+n.addr)
	}
	front, err := service.NewFront(cfg)
	if err != nil {
		return err
	}
	write := t.write()
	if write > 0 {
		write += time.Second
	}
	t.front, err = service.Serve("the front", t.cfg.Front, front, service.Limits{Write: write})
	return err
}

// write bounds the time of a reply, in real time.
func (t *Testbed) write() time.Duration {
	if t.cfg.Timeout < 0 {
		return -1
	}
	return time.Duration(t.cfg.Timeout/t.cfg.TimeScale*1e9) + 10*time.Second
}

func (t *Testbed) items() []int {
	items := make([]int, t.catalogue.Services())
	for i := range items {
		items[i] = t.catalogue.Len(i)
	}
	return items
}

// URL is the address of the front: a page for a browser.
func (t *Testbed) URL() string { return "http://" + t.front.Address }

// Close stops the mesh.
func (t *Testbed) Close() error {
	var err error
	t.closing.Do(func() {
		if t.generator != nil {
			t.generator.Close()
		}
		if t.front != nil {
			t.front.Close()
		}
		for _, n := range t.nodes {
			n.stop()
		}
		if t.temporary != nil {
			err = t.temporary.remove()
		}
	})
	return err
}

// StopNode kills node j: its connections break and its address refuses new
// ones, until StartNode.
func (t *Testbed) StopNode(j int) { t.nodes[j].stop() }

// StartNode brings node j back at its address.
func (t *Testbed) StartNode(ctx context.Context, j int) error {
	if err := t.start(ctx, t.nodes[j]); err != nil {
		t.nodes[j].stop()
		return fmt.Errorf("local: %w", err)
	}
	return nil
}

// StopDatabase closes the database of node j, which then answers nothing but
// errors until StopNode and StartNode.
func (t *Testbed) StopDatabase(j int) error {
	n := t.nodes[j]
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.database == nil {
		return nil
	}
	return n.database.Close()
}

// plane controls the front and looks after the nodes.
type plane struct {
	service.Controller
	t *Testbed
}

func (p *plane) Apply(ctx context.Context, a mesh.Action) error {
	return p.Controller.Apply(ctx, a, nil)
}

// Reset begins the front's draws again and waits until the nodes have finished
// or dropped what was under way.
func (p *plane) Reset(ctx context.Context, seed uint64) error {
	return p.Controller.Apply(ctx, p.t.space.Default(), &seed)
}

// readyTimeout bounds the look at a node's readiness, in real time.
const readyTimeout = 200 * time.Millisecond

func (p *plane) Faults(ctx context.Context) []string {
	var faults []string
	for _, n := range p.t.nodes {
		if err := ready(ctx, n.addr); err != nil {
			faults = append(faults, n.name+" is not ready: "+err.Error())
		}
	}
	short, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	switch strangers, err := p.Strangers(short); {
	case err != nil && ctx.Err() == nil:
		faults = append(faults, "the front does not answer")
	case strangers != "":
		faults = append(faults, strangers)
	}
	return faults
}

func ready(ctx context.Context, addr string) error {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+"/readyz", nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	var op *net.OpError
	switch {
	// Without the address, which is of no interest in a trace.
	case ctx.Err() != nil:
		return errors.New("no answer")
	case errors.As(err, &op):
		return op.Err
	case err != nil:
		return errors.Unwrap(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return errors.New(resp.Status)
	}
	return nil
}
