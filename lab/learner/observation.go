package learner

import (
	"math"

	"github.com/meshbench/meshbench/lab/load"
	"github.com/meshbench/meshbench/lab/mesh"
)

// Observation is what of a state a policy sees, and how it is coded. The zero
// value is the offered loads as they are, in requests/s.
type Observation struct {
	// Delays puts the response times d_i of the step before in front of the
	// loads: (d1, d2, l1, l2) rather than (l1, l2). A missing one is 0.
	Delays bool `json:"delays,omitempty"`
	// Normalise maps loads of their range to -1 to 1, and response times to at
	// most 1 by d/(d+goal).
	Normalise bool `json:"normalise,omitempty"`
	// Gain multiplies loads that are normalised or shown at knots: with a larger
	// one the first layer tells neighbouring loads apart sooner. If 0, it will be
	// defaulted to 1.
	Gain float64 `json:"gain,omitempty"`
	// Knots, if above 1, shows each load as so many values in place of one: its
	// weights in the linear interpolation between as many points, evenly spaced
	// over its range. The optimum of a forest jumps between loads; a network
	// follows jumps much sooner in such inputs.
	Knots int `json:"knots,omitempty"`
	// Past shows as many loads of the steps before, in the same way.
	Past int `json:"past,omitempty"`
	// InForce shows the action in force, each value as a share of its highest,
	// and for knobs that take their time also what will be in force after one, two
	// and three thirds of it.
	InForce bool `json:"inForce,omitempty"`
}

// coder codes observations of one problem.
type coder struct {
	Observation
	Loads load.Ranges `json:"loads"`
	Goals []float64   `json:"goals,omitempty"`

	space *mesh.Space
	top   []float64 // of each value of an action
	slow  []int     // knobs that take their time
}

func newCoder(o Observation, loads load.Ranges, goals []float64, space *mesh.Space) coder {
	c := coder{Observation: o, Loads: loads, Goals: goals, space: space}
	for h, k := range space.Knobs() {
		if max(k.Up, k.Down) > 0 {
			c.slow = append(c.slow, h)
		}
		for j := range k.Columns {
			top := 0.0
			for _, p := range k.Points {
				top = max(top, p[j])
			}
			c.top = append(c.top, max(top, 1e-9))
		}
	}
	return c
}

// InForce says how an observation shows the action in force: divided by top, and
// for each of the knobs slow, which take their time, what it will be after each of
// so many equal parts of that time.
func (n *Network) InForce() (top []float64, slow []int, parts int) {
	return n.coder.top, n.coder.slow, thirds
}

// len is the number of values of an observation.
func (c *coder) len() int {
	m := len(c.Loads)
	n := m * max(1, c.Knots) * (1 + c.Past)
	if c.Delays {
		n += m
	}
	if c.InForce {
		n += len(c.top) + thirds*len(c.slow)
	}
	return n
}

// encode writes s to dst.
func (c *coder) encode(dst []float32, s mesh.State) {
	k := 0
	if c.Delays {
		for i, d := range s.Delay {
			switch {
			case math.IsNaN(d):
				d = 0
			case c.Normalise:
				d /= d + c.Goals[i]
			}
			dst[k] = float32(d)
			k++
		}
	}
	k += c.loads(dst[k:], s.Load)
	for p := range c.Past {
		k += c.loads(dst[k:], s.Past[p])
	}
	if !c.InForce {
		return
	}
	for v := range c.top {
		dst[k+v] = 0
		if s.InForce != nil {
			dst[k+v] = float32(s.InForce[v] / c.top[v])
		}
	}
	first := k
	k += len(c.top)
	for _, h := range c.slow {
		knob := &c.space.Knobs()[h]
		for u := range thirds {
			v := dst[first+knob.First]
			for _, p := range s.Pending {
				if p.Knob == h && p.Left <= max(knob.Up, knob.Down)*float64(u+1)/thirds+1e-9 {
					v = float32(knob.Points[p.Point][0] / c.top[knob.First])
				}
			}
			dst[k+u] = v
		}
		k += thirds
	}
}

// thirds are the times ahead at which a knob that is on its way is shown.
const thirds = 3

// loads writes what is seen of one step's loads, and returns how many values.
func (c *coder) loads(dst []float32, l mesh.Load) int {
	gain := c.Gain
	if gain == 0 {
		gain = 1
	}
	k := 0
	for i, v := range l {
		r := c.Loads[i]
		if c.Knots > 1 {
			interpolate(dst[k:k+c.Knots], (v-r.Min)/(r.Max-r.Min), gain)
			k += c.Knots
			continue
		}
		if c.Normalise {
			v = gain * (v - r.Mid()) / ((r.Max - r.Min) / 2)
		}
		dst[k] = float32(v)
		k++
	}
	return k
}

// interpolate writes the weights of a share of the range at the knots, times
// gain.
func interpolate(dst []float32, share, gain float64) {
	clear(dst)
	at := min(max(share, 0), 1) * float64(len(dst)-1)
	k := min(int(at), len(dst)-2)
	w := at - float64(k)
	dst[k], dst[k+1] = float32(gain*(1-w)), float32(gain*w)
}
