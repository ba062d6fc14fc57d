// Package anr evaluates policies: it runs them in an environment, compares
// each step's reward with the optimal one, and says how sure the result is.
//
// NR(t) is the reward obtained over the optimal reward at step t, and ANR its
// mean over a run (paper, Eq. 6).
package anr

import (
	"context"
	"fmt"
	"math"

	"github.com/meshbench/meshbench/lab/control"
	"github.com/meshbench/meshbench/lab/mesh"
	"github.com/meshbench/meshbench/lab/optimum"
	"github.com/meshbench/meshbench/lab/policy"
)

// Step is one evaluated step.
type Step struct {
	Load    mesh.Load
	Carried []float64 // requests/s per service; NaN when missing
	Delay   []float64 // d_i in s; NaN when missing
	Action  mesh.Action
	Reward  float64 // NaN when it could not be measured
	Optimal float64 // best reward of any action under the reference model, or the best found
	Exact   bool    // no action is better under the reference model; else Optimal is the best found
	Mark    string  // what disturbed the step, "" for a sound one
}

// NR is the normalised reward, NaN when the reward is missing or the optimum
// is not positive.
func (s Step) NR() float64 {
	if !(s.Optimal > 0) {
		return math.NaN()
	}
	return s.Reward / s.Optimal
}

// Run is one evaluation of one policy.
type Run struct {
	Policy      string
	Environment string // "simulation", "virtual", "local", "istio"
	Pattern     string // the load's name
	Objective   string
	Seed        uint64
	Steps       []Step
}

// NR returns NR(t) of every step.
func (r Run) NR() []float64 {
	nr := make([]float64, len(r.Steps))
	for t, s := range r.Steps {
		nr[t] = s.NR()
	}
	return nr
}

// ANR is the mean of NR over the steps that have one; NaN when none has.
func (r Run) ANR() float64 {
	sum, n := 0.0, 0
	for _, s := range r.Steps {
		if nr := s.NR(); !math.IsNaN(nr) {
			sum += nr
			n++
		}
	}
	return sum / float64(n)
}

// Config holds the settings of Evaluate.
type Config struct {
	// Steps of the run. If 0, it will be defaulted to the paper's 150.
	Steps int
	// Seed of the loads and of every draw of environment and policy.
	Seed uint64
	// OnStep, if set, is called after every step, for instance to draw it.
	OnStep func(t int, s Step)
}

// Evaluate runs policy p in env. Optimal rewards are those of reference, which
// may be of another model than the environment's: an optimum enumerated on the
// very model that is evaluated profits from its noise. It stops at the first
// step that cannot be made and returns the steps before it with the error.
func Evaluate(ctx context.Context, env *control.Env, p policy.Policy, reference optimum.Optimum, cfg Config) (Run, error) {
	if cfg.Steps == 0 {
		cfg.Steps = 150
	}
	run := Run{Policy: p.Name(), Environment: env.System().Name(), Pattern: env.Pattern().Name(),
		Objective: env.Objective().Name, Seed: cfg.Seed}
	state, err := env.Reset(ctx, cfg.Seed)
	if err != nil {
		return run, err
	}
	p.Reset(cfg.Seed)
	for t := range cfg.Steps {
		if err := ctx.Err(); err != nil {
			return run, err
		}
		a, err := p.Act(state)
		if err != nil {
			return run, fmt.Errorf("anr: policy %s at step %d: %w", p.Name(), t, err)
		}
		best, err := reference.Best(state.Load)
		if err != nil {
			return run, fmt.Errorf("anr: optimal reward of step %d: %w", t, err)
		}
		x, err := env.Step(ctx, a)
		if err != nil {
			return run, err
		}
		s := Step{
			Load:    append(mesh.Load(nil), x.Load...),
			Carried: append([]float64(nil), x.Measurement.Carried...),
			Action:  x.Action.Clone(),
			Reward:  x.Reward,
			Optimal: best.Reward,
			Exact:   best.Exact,
			Mark:    x.Measurement.Mark,
		}
		for _, d := range x.Measurement.Service {
			s.Delay = append(s.Delay, d.Mean)
		}
		run.Steps = append(run.Steps, s)
		if cfg.OnStep != nil {
			cfg.OnStep(t, s)
		}
		state = x.Next
	}
	return run, nil
}

// Exact reports whether ANR is against the optimum of the reference model in
// every step, rather than against the best that a search found.
func (r Run) Exact() bool {
	for _, s := range r.Steps {
		if !s.Exact {
			return false
		}
	}
	return true
}

// Finding is a warning about a result.
type Finding struct {
	Code   string // "nr-above-1", "zero-optimum", "no-reward", "disturbed", "best-found"
	Detail string
	Steps  int // how many it concerns
}

// Findings looks for what makes a run's ANR mean less than it says.
func (r Run) Findings() []Finding {
	var above, zero, missing, disturbed, found int
	highest := 0.0
	for _, s := range r.Steps {
		nr := s.NR()
		switch {
		case math.IsNaN(s.Reward):
			missing++
		case !(s.Optimal > 0):
			zero++
		case nr > 1+1e-9:
			above++
			highest = max(highest, nr)
		}
		if s.Mark != "" {
			disturbed++
		}
		if !s.Exact {
			found++
		}
	}
	var out []Finding
	add := func(n int, code, detail string) {
		if n > 0 {
			out = append(out, Finding{code, detail, n})
		}
	}
	add(above, "nr-above-1", fmt.Sprintf("NR exceeds 1 in %d of %d steps, at most %.3f: the reference model's optimum is not one for this environment", above, len(r.Steps), highest))
	add(zero, "zero-optimum", fmt.Sprintf("the optimal reward is not positive in %d of %d steps; they have no NR", zero, len(r.Steps)))
	add(missing, "no-reward", fmt.Sprintf("%d of %d steps have no reward and are left out of ANR", missing, len(r.Steps)))
	add(disturbed, "disturbed", fmt.Sprintf("%d of %d steps are marked as disturbed", disturbed, len(r.Steps)))
	add(found, "best-found", fmt.Sprintf("in %d of %d steps NR is against the best action that a search found, not against a proven optimum", found, len(r.Steps)))
	return out
}
