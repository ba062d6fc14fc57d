// Package policy holds what decides the action of each control step, and those
// policies that a learned one must beat under the same loads: random, static,
// proportional and greedy on a model.
package policy

import (
	"fmt"
	"math"
	"math/rand/v2"

	"github.com/meshbench/meshbench/lab/mesh"
	"github.com/meshbench/meshbench/lab/optimum"
)

// Policy chooses an action from the state of a mesh. One goroutine uses one
// policy.
type Policy interface {
	// Name identifies the policy in files and figures, for instance "ppo".
	Name() string
	// Reset begins a run; whatever the policy draws follows from seed.
	Reset(seed uint64)
	// Act returns the action for state s. It must not be changed, and is valid
	// until the next call.
	Act(s mesh.State) (mesh.Action, error)
}

// Seer is a policy that says whether it looks at the response times of the step
// before. One that does not say so does not.
type Seer interface {
	SeesDelays() bool
}

// SeesDelays reports whether p looks at the response times of the step before.
func SeesDelays(p Policy) bool {
	s, ok := p.(Seer)
	return ok && s.SeesDelays()
}

// Random draws the point of every knob uniformly.
type Random struct {
	Space  *mesh.Space
	rng    *rand.Rand
	choice []int
	action mesh.Action
}

// Name is "random".
func (p *Random) Name() string { return "random" }

// Reset seeds the draws.
func (p *Random) Reset(seed uint64) { p.rng = rand.New(rand.NewPCG(seed, 0x706f6c696379)) }

// Act draws an action.
func (p *Random) Act(mesh.State) (mesh.Action, error) {
	if p.rng == nil {
		p.Reset(0)
	}
	p.action = p.Space.Action(p.action, p.Space.Draw(p.draw))
	return p.action, nil
}

func (p *Random) draw() []int {
	if n := p.Space.Len(); n < math.MaxInt {
		p.choice = p.Space.Choice(p.choice, p.rng.IntN(n))
	} else {
		p.choice = p.choice[:0]
		for _, n := range p.Space.Choices() {
			p.choice = append(p.choice, p.rng.IntN(n))
		}
	}
	return p.choice
}

// Static always takes the same action.
type Static struct {
	Label  string // its name; default "static"
	Action mesh.Action
}

// Name is the label.
func (p Static) Name() string {
	if p.Label == "" {
		return "static"
	}
	return p.Label
}

// Reset does nothing.
func (p Static) Reset(uint64) {}

// Act returns the action.
func (p Static) Act(mesh.State) (mesh.Action, error) { return p.Action, nil }

// Proportional is the rule that an operator would set without learning: each
// call is routed in proportion to its nodes' speed, and as much is blocked, the
// same fraction of every service, as keeps the nodes' utilisation at or below a
// bound. Knobs of other kinds stay as they are without control.
type Proportional struct {
	Space *mesh.Space
	// Time is the mean time in s that a request of each of the layout's
	// microservices keeps a node of speed 1 busy.
	Time []float64
	// Bound is the highest utilisation. If 0, it will be defaulted to 0.7.
	Bound float64
}

// Name is "proportional".
func (p Proportional) Name() string { return "proportional" }

// Reset does nothing.
func (p Proportional) Reset(uint64) {}

// Act returns the action of the space that is nearest to the rule, with
// blocking rounded up so that the bound holds.
func (p Proportional) Act(s mesh.State) (mesh.Action, error) {
	l := p.Space.Layout()
	m := l.Mesh
	if len(p.Time) != len(l.Microservices) {
		return nil, fmt.Errorf("policy: proportional has %d service times for the %d microservices of %s", len(p.Time), len(l.Microservices), m)
	}
	bound := p.Bound
	if bound == 0 {
		bound = .7
	}
	a := p.Space.Default()
	busy := make([]float64, m.N())
	for c, call := range l.Calls {
		total := 0.0
		for _, j := range call.Nodes {
			total += m.Speed(j)
		}
		h := p.Space.Find(mesh.Route, c)
		for k, j := range call.Nodes {
			share := m.Speed(j) / total
			if h >= 0 {
				p.Space.Knobs()[h].Values(a)[k] = share
			} else {
				share = p.Space.RouteOf(a, c)[k]
			}
			busy[j] += s.Load[call.Service] * share * p.Time[call.Microservice] / m.Speed(j)
		}
	}
	over := 0.0
	for _, b := range busy {
		over = max(over, b/bound)
	}
	choice := p.Space.Nearest(a)
	if over > 1 {
		for h := range p.Space.Knobs() {
			k := &p.Space.Knobs()[h]
			if k.Kind != mesh.Block {
				continue
			}
			least, most := -1, 0
			for u, point := range k.Points {
				if point[0] >= 1-1/over-1e-9 && (least < 0 || point[0] < k.Points[least][0]) {
					least = u
				}
				if point[0] > k.Points[most][0] {
					most = u
				}
			}
			if choice[h] = least; least < 0 { // not as much can be blocked
				choice[h] = most
			}
		}
	}
	return p.Space.Action(nil, p.Space.Fit(choice)), nil
}

// Greedy takes, for the load of the moment, the action that is best under a
// model. On the model that evaluates it, it is the optimum.
type Greedy struct {
	Optimum optimum.Optimum
	Label   string // its name; default "greedy"
}

// Name is the label.
func (p Greedy) Name() string {
	if p.Label == "" {
		return "greedy"
	}
	return p.Label
}

// Reset does nothing.
func (p Greedy) Reset(uint64) {}

// Act enumerates, or searches.
func (p Greedy) Act(s mesh.State) (mesh.Action, error) {
	b, err := p.Optimum.Best(s.Load)
	return b.Action, err
}

// Score is the mean over loads of a policy's reward over the best one, both
// under r, without sampling error; exact says whether all of the best are those
// of the whole space rather than the best found. It is an error for a policy that
// looks at response times, which are missing here, or asks for more than a limit of
// the space, and where the best reward is not positive.
func Score(r *optimum.Rewards, p Policy, loads []mesh.Load) (score float64, exact bool, err error) {
	if SeesDelays(p) {
		return 0, false, fmt.Errorf("policy: %s looks at response times; a score over loads alone is not one of it; evaluate runs", p.Name())
	}
	exact = true
	s := mesh.State{Delay: make([]float64, r.Space().Mesh().M())}
	for i := range s.Delay {
		s.Delay[i] = math.NaN()
	}
	for _, s.Load = range loads {
		a, err := p.Act(s)
		if err != nil {
			return 0, false, err
		}
		best, err := r.Best(s.Load)
		if err != nil {
			return 0, false, err
		}
		if !(best.Reward > 0) {
			return 0, false, fmt.Errorf("policy: the best reward at load %v is %v; a ratio to it needs it above 0", s.Load, best.Reward)
		}
		if err := r.Space().Validate(a); err != nil {
			return 0, false, fmt.Errorf("policy: %s at load %v: %w", p.Name(), s.Load, err)
		}
		v, err := r.Value(s.Load, a)
		if err != nil {
			return 0, false, err
		}
		score += v / best.Reward / float64(len(loads))
		exact = exact && best.Exact
	}
	return score, exact, nil
}

// BestConstant returns the static policy whose action has the highest mean of
// reward / best reward over the given loads: of all actions where those can be
// enumerated, else of the best action of each load and what a search from the
// best of them finds.
func BestConstant(r *optimum.Rewards, loads []mesh.Load) (Static, error) {
	c := constants{r: r, loads: loads}
	if r.Exact() {
		return c.enumerate()
	}
	return c.search()
}

type constants struct {
	r     *optimum.Rewards
	loads []mesh.Load

	values []*optimum.Values
	best   []float64
}

func (c *constants) enumerate() (Static, error) {
	space := c.r.Space()
	score := make([]float64, space.Len())
	for _, l := range c.loads {
		t, err := c.r.Table(l)
		if err != nil {
			return Static{}, err
		}
		if t.Best <= 0 {
			continue
		}
		for k, v := range t.Reward {
			score[k] += v / t.Best
		}
	}
	best := -1
	for k := range score {
		if (best < 0 || score[k] > score[best]) && space.FitsAt(k) {
			best = k
		}
	}
	return Static{Label: "constant", Action: space.At(best)}, nil
}

// score of a choice at all loads.
func (c *constants) score(choice []int) (float64, error) {
	sum := 0.0
	for k, v := range c.values {
		if c.best[k] <= 0 {
			continue
		}
		got, err := v.Choice(choice)
		if err != nil {
			return 0, err
		}
		sum += got / c.best[k]
	}
	return sum, nil
}

func (c *constants) search() (Static, error) {
	space := c.r.Space()
	var starts [][]int
	for _, l := range c.loads {
		b, err := c.r.Best(l)
		if err != nil {
			return Static{}, err
		}
		v, err := c.r.At(l)
		if err != nil {
			return Static{}, err
		}
		c.values, c.best = append(c.values, v), append(c.best, b.Reward)
		choice, ok := space.ChoiceOf(nil, b.Action)
		if ok {
			starts = append(starts, choice)
		}
	}
	var best []int
	top := math.Inf(-1)
	for _, choice := range starts {
		v, err := c.score(choice)
		if err != nil {
			return Static{}, err
		}
		if v > top {
			top, best = v, choice
		}
	}
	allowed := space.AllowedIn(mesh.State{})
	for again := true; again; {
		again = false
		for h, n := range space.Choices() {
			now := best[h]
			for u := range n {
				for _, choice := range allowed.Moves(best, h, u) {
					v, err := c.score(choice)
					if err != nil {
						return Static{}, err
					}
					if v > top+1e-12 {
						top, best = v, choice
					}
				}
			}
			again = again || best[h] != now
		}
	}
	return Static{Label: "constant", Action: space.Action(nil, best)}, nil
}
