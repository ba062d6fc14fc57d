package local

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/meshbench/meshbench/lab/change"
	"github.com/meshbench/meshbench/lab/control"
	"github.com/meshbench/meshbench/lab/mesh"
	"github.com/meshbench/meshbench/lab/service"
	"github.com/meshbench/meshbench/lab/testbed"
)

var (
	_ testbed.Plane = (*plane)(nil)
	_ testbed.Meter = (*plane)(nil)
)

// plane puts actions into force: routes and blocking at the front, replicas and
// CPU at the nodes. Knobs that take their time come into force in the middle of
// steps.
type plane struct {
	front service.Controller
	t     *Testbed

	mu       sync.Mutex // guards what follows
	progress *control.Progress
	moved    time.Time   // of progress
	timer    *time.Timer // for what comes into force next
	told     mesh.Action // to the front
	faults   []string    // of the step under way
	now      mesh.Action
	pending  []mesh.Pending
}

func newPlane(t *Testbed, front service.Controller) *plane {
	p := &plane{front: front, t: t, progress: control.NewProgress(t.space), moved: time.Now()}
	p.timer = time.AfterFunc(math.MaxInt64, p.tick)
	return p
}

// Apply asks for an action, of which what takes no time is in force when it
// returns.
func (p *plane) Apply(ctx context.Context, a mesh.Action) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.faults = nil
	p.advance()
	p.progress.Ask(a)
	p.configure()
	return p.tell(ctx, &p.front, nil)
}

// Reset puts the knobs back, begins the front's draws again and waits until the
// replicas serve.
func (p *plane) Reset(ctx context.Context, seed uint64) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.faults = nil
	p.progress.Reset()
	if err := p.change(ctx, change.As(p.t.layout)); err != nil {
		return err
	}
	p.moved = time.Now()
	p.configure()
	if err := p.tell(ctx, &p.front, &seed); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	for _, n := range p.t.nodes {
		for missing := n.missing(); missing != ""; missing = n.missing() {
			select {
			case <-ctx.Done():
				return errors.New(missing)
			case <-time.After(time.Millisecond):
			}
		}
	}
	return nil
}

// Change brings about a condition of the mesh: speeds and work for the calls that
// come from now on, start-ups for those under way too. A node that is lost breaks
// its connections and refuses new ones; one that is back begins anew.
func (t *Testbed) Change(ctx context.Context, c change.Condition) error {
	if err := c.Validate(t.layout); err != nil {
		return fmt.Errorf("local: %w", err)
	}
	p := t.plane
	p.mu.Lock()
	defer p.mu.Unlock()
	p.advance()
	if err := p.change(ctx, c); err != nil {
		return fmt.Errorf("local: %w", err)
	}
	return nil
}

// change is Change; the lock is held.
func (p *plane) change(ctx context.Context, c change.Condition) error {
	p.t.changed = c
	p.progress.Late(testbed.Lateness(p.t.space, c))
	p.configure()
	for j, n := range p.t.nodes {
		if c.Speed[j] == 0 {
			n.stop()
		} else if err := n.start(ctx); err != nil {
			n.stop()
			return err
		}
	}
	return nil
}

// startTimeout bounds the start of a replica at the beginning of a run, in real
// time.
const startTimeout = 10 * time.Second

// stop ends the changes.
func (p *plane) stop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.timer.Stop()
	p.timer = nil
}

// tick puts into force what is due.
func (p *plane) tick() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.timer == nil {
		return
	}
	p.advance()
	p.configure()
	now, _ := p.progress.InForce()
	if slices.Equal(now, p.told) {
		return
	}
	front := p.front
	front.Run = "" // which would count strangers anew
	if err := p.tell(p.t.life, &front, nil); err != nil {
		p.faults = append(p.faults, err.Error())
	}
}

// advance lets knobs go on to the present; the lock is held, as below.
func (p *plane) advance() {
	now := time.Now()
	p.progress.Advance(now.Sub(p.moved).Seconds() * p.t.cfg.TimeScale)
	p.moved = now
}

// configure makes the nodes what the action in force says, and those to come.
func (p *plane) configure() {
	now, pending := p.progress.InForce()
	for j := range p.t.nodes {
		p.t.set(j, now, pending)
	}
	if next := p.progress.Next(); p.timer != nil && !math.IsInf(next, 1) {
		p.timer.Reset(time.Duration(math.Ceil(next / p.t.cfg.TimeScale * 1e9)))
	}
}

// set makes node j what an action says, and has the replicas that are on their
// way begin to start.
func (t *Testbed) set(j int, now mesh.Action, pending []mesh.Pending) {
	n := t.nodes[j]
	speed := t.changed.Speed[j]
	if speed == 0 { // it is down; when it is back it is as it was
		speed = 1
	}
	n.setSpeed(t.space.Value(now, mesh.CPU, j, 1)*speed, t.changed.Work)
	admitted := int(t.space.Value(now, mesh.Replicas, j, 1))
	total := admitted
	for _, x := range pending {
		if k := &t.space.Knobs()[x.Knob]; k.Kind == mesh.Replicas && k.Of == j {
			total = max(total, int(k.Points[x.Point][0]))
		}
	}
	n.scale(total, admitted)
}

// tell tells the front what is in force.
func (p *plane) tell(ctx context.Context, front *service.Controller, seed *uint64) error {
	now, _ := p.progress.InForce()
	p.told = append(p.told[:0], now...)
	return front.Apply(ctx, now, seed)
}

// InForce is the action in force, of whose replicas those count that serve, and
// what is on its way to be.
func (p *plane) InForce() (mesh.Action, []mesh.Pending) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.advance()
	p.configure()
	now, pending := p.progress.InForce()
	p.now, p.pending = append(p.now[:0], now...), append(p.pending[:0], pending...)
	for h := range p.t.space.Knobs() {
		k := &p.t.space.Knobs()[h]
		if k.Kind != mesh.Replicas {
			continue
		}
		due := now[k.First]
		serving := float64(p.t.nodes[k.Of].serving())
		if serving >= due {
			continue
		}
		// What is late is still on its way.
		p.now[k.First] = serving
		at := slices.IndexFunc(p.pending, func(x mesh.Pending) bool { return x.Knob >= h })
		if at < 0 {
			at = len(p.pending)
		}
		p.pending = slices.Insert(p.pending, at, mesh.Pending{Knob: h, Point: k.Nearest(k.Values(now))})
	}
	return p.now, p.pending
}

// Worked is for how long the servers of each node have worked.
func (p *plane) Worked(context.Context) []testbed.Work {
	all := make([]testbed.Work, len(p.t.nodes))
	for j, n := range p.t.nodes {
		all[j] = n.worked()
	}
	return all
}

// readyTimeout bounds the look at a node's readiness, in real time.
const readyTimeout = 200 * time.Millisecond

// Faults lists nodes and replicas that do not serve, and requests of others.
func (p *plane) Faults(ctx context.Context) []string {
	p.mu.Lock()
	faults := p.faults
	p.mu.Unlock()
	for _, n := range p.t.nodes {
		if err := ready(ctx, n.addr); err != nil {
			faults = append(faults, n.name+" is not ready: "+err.Error())
		}
		if missing := n.missing(); missing != "" {
			faults = append(faults, missing)
		}
	}
	short, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	switch strangers, err := p.front.Strangers(short); {
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
