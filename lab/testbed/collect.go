package testbed

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/meshbench/meshbench/lab/control"
	"github.com/meshbench/meshbench/lab/load"
	"github.com/meshbench/meshbench/lab/load/stream"
	"github.com/meshbench/meshbench/lab/mesh"
	"github.com/meshbench/meshbench/lab/scenario"
	"github.com/meshbench/meshbench/lab/trace"
)

// How a collection chooses its actions.
const (
	// RandomActions draws each step's action uniformly from the space.
	RandomActions = "random"
	// GridActions goes through all actions of the space, in an order that is
	// drawn anew for every round, so that each comes equally often.
	GridActions = "grid"
)

// maxGrid bounds the actions of GridActions: a collection goes through all of
// them, in an order that it keeps.
const maxGrid = 1_000_000

// Collection describes the collection of a trace.
type Collection struct {
	// Scenario is what the testbed runs. There is no default.
	Scenario scenario.Scenario
	Steps    int          // rows of the whole trace; default the scenario's
	Load     load.Pattern // default load.Random in the scenario's ranges
	Actions  string       // RandomActions (default) or GridActions
	Seed     uint64       // of loads, actions and requests
	// Reference is the distance in steps at which one fixed cell is repeated (see
	// scenario.Reference), which shows whether the testbed changed; default 100,
	// negative for never.
	Reference int
	// Progress, if set, is called with every row. What it points to is valid
	// until it returns.
	Progress func(trace.Row)
}

// defaults fills in what is zero and reports what is not accepted.
func (c Collection) defaults(space *mesh.Space) (Collection, error) {
	if err := c.Scenario.Validate(); err != nil {
		return c, err
	}
	c.Scenario = c.Scenario.Defaults()
	own, err := c.Scenario.Space()
	if err != nil {
		return c, err
	}
	if c.Steps == 0 {
		c.Steps = c.Scenario.Collect.Steps
	}
	if c.Load == nil {
		c.Load = load.Random{Ranges: c.Scenario.Loads}
	}
	if c.Actions == "" {
		c.Actions = RandomActions
	}
	if c.Reference == 0 {
		c.Reference = 100
	}
	c.Reference = max(c.Reference, 0)
	switch {
	case !own.Same(space):
		return c, fmt.Errorf("scenario %s is of %s; the testbed runs %s", c.Scenario.Name, own, space)
	case c.Steps < 0:
		return c, fmt.Errorf("%d steps; accepted: 1 or more", c.Steps)
	case c.Actions != RandomActions && c.Actions != GridActions:
		return c, fmt.Errorf("unknown choice of actions %q; accepted: %s, %s", c.Actions, RandomActions, GridActions)
	case c.Actions == GridActions && space.Len() > maxGrid:
		return c, fmt.Errorf("%s actions to go through; accepted: at most %d, so choose actions by %q, or knobs of fewer points", space.Size(), maxGrid, RandomActions)
	}
	// Most patterns show all of their loads within so many steps.
	const looked = 1000
	seconds := c.Scenario.Timing.Seconds()
	for t := range min(c.Steps, looked) {
		if err := stream.Check(c.Load.At(nil, c.Seed, t), seconds); err != nil {
			return c, fmt.Errorf("load %s, step %d: %w", c.Load.Name(), t, err)
		}
	}
	return c, nil
}

// Meta is the head of the trace that a collection on bed gives.
func (c Collection) Meta(bed Testbed) (trace.Meta, error) {
	c, err := c.defaults(bed.Space())
	if err != nil {
		return trace.Meta{}, fmt.Errorf("testbed: collection: %w", err)
	}
	var platform []string
	if p, ok := bed.(interface{ Platform() []string }); ok {
		platform = p.Platform()
	}
	return trace.Meta{Platform: platform, Space: bed.Space(), Scenario: c.Scenario.Name, StepSeconds: bed.Timing().Step, TimeScale: bed.TimeScale(), Testbed: bed.Name(),
		Load: c.Load.Name(), Actions: c.Actions, Seed: c.Seed, Reference: c.Reference,
		Extra: map[string]string{"scenario hash": fingerprint(c.Scenario)}}, nil
}

// fingerprint tells scenarios apart by what decides over measurements: not by
// loads and goals, which a trace does not depend on.
func fingerprint(s scenario.Scenario) string {
	b, err := json.Marshal(struct {
		Mesh   mesh.Mesh
		Work   any
		Queue  int
		Link   float64
		Settle float64
	}{s.Mesh, s.Kinds(), s.Queue, s.Link, s.Timing.Settling()})
	if err != nil {
		panic("testbed: " + err.Error()) // all of it is plain data
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:6])
}

// Sink takes the rows of a collection: a trace.Appender, or a trace.Table.
type Sink interface {
	// Next is the step at which collection goes on.
	Next() int
	Append(trace.Row) error
}

// Collect makes the steps from sink.Next() to c.Steps on bed and gives each to
// sink as it is done. Loads and actions are a function of seed and step alone,
// so that an interrupted collection goes on where it ended, with the loads and
// actions that it would have had; the requests within the steps are drawn anew.
// A step that was disturbed is in the trace, marked. An error, such as the
// context's, ends the collection and leaves all complete steps in sink.
func Collect(ctx context.Context, bed Testbed, sink Sink, c Collection) error {
	c, err := c.defaults(bed.Space())
	if err != nil {
		return fmt.Errorf("testbed: collection: %w", err)
	}
	first := sink.Next()
	if first >= c.Steps {
		return nil
	}
	if err := bed.Reset(ctx, rand.NewPCG(c.Seed, uint64(first)).Uint64()); err != nil {
		return fmt.Errorf("testbed: collection: %w", err)
	}
	plan := newPlan(bed.Space(), c)
	for step := first; step < c.Steps; step++ {
		row := trace.Row{Step: step}
		row.Load, row.Action = plan.at(step)
		if err := configure(ctx, bed, row.Load, row.Action); err != nil {
			return fmt.Errorf("testbed: collection, step %d of %d: %w", step, c.Steps, err)
		}
		row.Start = bed.Now()
		if row.Measurement, err = bed.Measure(ctx, row.Load, row.Action); err != nil {
			return fmt.Errorf("testbed: collection, step %d of %d: %w", step, c.Steps, err)
		}
		if err := sink.Append(row); err != nil {
			return fmt.Errorf("testbed: collection: %w", err)
		}
		if c.Progress != nil {
			c.Progress(row)
		}
	}
	return nil
}

// configure makes steps that are in no trace until action a is in force, and one
// more, after which queues are those of that action: a row shows a mesh whose
// knobs are all where the row says, and were.
func configure(ctx context.Context, bed Testbed, load mesh.Load, a mesh.Action) error {
	s, ok := bed.(control.Configured)
	if !ok || !bed.Space().Slow() {
		return nil
	}
	mark, limit := "", patience(bed)
	for range limit {
		inForce, pending := s.InForce()
		there := len(pending) == 0
		for h := range bed.Space().Knobs() {
			if k := &bed.Space().Knobs()[h]; k.Slow() && !slices.Equal(k.Values(inForce), k.Values(a)) {
				there = false
			}
		}
		x, err := bed.Measure(ctx, load, a)
		if err != nil {
			return err
		}
		if there {
			return nil
		}
		mark = x.Mark
	}
	if mark != "" {
		mark = ": " + mark
	}
	return fmt.Errorf("%s is not in force after %d steps%s", bed.Space().Format(a), limit, mark)
}

// patience is how many steps an action may take to be in force: several times as
// many as it should.
func patience(bed Testbed) int {
	steps := 2.0
	for _, k := range bed.Space().Knobs() {
		moves := 1.0
		if k.Step > 0 {
			moves = math.Ceil(float64(len(k.Points)-1) / float64(k.Step))
		}
		steps = max(steps, moves*(1+math.Ceil(max(k.Up, k.Down)/bed.Timing().Seconds())))
	}
	return int(min(5*steps, 1e6))
}

// CollectFile collects into a trace file, beginning it or going on where it
// ends (see trace.OpenAppender). It returns the number of rows in the file.
func CollectFile(ctx context.Context, bed Testbed, path string, c Collection) (rows int, err error) {
	meta, err := c.Meta(bed)
	if err != nil {
		return 0, err
	}
	a, err := trace.OpenAppender(path, meta)
	if err != nil {
		return 0, err
	}
	defer func() {
		rows = a.Rows()
		if e := a.Close(); err == nil {
			err = e
		}
	}()
	return 0, Collect(ctx, bed, a, c)
}

// plan is the load and the action of each step.
type plan struct {
	c     Collection
	space *mesh.Space
	// The reference cell.
	load   mesh.Load
	action mesh.Action

	round  int   // that order is of; -1 before the first
	order  []int // of the actions in a round of the grid
	within []int // the actions of the grid, nil for all
}

func newPlan(space *mesh.Space, c Collection) *plan {
	p := &plan{c: c, space: space, round: -1}
	p.load, p.action = c.Scenario.Reference(space)
	if c.Actions == GridActions && space.Limits() != nil {
		p.within = space.Numbers()
	}
	return p
}

// Streams of the plan's random numbers, apart from those of loads and requests.
const (
	streamRandom = 0x72616e646f6d
	streamGrid   = 0x67726964
)

func (p *plan) at(step int) (mesh.Load, mesh.Action) {
	if p.c.Reference > 0 && step%p.c.Reference == 0 {
		return p.load, p.action
	}
	l := p.c.Load.At(nil, p.c.Seed, step)
	n := p.space.Len()
	if p.c.Actions == RandomActions {
		return l, p.random(rand.New(rand.NewPCG(p.c.Seed^streamRandom, uint64(step))))
	}
	if p.c.Reference > 0 {
		step -= step/p.c.Reference + 1 // the reference steps so far
	}
	if p.within != nil {
		n = len(p.within)
	}
	if round := step / n; round != p.round {
		p.round = round
		p.order = rand.New(rand.NewPCG(p.c.Seed^streamGrid, uint64(round))).Perm(n)
	}
	k := p.order[step%n]
	if p.within != nil {
		k = p.within[k]
	}
	return l, p.space.At(k)
}

// random is an action of which each is equally likely: by its number where the
// space is small, else knob by knob.
func (p *plan) random(r *rand.Rand) mesh.Action {
	choice := make([]int, len(p.space.Choices()))
	return p.space.Action(nil, p.space.Draw(func() []int {
		if n := p.space.Len(); n <= maxGrid {
			return p.space.Choice(choice, r.IntN(n))
		}
		for h, n := range p.space.Choices() {
			choice[h] = r.IntN(n)
		}
		return choice
	}))
}

// Describe says in a line what a row shows, for progress on a terminal.
func Describe(m mesh.Mesh, row trace.Row) string {
	var b strings.Builder
	fmt.Fprintf(&b, "step %d ", row.Step)
	for i := range m.M() {
		fmt.Fprintf(&b, " %s=%.3g %s=%.3g s", m.LoadName(i), row.Load[i], m.DelayName(i), row.Measurement.Service[i].Mean)
	}
	if row.Measurement.Mark != "" {
		fmt.Fprintf(&b, "  marked: %s", row.Measurement.Mark)
	}
	return b.String()
}
