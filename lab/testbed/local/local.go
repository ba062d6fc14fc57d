// Package local is the testbed that needs nothing but Go: load generator, front
// and processing nodes of a scenario in one process, talking HTTP over loopback,
// with a database for each node.
package local

import (
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/meshbench/meshbench/lab/change"
	"github.com/meshbench/meshbench/lab/control"
	"github.com/meshbench/meshbench/lab/load/httpload"
	"github.com/meshbench/meshbench/lab/mesh"
	"github.com/meshbench/meshbench/lab/scenario"
	"github.com/meshbench/meshbench/lab/service"
	"github.com/meshbench/meshbench/lab/service/item"
	"github.com/meshbench/meshbench/lab/testbed"
)

var _ testbed.Changeable = (*Testbed)(nil)

// Config describes the testbed.
type Config struct {
	// Scenario is what runs; there is no default. Its knobs are routes, blocking,
	// replicas, which are servers of a node that share its queue, each with a
	// database connection of its own, and CPU, a factor of its speed for the
	// calls that come from then on.
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
	life      context.Context // ends with the testbed
	end       context.CancelFunc
	front     *service.Running
	nodes     []*node
	plane     *plane
	generator *httpload.Generator
	temporary *temporary
	changed   change.Condition // guarded by the plane's lock
	closing   sync.Once
}

// New starts the mesh and returns when all of it is ready. On an error nothing
// is left running.
func New(ctx context.Context, cfg Config) (t *Testbed, err error) {
	space, err := cfg.complete()
	if err != nil {
		return nil, fmt.Errorf("local: %w", err)
	}
	t = &Testbed{cfg: cfg, space: space, layout: space.Layout(), token: rand.Text(), changed: change.As(space.Layout())}
	t.life, t.end = context.WithCancel(context.Background())
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
	g.Target, g.Mesh, g.Items = t.URL(), cfg.Scenario.Mesh, t.items()
	g.TimeScale, g.Client.Timeout = cfg.TimeScale, cfg.Timeout
	g.NodeHeader, g.FailureHeader, g.CallsHeader, g.RunHeader = service.NodeHeader, service.FailureHeader, service.CallsHeader, service.RunHeader
	if t.generator, err = httpload.New(g, 0); err != nil {
		return t, err
	}
	run := rand.Text()
	t.plane = newPlane(t, service.Controller{URL: t.URL(), Token: t.token, Space: space, Weights: true, Run: run})
	t.Loop = testbed.NewLoop(testbed.LoopConfig{
		Name: "local", Space: space, Goals: cfg.Scenario.Goals(), Timing: cfg.Scenario.Timing, TimeScale: cfg.TimeScale, Generator: t.generator, Run: run, Plane: t.plane,
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
	if err := control.CheckKinds(space, mesh.Route, mesh.Block, mesh.Replicas, mesh.CPU); err != nil {
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
	if err := testbed.CheckTimeScale(c.TimeScale); err != nil {
		return nil, err
	}
	switch {
	case len(c.Nodes) != n:
		return nil, fmt.Errorf("%d addresses for %d nodes; accepted: one for each node", len(c.Nodes), n)
	case len(c.Databases) != 0 && len(c.Databases) != n:
		return nil, fmt.Errorf("%d databases for %d nodes; accepted: one for each node", len(c.Databases), n)
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
	start, _ := control.NewProgress(t.space).InForce()
	for j, name := range t.cfg.Scenario.Mesh.NodeNames() {
		n := &node{t: t, name: name, addr: t.cfg.Nodes[j], dsn: dsns[j]}
		t.nodes = append(t.nodes, n)
		t.set(j, start, nil)
		if err := n.start(ctx); err != nil {
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
		if t.plane != nil {
			t.plane.stop()
		}
		t.end()
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
	if err := t.nodes[j].start(ctx); err != nil {
		t.nodes[j].stop()
		return fmt.Errorf("local: %w", err)
	}
	return nil
}

// StopDatabase closes the databases of node j, which then answers nothing but
// errors until StopNode and StartNode.
func (t *Testbed) StopDatabase(j int) error { return t.nodes[j].closeDatabases() }
