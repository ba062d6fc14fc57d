package adapt

import (
	"math/rand/v2"

	"github.com/meshbench/meshbench/lab/mesh"
	"github.com/meshbench/meshbench/lab/objective"
	"github.com/meshbench/meshbench/lab/optimum"
)

// Explore is how steps after a change are used to learn about it: some are made at
// a neighbouring point of one of the knobs that take no time. The zero value does
// not explore.
type Explore struct {
	// Share of the steps. Default 0, none.
	Share float64
	// Loss bounds what a step may lose by it, in reward, by the present model; and
	// Total what all of them may in 100 steps.
	Loss, Total float64
	// Steps after an alarm in which Share is tried; then it is a quarter, for as long
	// as the mesh is thought to be another, so that it is seen when it is not. Default
	// 40.
	Steps int
	// Pessimism is by how many times slower than it is thought to be the mesh must
	// still meet its goals where it would without exploring. Default 1.25.
	Pessimism float64
}

func (e Explore) defaults() Explore {
	if e.Steps == 0 {
		e.Steps = 40
	}
	if e.Pessimism == 0 {
		e.Pessimism = 1.25
	}
	return e
}

// explorer draws what to try within the bounds.
type explorer struct {
	Explore
	rng  *rand.Rand
	lost float64 // so far, of which Total is forgiven in 100 steps
	// pays values the present mesh, careful one that is slower.
	pays, careful *optimum.Rewards
}

// try returns an action to make in place of a, so many steps after an alarm, nil
// for none. Its bounds hold by
// both models: it loses at most Loss, Total in all, and misses no goal that a
// meets.
func (x *explorer) try(s mesh.State, a mesh.Action, since int) (mesh.Action, error) {
	if x.pays == nil {
		return nil, nil
	}
	x.lost = max(0, x.lost-x.Total/100)
	share := x.Share
	if since >= x.Steps {
		share /= 4
	}
	if !(x.rng.Float64() < share) {
		return nil, nil
	}
	space := x.pays.Space()
	var fast []int
	for h := range space.Knobs() {
		if !space.Knobs()[h].Slow() {
			fast = append(fast, h)
		}
	}
	if fast == nil {
		return nil, nil
	}
	k := &space.Knobs()[fast[x.rng.IntN(len(fast))]]
	to := k.Nearest(k.Values(a)) + 1 - 2*x.rng.IntN(2)
	if to < 0 || to >= len(k.Points) {
		return nil, nil
	}
	b := a.Clone()
	copy(k.Values(b), k.Points[to])
	worst := 0.0
	for _, r := range []*optimum.Rewards{x.pays, x.careful} {
		before, missed, err := x.foresee(r, s, a)
		if err != nil {
			return nil, err
		}
		after, misses, err := x.foresee(r, s, b)
		if err != nil {
			return nil, err
		}
		loss := before - after
		if misses && !missed || loss > x.Loss || x.lost+max(loss, 0) > x.Total {
			return nil, nil
		}
		worst = max(worst, loss)
	}
	x.lost += worst
	return b, nil
}

// foresee is what an action pays with the knobs that take their time as they are,
// and whether it misses a goal.
func (x *explorer) foresee(r *optimum.Rewards, s mesh.State, a mesh.Action) (reward float64, missed bool, err error) {
	now := a.Clone()
	for h := range r.Space().Knobs() {
		if k := &r.Space().Knobs()[h]; k.Slow() && s.InForce != nil {
			copy(k.Values(now), k.Values(s.InForce))
		}
	}
	if reward, err = r.Value(s.Load, now); err != nil {
		return 0, false, err
	}
	f, err := r.Model().At(mesh.State{Load: s.Load})
	if err != nil {
		return 0, false, err
	}
	if err := f.Set(now); err != nil {
		return 0, false, err
	}
	y := mesh.NewMeasurement(r.Space().Layout())
	f.Mean(&y)
	e, err := r.Objective().Bind(r.Space())
	if err != nil {
		return 0, false, err
	}
	return reward, e.Missed(objective.Steady(r.Space(), s.Load, now, y)), nil
}
