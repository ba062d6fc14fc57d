// Package mdp solves finite Markov decision processes exactly: value iteration,
// policy iteration, the value of a policy, and looking so many steps ahead of a
// value function, which is rollout in its exact form (Bertsekas, "Lessons from
// AlphaZero", 2022; Samani, Hammar and Stadler, NOMS 2024).
package mdp

import (
	"fmt"
	"math"
)

// Process is a decision process of states 0 to Len()-1.
type Process interface {
	Len() int
	// Choices are what can be chosen in state s, at least one. They are the same at
	// every call.
	Choices(s int) []Choice
}

// Choice is a thing to do.
type Choice struct {
	Reward float64 // expected
	Next   []Next
}

// Next is a state that follows, and how likely it is. Those of a choice sum to 1.
type Next struct {
	State       int
	Probability float64
}

// Policy is the number of the choice in each state.
type Policy []int

// Values are what states are worth.
type Values []float64

// maxSweeps bounds an iteration that does not settle.
const maxSweeps = 1_000_000

// worth is what a choice is worth.
func (v Values) worth(c Choice, gamma float64) float64 {
	sum := 0.0
	for _, n := range c.Next {
		sum += n.Probability * v[n.State]
	}
	return c.Reward + float64(gamma*sum)
}

// best is the choice that is worth most, the first of equal ones.
func (v Values) best(choices []Choice, gamma float64) (worth float64, choice int) {
	worth = math.Inf(-1)
	for k, c := range choices {
		if w := v.worth(c, gamma); w > worth {
			worth, choice = w, k
		}
	}
	return worth, choice
}

func check(gamma float64) error {
	if !(gamma >= 0 && gamma < 1) {
		return fmt.Errorf("mdp: discount %v; accepted: 0 to below 1", gamma)
	}
	return nil
}

// ValueIteration returns what each state is worth under the best policy, to
// within tolerance, default 1e-9.
func ValueIteration(p Process, gamma, tolerance float64) (Values, error) {
	return iterate(p, gamma, tolerance, func(v Values, s int) float64 {
		w, _ := v.best(p.Choices(s), gamma)
		return w
	})
}

// Evaluate returns what each state is worth under a policy, to within tolerance,
// default 1e-9.
func Evaluate(p Process, policy Policy, gamma, tolerance float64) (Values, error) {
	if len(policy) != p.Len() {
		return nil, fmt.Errorf("mdp: a policy of %d states for %d", len(policy), p.Len())
	}
	return iterate(p, gamma, tolerance, func(v Values, s int) float64 { return v.worth(p.Choices(s)[policy[s]], gamma) })
}

// iterate applies an operator until the error that is left is within tolerance.
func iterate(p Process, gamma, tolerance float64, apply func(v Values, s int) float64) (Values, error) {
	if err := check(gamma); err != nil {
		return nil, err
	}
	if tolerance == 0 {
		tolerance = 1e-9
	}
	v, next := make(Values, p.Len()), make(Values, p.Len())
	for range maxSweeps {
		change := 0.0
		for s := range next {
			next[s] = apply(v, s)
			change = max(change, math.Abs(next[s]-v[s]))
		}
		v, next = next, v
		if change*gamma <= tolerance*(1-gamma) {
			return v, nil
		}
	}
	return nil, fmt.Errorf("mdp: no value within %g after %d sweeps", tolerance, maxSweeps)
}

// Greedy is the policy that looks one step ahead of v.
func Greedy(p Process, v Values, gamma float64) Policy {
	out := make(Policy, p.Len())
	for s := range out {
		_, out[s] = v.best(p.Choices(s), gamma)
	}
	return out
}

// Lookahead is the policy that looks steps ahead, 1 or more, and values what comes
// after by v: Q_l(s, a) = r + gamma E max_a' Q_(l-1)(s', a'), Q_0 = v.
func Lookahead(p Process, v Values, gamma float64, steps int) Policy {
	for range steps - 1 {
		v = Sweep(p, v, gamma)
	}
	return Greedy(p, v, gamma)
}

// Sweep is a sweep of value iteration: what the best choice of each state is worth
// where what comes after is worth v.
func Sweep(p Process, v Values, gamma float64) Values {
	next := make(Values, len(v))
	for s := range next {
		next[s], _ = v.best(p.Choices(s), gamma)
	}
	return next
}

// PolicyIteration returns the best policy and its values, each step of which is
// the exact value of a policy and a look one step ahead of it: Newton's method for
// Bellman's equation. It begins with policy from; nil means the first choices.
// steps has the values of each policy on the way.
func PolicyIteration(p Process, gamma, tolerance float64, from Policy) (best Policy, v Values, steps []Values, err error) {
	best = from
	if best == nil {
		best = make(Policy, p.Len())
	}
	for range maxSweeps {
		if v, err = Evaluate(p, best, gamma, tolerance); err != nil {
			return nil, nil, nil, err
		}
		steps = append(steps, v)
		again := false
		next := make(Policy, len(best))
		for s := range best {
			choices := p.Choices(s)
			w, k := v.best(choices, gamma)
			// Only what is better than rounding changes, so that it ends.
			if next[s] = best[s]; w > v.worth(choices[best[s]], gamma)+1e-7 {
				next[s], again = k, true
			}
		}
		if !again {
			return best, v, steps, nil
		}
		best = next
	}
	return nil, nil, nil, fmt.Errorf("mdp: the policy still changes after %d steps", maxSweeps)
}

// Table is a Process that is written down, the choices of each state.
type Table [][]Choice

// Len is the number of states.
func (t Table) Len() int { return len(t) }

// Choices are those of state s.
func (t Table) Choices(s int) []Choice { return t[s] }

// Return is what a policy is paid in so many steps from a state, not discounted,
// where what follows is certain. It is an error where it is not.
func Return(p Process, policy Policy, from, steps int) (float64, error) {
	sum := 0.0
	for range steps {
		c := p.Choices(from)[policy[from]]
		if len(c.Next) != 1 {
			return 0, fmt.Errorf("mdp: the return of a policy in state %d, which %d may follow", from, len(c.Next))
		}
		sum += c.Reward
		from = c.Next[0].State
	}
	return sum, nil
}
