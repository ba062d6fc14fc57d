package virtual

import (
	"context"
	"runtime"

	"golang.org/x/sync/errgroup"

	"github.com/meshbench/meshbench/lab/mesh"
	"github.com/meshbench/meshbench/lab/objective"
)

// Replicate shows visit n steps of one (load, action) cell, after one step that
// fills the queues. The draws depend on seed alone, so that cells can be
// compared under the same requests.
func (v *Testbed) Replicate(ctx context.Context, load mesh.Load, a mesh.Action, n int, seed uint64, visit func(mesh.Measurement)) error {
	if err := v.Reset(ctx, seed); err != nil {
		return err
	}
	v.Configure(a)
	for k := range n + 1 {
		x, err := v.Measure(ctx, load, a)
		if err != nil {
			return err
		}
		if k > 0 {
			visit(x)
		}
	}
	return nil
}

// Truth is the expected measurement of a (load, action) cell: one step as long
// as n steps, so that means are over all requests and percentiles those of the
// distribution. Blocked and Failed are for one step of the usual length.
func (v *Testbed) Truth(ctx context.Context, load mesh.Load, a mesh.Action, n int, seed uint64) (mesh.Measurement, error) {
	step := v.timing.Step
	defer func() { v.timing.Step = step }()
	v.timing.Step = step * float64(n)
	var x mesh.Measurement
	err := v.Replicate(ctx, load, a, 1, seed, func(y mesh.Measurement) { x = y })
	for i := range x.Blocked {
		x.Blocked[i] /= float64(n)
		x.Failed[i] /= float64(n)
	}
	return x, err
}

// TruthConfig is what Rewards computes the expected rewards with.
type TruthConfig struct {
	Virtual Config
	Steps   int    // replications of a cell; default 100, which gives a reward's mean to about 3 % of its range
	Seed    uint64 // of the requests, the same for all cells
	Workers int    // default GOMAXPROCS; the result does not depend on it
}

// Rewards returns the expected reward of every cell under each objective:
// Rewards[o][l][k] for objective o, loads[l] and actions[k].
func Rewards(ctx context.Context, cfg TruthConfig, loads []mesh.Load, actions []mesh.Action, objectives []objective.Objective) ([][][]float64, error) {
	if cfg.Steps == 0 {
		cfg.Steps = 100
	}
	if cfg.Workers == 0 {
		cfg.Workers = runtime.GOMAXPROCS(0)
	}
	out := make([][][]float64, len(objectives))
	for o := range out {
		out[o] = make([][]float64, len(loads))
		for l := range loads {
			out[o][l] = make([]float64, len(actions))
		}
	}
	g, ctx := errgroup.WithContext(ctx)
	for w := range cfg.Workers {
		g.Go(func() error {
			v, err := New(cfg.Virtual)
			if err != nil {
				return err
			}
			evaluators := make([]*objective.Evaluator, len(objectives))
			for o := range objectives {
				if evaluators[o], err = objectives[o].Bind(v.space); err != nil {
					return err
				}
			}
			for cell := w; cell < len(loads)*len(actions); cell += cfg.Workers {
				l, k := cell/len(actions), cell%len(actions)
				err := v.Replicate(ctx, loads[l], actions[k], cfg.Steps, cfg.Seed, func(x mesh.Measurement) {
					for o, e := range evaluators {
						out[o][l][k] += e.Reward(objective.Steady(v.space, loads[l], actions[k], x)) / float64(cfg.Steps)
					}
				})
				if err != nil {
					return err
				}
			}
			return nil
		})
	}
	return out, g.Wait()
}
