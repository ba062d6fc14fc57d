package sim

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"github.com/meshbench/meshbench/lab/mesh"
)

// Observation is what of a state a learning policy sees, and how it is coded.
// The zero value is the offered loads as they are, in requests/s.
type Observation struct {
	// Delays puts the response times d_i of the step before in front of the
	// loads: (d1, d2, l1, l2) rather than (l1, l2). A missing one is 0.
	Delays bool `json:"delays"`
	// Normalise maps loads of 5 to 20 requests/s to -1 to 1, and response times
	// to at most 1 by d/(d+0.1 s).
	Normalise bool `json:"normalise"`
	// Gain multiplies loads that are normalised or shown at knots: with a larger
	// one the first layer tells neighbouring loads apart sooner. If 0, it will be
	// defaulted to 1.
	Gain float64 `json:"gain,omitempty"`
	// Knots, if above 1, shows each load as so many values in place of one: its
	// weights in the linear interpolation between as many points, evenly spaced
	// from 5 to 20 requests/s. The optimum of a forest jumps between loads; a
	// network follows jumps much sooner in such inputs.
	Knots int `json:"knots,omitempty"`
}

// Len is the number of values for m services.
func (o Observation) Len(m int) int {
	n := m * max(1, o.Knots)
	if o.Delays {
		n += m
	}
	return n
}

// Encode writes s to dst, of length o.Len(m).
func (o Observation) Encode(dst []float32, s mesh.State) {
	k := 0
	if o.Delays {
		for _, d := range s.Delay {
			switch {
			case math.IsNaN(d):
				d = 0
			case o.Normalise:
				d /= d + .1
			}
			dst[k] = float32(d)
			k++
		}
	}
	gain := o.Gain
	if gain == 0 {
		gain = 1
	}
	for _, l := range s.Load {
		if o.Knots > 1 {
			o.interpolate(dst[k:k+o.Knots], l, gain)
			k += o.Knots
			continue
		}
		if o.Normalise {
			l = gain * (l - 12.5) / 7.5
		}
		dst[k] = float32(l)
		k++
	}
}

// interpolate writes the weights of load l (requests/s) at the knots, times
// gain.
func (o Observation) interpolate(dst []float32, l, gain float64) {
	clear(dst)
	at := min(max((l-5)/15, 0), 1) * float64(len(dst)-1)
	k := min(int(at), len(dst)-2)
	w := at - float64(k)
	dst[k], dst[k+1] = float32(gain*(1-w)), float32(gain*w)
}

// Gym shows an Env to a trainer of policies as vectors: observations as
// Observation codes them, choices as Heads divides actions. It has the
// methods of ppo.Env and, over a simulator, of ppo.Stater. Episodes do not end.
type Gym struct {
	env   *Env
	obs   Observation
	heads Heads
	ctx   context.Context
}

// NewGym wraps env. The context ends waiting in a testbed's steps.
func NewGym(ctx context.Context, env *Env, obs Observation, heads Heads) *Gym {
	return &Gym{env: env, obs: obs, heads: heads, ctx: ctx}
}

// Spaces returns the length of an observation and the choices of each head.
func (g *Gym) Spaces() (obs int, heads []int) {
	return g.obs.Len(g.env.system.Mesh().M()), g.heads.Of(g.env.space)
}

// Reset starts an episode.
func (g *Gym) Reset(seed uint64, obs []float32) error {
	s, err := g.env.Reset(g.ctx, seed)
	if err != nil {
		return err
	}
	g.obs.Encode(obs, s)
	return nil
}

// Step makes one control step. A reward that is missing counts as 0.
func (g *Gym) Step(choice []int, obs []float32) (reward float64, done bool, err error) {
	s, err := g.env.Step(g.ctx, g.env.space.At(g.heads.Action(g.env.space, choice)))
	if err != nil {
		return 0, false, err
	}
	g.obs.Encode(obs, s.Next)
	if math.IsNaN(s.Reward) {
		return 0, false, nil
	}
	return s.Reward, false, nil
}

// State is what SetState needs to go on: seed, step and last response times.
func (g *Gym) State() ([]byte, error) {
	if _, ok := g.env.system.(*Simulator); !ok {
		return nil, fmt.Errorf("sim: the state of %s cannot be saved", g.env.system.Name())
	}
	b := binary.LittleEndian.AppendUint64(nil, g.env.seed)
	b = binary.LittleEndian.AppendUint64(b, uint64(g.env.t))
	for _, d := range g.env.state.Delay {
		b = binary.LittleEndian.AppendUint64(b, math.Float64bits(d))
	}
	return b, nil
}

// SetState goes on from a state that State returned.
func (g *Gym) SetState(state []byte) error {
	e := g.env
	if len(state) != 8*(2+e.system.Mesh().M()) {
		return errors.New("sim: the saved state is not that of this environment")
	}
	var head [2]uint64
	delay := make([]float64, e.system.Mesh().M())
	r := bytes.NewReader(state)
	for _, v := range []any{&head, delay} {
		if err := binary.Read(r, binary.LittleEndian, v); err != nil {
			return fmt.Errorf("sim: read the saved state: %w", err)
		}
	}
	e.seed, e.t = head[0], int(head[1])
	e.state.Delay = delay
	e.state.Load = e.pattern.At(e.state.Load, e.seed, e.t)
	return nil
}
