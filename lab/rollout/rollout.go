// Package rollout improves on a policy while it runs: before each step it plays
// the policy forward in a model, from each of the actions that could be taken
// now, and takes the one from which it does best (Bertsekas; Samani, Hammar and
// Stadler, NOMS 2024). A new model, of a system that has changed, changes what it
// does at once: nothing is learned.
package rollout

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/meshbench/meshbench/lab/control"
	"github.com/meshbench/meshbench/lab/load"
	"github.com/meshbench/meshbench/lab/mesh"
	"github.com/meshbench/meshbench/lab/optimum"
	"github.com/meshbench/meshbench/lab/policy"
)

// Loads foresees offered load: the loads of the steps after state s, in sample k
// of those that seed begins. It writes as many as dst has.
type Loads interface {
	Ahead(dst []mesh.Load, s mesh.State, seed uint64, k int)
}

// Persistent foresees that the load stays as it is.
type Persistent struct{}

// Ahead repeats the load.
func (Persistent) Ahead(dst []mesh.Load, s mesh.State, _ uint64, _ int) {
	for t := range dst {
		dst[t] = append(dst[t][:0], s.Load...)
	}
}

// Trend foresees that the load goes on as it did in the last steps, a straight
// line within the ranges.
type Trend struct{ Ranges load.Ranges }

// Ahead prolongs the line.
func (f Trend) Ahead(dst []mesh.Load, s mesh.State, _ uint64, _ int) {
	for t := range dst {
		dst[t] = append(dst[t][:0], s.Load...)
		if n := len(s.Past); n > 0 {
			for i := range dst[t] {
				slope := (s.Load[i] - s.Past[n-1][i]) / float64(n)
				dst[t][i] = min(max(s.Load[i]+float64(slope*float64(t+1)), f.Ranges[i].Min), f.Ranges[i].Max)
			}
		}
	}
}

// Chain draws loads from a Markov chain.
type Chain struct{ *optimum.Chain }

// Ahead draws a path.
func (f Chain) Ahead(dst []mesh.Load, s mesh.State, seed uint64, k int) {
	r := rand.New(rand.NewPCG(seed, uint64(k)))
	cell := f.Of(s.Load)
	for t := range dst {
		u := r.Float64()
		next := f.Next[cell]
		cell = next[len(next)-1].Cell
		for _, n := range next {
			if u -= n.Probability; u < 0 {
				cell = n.Cell
				break
			}
		}
		dst[t] = append(dst[t][:0], f.Loads[cell]...)
	}
}

// Stay asks for what was asked for last, as a base: without it the best of a model
// changes a knob that takes its time as soon as another point is a little better,
// whatever it loses on the way.
type Stay struct{ Space *mesh.Space }

// Name is "stay".
func (Stay) Name() string { return "stay" }

// Reset does nothing.
func (Stay) Reset(uint64) {}

// Act is what is in force, or on its way to be; before the first step what is
// nearest to no control.
func (p Stay) Act(s mesh.State) (mesh.Action, error) {
	if s.InForce == nil {
		return p.Space.Action(nil, p.Space.Nearest(p.Space.Default())), nil
	}
	return p.Space.Clamp(p.Space.Asked(nil, s.InForce, s.Pending)), nil
}

// Policy is rollout over a base policy. It is for one goroutine.
type Policy struct {
	// Rewards value the model that is rolled out.
	Rewards *optimum.Rewards
	// Base is the policy that is improved on.
	Base policy.Policy
	// Also are further ones that are played: an action is worth the most that any of
	// them makes of it (parallel rollout; Chang, Givan and Chong, "Parallel Rollout
	// for Online Solution of Partially Observable Markov Decision Processes", 2004).
	Also []policy.Policy
	// Loads foresee the load. Default Persistent.
	Loads Loads
	// Horizon is how many steps Base is played after the first. Default 12.
	Horizon int
	// Samples of the load are played, the same ones from every action: common random
	// numbers. Default 1; a chain wants more.
	Samples int
	// Value is what a state is worth where the horizon ends, in the present model.
	// Default 0.
	Value func(mesh.State) float64
	// Gamma is the discount. Default 0.95.
	Gamma float64
	// Joint tries all actions; otherwise one knob after the other, those before it
	// as was just chosen and those after it as Base has them, which takes the sum
	// of the knobs' points rather than their product.
	Joint bool
	// Sweeps is how often it goes through the knobs, each sweep from what the one
	// before chose, until nothing changes. Default 1.
	Sweeps int
	// Budget is the time of a decision, after which the best so far is taken. Base's
	// own action is tried first. Default 0, none.
	Budget time.Duration
	Label  string // its name; default "rollout"

	seed     uint64
	t        int
	progress *control.Progress
	state    mesh.State
	ahead    [][]mesh.Load
	tried    map[string]float64
	// Evaluated is the number of actions that the last decision tried.
	Evaluated int
	// Worth is what the action that it took is worth: the discounted rewards of the
	// steps that were played.
	Worth float64
}

// Name is the label.
func (p *Policy) Name() string {
	if p.Label == "" {
		return "rollout"
	}
	return p.Label
}

// SeesDelays reports whether the base looks at response times, which a model's
// steps do not have here.
func (p *Policy) SeesDelays() bool { return slices.ContainsFunc(p.bases(), policy.SeesDelays) }

// Reset begins a run.
func (p *Policy) Reset(seed uint64) {
	p.seed, p.t = seed, 0
	for _, base := range p.bases() {
		base.Reset(seed)
	}
}

func (p *Policy) bases() []policy.Policy { return append([]policy.Policy{p.Base}, p.Also...) }

// Act tries actions and returns the one that pays most.
func (p *Policy) Act(s mesh.State) (mesh.Action, error) {
	begin := time.Now()
	space := p.Rewards.Space()
	if p.progress == nil {
		p.progress = control.NewProgress(space)
		p.progress.Late(p.Rewards.Late())
	}
	p.foresee(s)
	p.t++
	p.tried, p.Evaluated, p.Worth = map[string]float64{}, 0, math.Inf(-1)
	var best mesh.Action
	for _, base := range p.bases() {
		a, err := base.Act(s)
		if err != nil {
			return nil, fmt.Errorf("rollout: base: %w", err)
		}
		a = a.Clone()
		v, err := p.play(s, a)
		if err != nil {
			return nil, err
		}
		if best == nil || v > p.Worth+1e-12 {
			best, p.Worth = a, v
		}
	}
	late := func() bool { return p.Budget > 0 && time.Since(begin) >= p.Budget }
	try := func(a mesh.Action) error {
		v, err := p.play(s, a)
		if err == nil && v > p.Worth+1e-12 {
			best, p.Worth = a.Clone(), v
		}
		return err
	}
	allowed := space.AllowedIn(s)
	if p.Joint {
		if space.Len() == math.MaxInt || space.Len() > 1<<20 {
			return nil, fmt.Errorf("rollout: all %s actions of %s; accepted with Joint: at most %d", space.Size(), space, 1<<20)
		}
		var choice []int
		for k := range space.Len() {
			choice = space.Choice(choice, k)
			if late() {
				break
			}
			if !allowed.Has(choice) {
				continue
			}
			if err := try(space.At(k)); err != nil {
				return nil, err
			}
		}
		return best, nil
	}
	for range max(p.Sweeps, 1) {
		before := p.Worth
		for h := range space.Knobs() {
			from := best // knobs before h as chosen, those after it as the base has them
			choice := space.Nearest(from)
			for u := range space.Knobs()[h].Points {
				for _, to := range allowed.Moves(choice, h, u) {
					if late() {
						break
					}
					a := from.Clone()
					for g := range to {
						if k := &space.Knobs()[g]; g == h || to[g] != choice[g] {
							copy(k.Values(a), k.Points[to[g]])
						}
					}
					if err := try(a); err != nil {
						return nil, err
					}
				}
			}
		}
		if p.Worth == before {
			break
		}
	}
	return best, nil
}

// foresee draws the loads of all samples.
func (p *Policy) foresee(s mesh.State) {
	loads := p.Loads
	if loads == nil {
		loads = Persistent{}
	}
	p.ahead = slices.Grow(p.ahead[:0], max(p.Samples, 1))[:max(p.Samples, 1)]
	for k := range p.ahead {
		if len(p.ahead[k]) != p.horizon() {
			p.ahead[k] = make([]mesh.Load, p.horizon())
		}
		loads.Ahead(p.ahead[k], s, p.seed+uint64(p.t)<<20, k)
	}
}

func (p *Policy) horizon() int {
	if p.Horizon == 0 {
		return 12
	}
	return p.Horizon
}

// play is what action a and then the base pay, the mean over the samples.
func (p *Policy) play(s mesh.State, a mesh.Action) (float64, error) {
	key := fmt.Sprint(a)
	if v, ok := p.tried[key]; ok {
		return v, nil
	}
	p.Evaluated++
	most := math.Inf(-1)
	for _, base := range p.bases() {
		sum := 0.0
		for k := range p.ahead {
			v, err := p.path(s, base, a, p.ahead[k])
			if err != nil {
				return 0, err
			}
			sum += v / float64(len(p.ahead))
		}
		most = max(most, sum)
	}
	p.tried[key] = most
	return most, nil
}

// path is what a and then a base pay under loads to come.
func (p *Policy) path(s mesh.State, base policy.Policy, a mesh.Action, loads []mesh.Load) (float64, error) {
	gamma := p.Gamma
	if gamma == 0 {
		gamma = .95
	}
	x := &p.state
	x.Delay = append(x.Delay[:0], s.Delay...)
	x.Load = append(x.Load[:0], s.Load...)
	for len(x.Past) < len(s.Past) {
		x.Past = append(x.Past, nil)
	}
	for k := range s.Past {
		x.Past[k] = append(x.Past[k][:0], s.Past[k]...)
	}
	x.Time, x.Last = s.Time, s.Last
	if s.InForce == nil {
		p.progress.Reset()
	} else {
		p.progress.Set(s.InForce, s.Pending)
	}
	seconds := p.Rewards.Timing().Seconds()
	sum, weight := 0.0, 1.0
	for t := 0; ; t++ {
		step := p.progress.Step(a, seconds)
		step.Load = x.Load
		now, pending := p.progress.InForce()
		r, err := p.Rewards.Step(step)
		if err != nil {
			return 0, fmt.Errorf("rollout: %w", err)
		}
		sum += float64(weight * r)
		weight *= gamma
		if t == len(loads) {
			if p.Value != nil {
				x.InForce, x.Pending = now, pending
				sum += float64(weight * p.Value(*x))
			}
			return sum, nil
		}
		for k := len(x.Past) - 1; k > 0; k-- {
			x.Past[k] = append(x.Past[k][:0], x.Past[k-1]...)
		}
		if len(x.Past) > 0 {
			x.Past[0] = append(x.Past[0][:0], x.Load...)
		}
		x.Load = append(x.Load[:0], loads[t]...)
		x.InForce, x.Pending = append(x.InForce[:0], now...), append(x.Pending[:0], pending...)
		x.Time += seconds
		if a, err = base.Act(*x); err != nil {
			return 0, fmt.Errorf("rollout: base, %d steps ahead: %w", t+1, err)
		}
	}
}
