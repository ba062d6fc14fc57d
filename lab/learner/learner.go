// Package learner learns policies: what they see of a state, how their actions
// are divided into choices, and the algorithms, PPO and a contextual bandit. A
// Learner of one's own needs nothing from here but the interface.
package learner

import (
	"context"
	"fmt"
	"slices"

	"github.com/meshbench/meshbench/lab/control"
	"github.com/meshbench/meshbench/lab/load"
	"github.com/meshbench/meshbench/lab/mesh"
	"github.com/meshbench/meshbench/lab/policy"
)

// Problem is what a policy is learned for.
type Problem struct {
	// Env is the environment to learn in; it makes a new one at every call, whose
	// states have so many loads of the steps before.
	Env func(past int) (*control.Env, error)
	// Blind is Env for a learner that looks at loads, knobs and rewards alone: its
	// steps need not be measured. nil means Env.
	Blind func(past int) (*control.Env, error)
	// Score says how good a policy is; higher is better. A learner keeps the best
	// of its policies by it. nil keeps the last.
	Score func(p policy.Policy) (float64, error)
	// Loads are the ranges that observations are scaled to.
	Loads load.Ranges
	// Goals are those of the response times, s per service; observations of
	// delays are scaled by them.
	Goals []float64
}

// env makes an environment for a policy that sees o.
func (p Problem) env(o Observation) (*control.Env, error) {
	if p.Blind != nil && !o.Delays {
		return p.Blind(o.Past)
	}
	return p.Env(o.Past)
}

// Point is a point of a learning curve.
type Point struct {
	Steps int     // control steps so far
	Score float64 // by Problem.Score
}

// Learner is an algorithm with its settings.
type Learner interface {
	// Name identifies the algorithm in files and figures, for instance "ppo".
	Name() string
	// Learn learns a policy. All of its random draws come from seed. watch, which
	// may be nil, is told of every point of the learning curve.
	Learn(ctx context.Context, p Problem, seed uint64, watch func(Point)) (policy.Policy, error)
}

// Heads is how a policy's action is divided into choices, one choice a head.
type Heads string

const (
	// Auto is WholeAction in a space of at most MaxWhole actions, else PerKnob.
	Auto Heads = ""
	// PerKnob has a head for each knob (the paper's MultiDiscrete). Given the
	// state, the choices are independent of each other: where two knobs have to
	// change together, the policy stays at the better of what each can reach alone.
	PerKnob Heads = "knob"
	// WholeAction has one head with a choice for each action of the space: 1,296
	// for the paper's mesh. It finds optima that independent choices do not, at
	// several times the computation for each step.
	WholeAction Heads = "whole"
)

// MaxWhole is the number of actions up to which one head for all is the default.
const MaxWhole = 2048

// maxWhole is the number up to which it is accepted.
const maxWhole = 1 << 15

// in returns the heads that h means in a space.
func (h Heads) in(space *mesh.Space) (Heads, error) {
	switch h {
	case Auto:
		if space.Len() <= MaxWhole {
			return WholeAction, nil
		}
		return PerKnob, nil
	case WholeAction:
		if space.Len() > maxWhole {
			return h, fmt.Errorf("learner: one head for all %s actions of %s; accepted: at most %d, for more use heads %q", space.Size(), space.Mesh(), maxWhole, PerKnob)
		}
	case PerKnob:
	default:
		return h, fmt.Errorf("learner: unknown heads %q; accepted: %q, %q", h, PerKnob, WholeAction)
	}
	return h, nil
}

// of returns the number of choices of each head.
func (h Heads) of(space *mesh.Space) []int {
	if h == WholeAction {
		return []int{space.Len()}
	}
	return space.Choices()
}

// hold is for how many steps each head's draw is held: n where it sets a knob that
// takes its time, else 1.
func (h Heads) hold(space *mesh.Space, n int) []int {
	out := make([]int, len(h.of(space)))
	for k := range out {
		if out[k] = 1; h == WholeAction && space.Slow() || h != WholeAction && space.Knobs()[k].Slow() {
			out[k] = n
		}
	}
	return out
}

// immediate says of each head whether it sets a knob that goes anywhere in no time;
// nil where all do or none does.
func (h Heads) immediate(space *mesh.Space) []bool {
	if h == WholeAction || !space.Slow() {
		return nil
	}
	var out []bool
	for _, k := range space.Knobs() {
		out = append(out, !k.Slow() && k.Step == 0)
	}
	if !slices.Contains(out, true) {
		return nil
	}
	return out
}

// action writes the action with the given choice of each head to dst.
func (h Heads) action(space *mesh.Space, dst mesh.Action, choice []int) mesh.Action {
	if h == WholeAction {
		return append(dst[:0], space.At(choice[0])...)
	}
	return space.Action(dst, choice)
}
