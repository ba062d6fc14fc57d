package optimum

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/meshbench/meshbench/lab/control"
	"github.com/meshbench/meshbench/lab/internal/memo"
	"github.com/meshbench/meshbench/lab/load"
	"github.com/meshbench/meshbench/lab/mesh"
	"github.com/meshbench/meshbench/lab/objective"
)

// Dynamics is what knobs that take their time, or move by increments, can do: all
// of their configurations, in force and on their way, and where each leads. The
// other knobs are in force at once: each step they are set to what pays most.
// Bounds on what foresight can gain are found by dynamic programming over it: of
// one that knows the loads to come (Plan), and of one that knows how they come
// about (Iterate). It is safe for concurrent use.
type Dynamics struct {
	rewards *Rewards
	seconds float64
	slow    []int   // knobs
	asks    [][]int // choices of the slow knobs, the last running fastest
	fast    [][]int // choices of all knobs that differ in the others only
	states  []configuration
	number  map[string]int32
	to      []int32 // states x asks: where it leads; -1 where an increment forbids it
	pays    []int32 // states x asks: number of what is paid for in the step
	paid    []objective.Step
	best    memo.Memo[[]value] // by load: of each of paid
}

type configuration struct {
	inForce mesh.Action
	pending []mesh.Pending
}

// value is the most that fast knobs make of a step, and how.
type value struct {
	reward float64
	fast   int32
}

const (
	// maxStates bounds the configurations of slow knobs.
	maxStates = 20_000
	// maxTransitions bounds those times what can be asked for.
	maxTransitions = 1_000_000
	// maxFast bounds the actions of the fast knobs, which are enumerated.
	maxFast = 1 << 14
)

// NewDynamics finds the configurations that the space's slow knobs can come to
// from no control, with steps of the rewards' timing. It is an error that says
// how many there are where they are too many.
func NewDynamics(r *Rewards) (*Dynamics, error) {
	space := r.Space()
	d := &Dynamics{rewards: r, seconds: r.cfg.Timing.Seconds(), number: map[string]int32{}}
	d.best.Bound = r.cfg.Memory / 2
	asks, fast := 1, 1
	for h, n := range space.Choices() {
		if space.Knobs()[h].Slow() {
			d.slow = append(d.slow, h)
			asks *= n
		} else {
			fast *= n
		}
		if asks > maxStates || fast > maxFast {
			return nil, fmt.Errorf("optimum: dynamic programming in %s: %d choices of slow knobs, %d of others; accepted: at most %d and %d", space, asks, fast, maxStates, maxFast)
		}
	}
	if d.slow == nil {
		return nil, errors.New("optimum: dynamic programming in a space without a knob that takes its time: Best of each load is the optimum")
	}
	if r.changes && fast > 1 {
		return nil, fmt.Errorf("optimum: dynamic programming of objective %q: it values changes of knobs that take no time; accepted: of those that do", r.objective.Name)
	}
	if space.LimitsMix() {
		return nil, fmt.Errorf("optimum: dynamic programming in %s: a limit over knobs of which some take their time and others none; accepted: all of either", space)
	}
	slow := func(h int) bool { return space.Knobs()[h].Slow() }
	d.asks = combinations(space, slow)
	d.fast = combinations(space, func(h int) bool { return !slow(h) })
	return d, d.explore()
}

// combinations are the choices within the limits that differ from no control in the
// given knobs.
func combinations(space *mesh.Space, of func(h int) bool) [][]int {
	base, choices := space.Nearest(space.Default()), space.Choices()
	out := [][]int{append([]int(nil), base...)}
	for h, n := range choices {
		if !of(h) {
			continue
		}
		var next [][]int
		for _, c := range out {
			for u := range n {
				c := append([]int(nil), c...)
				c[h] = u
				next = append(next, c)
			}
		}
		out = next
	}
	return slices.DeleteFunc(out, func(c []int) bool { return !space.Fits(c) })
}

// explore numbers the configurations in the order in which they are come to.
func (d *Dynamics) explore() error {
	space := d.rewards.Space()
	p := control.NewProgress(space)
	inForce, pending := p.InForce()
	d.add(inForce, pending)
	paid := map[string]int32{}
	var action mesh.Action
	for s := 0; s < len(d.states); s++ {
		if len(d.states) > maxStates || len(d.states)*len(d.asks) > maxTransitions {
			return fmt.Errorf("optimum: dynamic programming in %s: more than %d configurations of slow knobs; accepted: at most %d, and %d with what can be asked for in each", space, len(d.states), maxStates, maxTransitions)
		}
		from := d.states[s]
		allowed := space.AllowedIn(mesh.State{InForce: from.inForce, Pending: from.pending})
		for _, choice := range d.asks {
			action = space.Action(action, choice)
			if !allowed.Has(choice) {
				d.to, d.pays = append(d.to, -1), append(d.pays, -1)
				continue
			}
			p.Set(from.inForce, from.pending)
			step := p.Step(action, d.seconds)
			inForce, pending := p.InForce()
			key := string(d.rewards.knobsKey(nil, step))
			at, ok := paid[key]
			if !ok {
				at = int32(len(d.paid))
				paid[key] = at
				d.paid = append(d.paid, step)
			}
			d.to, d.pays = append(d.to, d.add(inForce, pending)), append(d.pays, at)
		}
	}
	d.best.Size = 16 * len(d.paid)
	return nil
}

func (d *Dynamics) add(inForce mesh.Action, pending []mesh.Pending) int32 {
	key := d.key(inForce, pending)
	n, ok := d.number[key]
	if !ok {
		n = int32(len(d.states))
		d.number[key] = n
		d.states = append(d.states, configuration{inForce.Clone(), append([]mesh.Pending(nil), pending...)})
	}
	return n
}

// key tells configurations apart, what is on its way by the number of steps until
// it is in force.
func (d *Dynamics) key(inForce mesh.Action, pending []mesh.Pending) string {
	var b []byte
	for _, h := range d.slow {
		k := &d.rewards.Space().Knobs()[h]
		b = binary.AppendUvarint(b, uint64(k.Nearest(k.Values(inForce))))
	}
	for n, p := range pending {
		steps := uint64(math.Ceil(p.Left/d.seconds - 1e-6))
		if n+1 < len(pending) && pending[n+1].Knob == p.Knob && uint64(math.Ceil(pending[n+1].Left/d.seconds-1e-6)) == steps {
			continue // the next one comes in the same step
		}
		b = binary.AppendUvarint(b, uint64(p.Knob))
		b = binary.AppendUvarint(b, uint64(p.Point))
		b = binary.AppendUvarint(b, steps)
	}
	return string(b)
}

// Len is the number of configurations.
func (d *Dynamics) Len() int { return len(d.states) }

// of is the number of the configuration of a state. One that is not come to in
// whole steps counts as that with nothing on its way and what was asked in force.
func (d *Dynamics) of(s mesh.State) (int32, error) {
	if s.InForce == nil {
		return 0, nil
	}
	if n, ok := d.number[d.key(s.InForce, s.Pending)]; ok {
		return n, nil
	}
	if n, ok := d.number[d.key(d.rewards.Space().Asked(nil, s.InForce, s.Pending), nil)]; ok {
		return n, nil
	}
	return 0, fmt.Errorf("optimum: %s is no configuration that can be come to", d.rewards.Space().Format(s.InForce))
}

// values are what each of paid pays at a load, with the best of the fast knobs.
func (d *Dynamics) values(load mesh.Load) ([]value, error) {
	load = d.rewards.rounded(load)
	var buf [64]byte
	return d.best.Get(loadKey(buf[:0], load), func() ([]value, error) {
		space := d.rewards.Space()
		v, err := d.rewards.At(append(mesh.Load(nil), load...))
		if err != nil {
			return nil, err
		}
		out := make([]value, len(d.paid))
		// What differs in cost or change alone is measured once, for each fast choice.
		for n := range out {
			out[n].reward = math.Inf(-1)
		}
		byAction := map[string][]int{}
		var order []string
		for n, s := range d.paid {
			key := string(loadKey(nil, s.Action))
			if byAction[key] == nil {
				order = append(order, key)
			}
			byAction[key] = append(byAction[key], n)
		}
		for _, key := range order {
			same := byAction[key]
			base := d.paid[same[0]].Action.Clone()
			for f, choice := range d.fast {
				for h := range space.Knobs() {
					if k := &space.Knobs()[h]; !k.Slow() {
						copy(k.Values(base), k.Points[choice[h]])
					}
				}
				if err := v.forecast.Set(base); err != nil {
					return nil, err
				}
				rest := 0.0 // of the fast knobs, which cost as they are
				if len(d.fast) > 1 {
					rest = space.Cost(base) - space.Cost(d.paid[same[0]].Action)
				}
				for _, n := range same {
					s := d.paid[n]
					s.Load, s.Action, s.Cost = v.load, base, s.Cost+rest
					r, err := v.value(s, 1)
					if err != nil {
						return nil, err
					}
					if r > out[n].reward {
						out[n] = value{r, int32(f)}
					}
				}
			}
		}
		return out, nil
	})
}

// action is ask number a with fast choice f.
func (d *Dynamics) action(a int, f int32) mesh.Action {
	choice := append([]int(nil), d.fast[f]...)
	for _, h := range d.slow {
		choice[h] = d.asks[a][h]
	}
	return d.rewards.Space().Action(nil, choice)
}

// best is the ask that pays most from configuration s at a load, future being
// what configurations are worth afterwards.
func (d *Dynamics) choose(s int32, now []value, gamma float64, future func(to int32) float64) (worth float64, ask int) {
	worth = math.Inf(-1)
	for a := range d.asks {
		at := int(s)*len(d.asks) + a
		if d.to[at] < 0 {
			continue
		}
		if v := now[d.pays[at]].reward + gamma*future(d.to[at]); v > worth {
			worth, ask = v, a
		}
	}
	return worth, ask
}

// Plan is what is best when the loads to come are known.
type Plan struct {
	d     *Dynamics
	loads []mesh.Load
	worth [][]float32 // of each configuration before step t
}

// Plan finds what pays most in all over a run of loads.
func (d *Dynamics) Plan(ctx context.Context, loads []mesh.Load) (*Plan, error) {
	p := &Plan{d: d, loads: loads, worth: make([][]float32, len(loads)+1)}
	p.worth[len(loads)] = make([]float32, len(d.states))
	if err := d.prepare(ctx, loads); err != nil {
		return nil, err
	}
	for t := len(loads) - 1; t >= 0; t-- {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		now, err := d.values(loads[t])
		if err != nil {
			return nil, err
		}
		after, worth := p.worth[t+1], make([]float32, len(d.states))
		for s := range worth {
			v, _ := d.choose(int32(s), now, 1, func(to int32) float64 { return float64(after[to]) })
			worth[s] = float32(v)
		}
		p.worth[t] = worth
	}
	return p, nil
}

// prepare values the loads, all processors at it.
func (d *Dynamics) prepare(ctx context.Context, loads []mesh.Load) error {
	return each(ctx, loads, func(l mesh.Load) error { _, err := d.values(l); return err })
}

// Worth is what the run pays in all from no control, in the model.
func (p *Plan) Worth() float64 { return float64(p.worth[0][0]) }

// At is the best action in step t of the run from the configuration of state s.
func (p *Plan) At(t int, s mesh.State) (mesh.Action, error) {
	if t >= len(p.loads) {
		return nil, fmt.Errorf("optimum: step %d of a plan of %d", t, len(p.loads))
	}
	from, err := p.d.of(s)
	if err != nil {
		return nil, err
	}
	now, err := p.d.values(p.loads[t])
	if err != nil {
		return nil, err
	}
	_, ask := p.d.choose(from, now, 1, func(to int32) float64 { return float64(p.worth[t+1][to]) })
	return p.d.action(ask, now[p.d.pays[int(from)*len(p.d.asks)+ask]].fast), nil
}

// Oracle is a policy that knows the load to come: that of a pattern and of the
// seed that it is reset with.
type Oracle struct {
	Dynamics *Dynamics
	Pattern  load.Pattern
	Steps    int // of a run

	plan *Plan
	err  error
	t    int
}

// Name is "oracle".
func (p *Oracle) Name() string { return "oracle" }

// Reset plans a run.
func (p *Oracle) Reset(seed uint64) {
	loads := make([]mesh.Load, p.Steps)
	for t := range loads {
		loads[t] = p.Pattern.At(nil, seed, t)
	}
	p.t = 0
	p.plan, p.err = p.Dynamics.Plan(context.Background(), loads)
}

// Act is what the plan says.
func (p *Oracle) Act(s mesh.State) (mesh.Action, error) {
	if p.plan == nil && p.err == nil {
		p.Reset(0)
	}
	if p.err != nil {
		return nil, p.err
	}
	p.t++
	return p.plan.At(p.t-1, s)
}
