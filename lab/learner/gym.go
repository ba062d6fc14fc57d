package learner

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"github.com/meshbench/meshbench/lab/control"
	"github.com/meshbench/meshbench/lab/mesh"
	"github.com/meshbench/meshbench/lab/ppo"
)

// Gym shows an Env to a trainer of policies as vectors: observations as
// Observation codes them, choices as Heads divides actions. It is a ppo.Env, a
// ppo.Masker where knobs move by increments, and over a simulator a ppo.Stater.
type Gym struct {
	env    *control.Env
	coder  coder
	heads  Heads
	ctx    context.Context
	length int
	t      int
	action mesh.Action
	state  mesh.State
}

var (
	_ ppo.Env       = (*Gym)(nil)
	_ ppo.Stater    = (*Gym)(nil)
	_ ppo.Truncater = (*Gym)(nil)
	_ ppo.Masker    = maskedGym{}
)

// NewGym wraps an environment of problem p. Episodes are of length steps, and
// truncated then; 0 means that they do not end. The context ends waiting in a
// testbed's steps. Where knobs move by increments the result also has the method
// of ppo.Masker.
func NewGym(ctx context.Context, p Problem, o Observation, heads Heads, length int) (ppo.Env, error) {
	env, err := p.env(o.Delays)
	if err != nil {
		return nil, err
	}
	if heads, err = heads.in(env.Space()); err != nil {
		return nil, err
	}
	g := &Gym{env: env, coder: newCoder(o, p.Loads, p.Goals, env.Space()), heads: heads, ctx: ctx, length: length}
	for _, k := range env.Space().Knobs() {
		if k.Step > 0 {
			return maskedGym{g}, nil
		}
	}
	return g, nil
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
	return reward, g.length > 0 && g.t%g.length == 0, nil
}

// Truncated says that episodes end by a limit of time.
func (g *Gym) Truncated() bool { return true }

// maskedGym also says which choices are allowed.
type maskedGym struct{ *Gym }

// Mask writes the choices that are allowed from the action in force.
func (g maskedGym) Mask(dst []bool) { g.heads.mask(dst, g.env.Space(), g.state.InForce) }

// mask writes which choices may be made from the action in force: those of the
// first head, then those of the second, and so on.
func (h Heads) mask(dst []bool, space *mesh.Space, inForce mesh.Action) {
	allowed := make([][]bool, len(space.Choices()))
	for k, n := range space.Choices() {
		allowed[k] = make([]bool, n)
		space.Allowed(allowed[k], k, inForce)
	}
	if h != WholeAction {
		at := 0
		for _, part := range allowed {
			at += copy(dst[at:], part)
		}
		return
	}
	var choice []int
	for k := range dst {
		choice = space.Choice(choice, k)
		dst[k] = true
		for part, c := range choice {
			dst[k] = dst[k] && allowed[part][c]
		}
	}
}

// State is what SetState needs to go on: seed, step and last response times.
func (g *Gym) State() ([]byte, error) {
	if _, ok := g.env.System().(*control.Simulator); !ok {
		return nil, fmt.Errorf("learner: the state of %s cannot be saved", g.env.System().Name())
	}
	seed, t, s := g.env.At()
	b := binary.LittleEndian.AppendUint64(nil, seed)
	b = binary.LittleEndian.AppendUint64(b, uint64(t))
	for _, d := range s.Delay {
		b = binary.LittleEndian.AppendUint64(b, math.Float64bits(d))
	}
	return b, nil
}

// SetState goes on from a state that State returned.
func (g *Gym) SetState(state []byte) error {
	m := g.env.Space().Mesh().M()
	if len(state) != 8*(2+m) {
		return errors.New("learner: the saved state is not that of this environment")
	}
	var head [2]uint64
	delay := make([]float64, m)
	r := bytes.NewReader(state)
	for _, v := range []any{&head, delay} {
		if err := binary.Read(r, binary.LittleEndian, v); err != nil {
			return fmt.Errorf("learner: read the saved state: %w", err)
		}
	}
	g.env.Resume(head[0], int(head[1]), delay)
	_, g.t, g.state = g.env.At()
	return nil
}
