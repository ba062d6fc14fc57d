package learner

import (
	"bytes"
	"context"
	"encoding/gob"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/meshbench/meshbench/lab/control"
	"github.com/meshbench/meshbench/lab/mesh"
	"github.com/meshbench/meshbench/lab/ppo"
)

// Gym shows an Env to a trainer of policies as vectors: observations as
// Observation codes them, choices as Heads divides actions. It is a ppo.Env, a
// ppo.Masker where knobs move by increments, a ppo.ConditionalMasker where limits
// bound several of them, each with a head of its own, and over a simulator a
// ppo.Stater.
type Gym struct {
	env    *control.Env
	coder  coder
	heads  Heads
	ctx    context.Context
	length int
	scale  float64 // of rewards
	t      int
	action mesh.Action
	state  mesh.State

	allowed mesh.Allowed // in state, for a limitedGym
}

var (
	_ ppo.Env       = (*Gym)(nil)
	_ ppo.Stater    = (*Gym)(nil)
	_ ppo.Truncater = (*Gym)(nil)
	_ ppo.Masker    = maskedGym{}

	_ ppo.ConditionalMasker = limitedGym{}
)

// NewGym wraps an environment of problem p. Episodes are of length steps, and
// truncated then; 0 means that they do not end. The context ends waiting in a
// testbed's steps. Where not every choice may be made the result also has the method
// of ppo.Masker or ppo.ConditionalMasker.
func NewGym(ctx context.Context, p Problem, o Observation, heads Heads, length int) (ppo.Env, error) {
	return newGym(ctx, p, o, heads, length, 1)
}

// newGym is NewGym with rewards times scale.
func newGym(ctx context.Context, p Problem, o Observation, heads Heads, length int, scale float64) (ppo.Env, error) {
	env, err := p.env(o)
	if err != nil {
		return nil, err
	}
	if heads, err = heads.in(env.Space()); err != nil {
		return nil, err
	}
	g := &Gym{env: env, coder: newCoder(o, p.Loads, p.Goals, env.Space()), heads: heads, ctx: ctx, length: length, scale: scale}
	switch {
	case heads.limited(env.Space()):
		return limitedGym{g}, nil
	case masked(env.Space()):
		return maskedGym{g}, nil
	}
	return g, nil
}

// masked reports whether there are choices that may not be made.
func masked(space *mesh.Space) bool {
	return space.Limits() != nil || slices.ContainsFunc(space.Knobs(), func(k mesh.KnobAt) bool { return k.Step > 0 })
}

// limited reports whether which choices a head has depends on those of others.
func (h Heads) limited(space *mesh.Space) bool {
	return h != WholeAction && space.Limits() != nil
}

// Spaces returns the length of an observation and the choices of each head.
func (g *Gym) Spaces() (obs int, heads []int) {
	return g.coder.len(), g.heads.of(g.env.Space())
}

// Reset starts an episode.
func (g *Gym) Reset(seed uint64, obs []float32) error {
	s, err := g.env.Reset(g.ctx, seed)
	if err != nil {
		return err
	}
	g.t, g.state = 0, s
	g.coder.encode(obs, s)
	return nil
}

// Step makes one control step. A reward that is missing counts as 0.
func (g *Gym) Step(choice []int, obs []float32) (reward float64, done bool, err error) {
	g.action = g.heads.action(g.env.Space(), g.action, choice)
	s, err := g.env.Step(g.ctx, g.action)
	if err != nil {
		return 0, false, err
	}
	g.t++
	g.state = s.Next
	g.coder.encode(obs, s.Next)
	if reward = s.Reward; math.IsNaN(reward) {
		reward = 0
	}
	return g.scale * reward, g.length > 0 && g.t%g.length == 0, nil
}

// Truncated says that episodes end by a limit of time.
func (g *Gym) Truncated() bool { return true }

// maskedGym also says which choices are allowed.
type maskedGym struct{ *Gym }

// Mask writes the choices that are allowed from the action in force.
func (g maskedGym) Mask(dst []bool) { g.heads.mask(dst, g.env.Space(), g.state) }

// mask writes which choices may be made from what was asked for last: those of the
// first head, then those of the second, and so on.
func (h Heads) mask(dst []bool, space *mesh.Space, s mesh.State) {
	allowed := space.AllowedIn(s)
	if h != WholeAction {
		at := 0
		for _, part := range allowed.Points {
			at += copy(dst[at:], part)
		}
		return
	}
	var choice []int
	for k := range dst {
		choice = space.Choice(choice, k)
		dst[k] = allowed.Has(choice)
	}
}

// limitedGym also says which choices are allowed after those of other heads.
type limitedGym struct{ *Gym }

// MaskHead writes the choices of a head that are allowed after those before.
func (g limitedGym) MaskHead(head int, before []int, dst []bool) {
	if head == 0 {
		g.allowed = g.env.Space().AllowedIn(g.state)
	}
	within(g.allowed).MaskHead(head, before, dst)
}

// within are the choices that may be made in a state, head by head.
type within mesh.Allowed

func (a within) MaskHead(_ int, before []int, dst []bool) { mesh.Allowed(a).Given(dst, before) }

// configurable is a system whose only memory is how its knobs are set.
type configurable interface {
	Configure(inForce mesh.Action, pending []mesh.Pending)
}

// saved is the state of a Gym over a system without a memory but its knobs.
type saved struct {
	Seed    uint64
	Step    int
	Delay   []float64
	InForce mesh.Action
	Pending []mesh.Pending
}

// State is what SetState needs to go on.
func (g *Gym) State() ([]byte, error) {
	if _, ok := g.env.System().(configurable); !ok {
		return nil, fmt.Errorf("learner: the state of %s cannot be saved", g.env.System().Name())
	}
	seed, t, s := g.env.At()
	var b bytes.Buffer
	if err := gob.NewEncoder(&b).Encode(saved{seed, t, s.Delay, s.InForce, s.Pending}); err != nil {
		return nil, fmt.Errorf("learner: save the state: %w", err)
	}
	return b.Bytes(), nil
}

// SetState goes on from a state that State returned.
func (g *Gym) SetState(state []byte) error {
	system, ok := g.env.System().(configurable)
	if !ok {
		return fmt.Errorf("learner: %s cannot go on from a saved state", g.env.System().Name())
	}
	var s saved
	if err := gob.NewDecoder(bytes.NewReader(state)).Decode(&s); err != nil {
		return fmt.Errorf("learner: read the saved state: %w", err)
	}
	space := g.env.Space()
	if len(s.Delay) != space.Mesh().M() || space.ValidateInForce(s.InForce) != nil {
		return errors.New("learner: the saved state is not that of this environment")
	}
	for _, p := range s.Pending {
		if p.Knob < 0 || p.Knob >= len(space.Knobs()) || p.Point < 0 || p.Point >= len(space.Knobs()[p.Knob].Points) {
			return errors.New("learner: the saved state is not that of this environment")
		}
	}
	system.Configure(s.InForce, s.Pending)
	g.env.Resume(s.Seed, s.Step, s.Delay)
	_, g.t, g.state = g.env.At()
	return nil
}

// Code returns what a policy that sees o, of a problem in that space, sees of each
// load when nothing else is known.
func Code(p Problem, o Observation, space *mesh.Space, loads []mesh.Load) ([][]float32, error) {
	if o.Past > 0 {
		return nil, fmt.Errorf("learner: the loads of %d steps before are seen, too; accepted: observations of the present load", o.Past)
	}
	c := newCoder(o, p.Loads, p.Goals, space)
	s := mesh.State{Delay: make([]float64, space.Mesh().M())}
	for i := range s.Delay {
		s.Delay[i] = math.NaN()
	}
	var out [][]float32
	for _, s.Load = range loads {
		x := make([]float32, c.len())
		c.encode(x, s)
		out = append(out, x)
	}
	return out, nil
}

// Action writes the action with the given choice of each head to dst.
func (h Heads) Action(space *mesh.Space, dst mesh.Action, choice []int) (mesh.Action, error) {
	h, err := h.in(space)
	if err != nil {
		return nil, err
	}
	return h.action(space, dst, choice), nil
}
