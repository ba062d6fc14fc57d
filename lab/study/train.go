package study

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/meshbench/meshbench/lab/mesh"
	"github.com/meshbench/meshbench/lab/policy"
	"github.com/meshbench/meshbench/lab/ppo"
	"github.com/meshbench/meshbench/lab/sim"
)

// Trained is the outcome of one training.
type Trained struct {
	File      []byte           // the policy, as policy.Load reads it
	Curve     []ppo.Evaluation // exact ANR against training steps
	Converged int              // steps after which the curve had converged, by ppo.Convergence's defaults; 0 if it had not
	Seconds   float64          // that the training took, with the evaluations of the curve
}

// Train trains one policy on a model's rewards. The learning curve is the exact
// ANR on random load, over all its loads, or over s.Score; the policy of the
// highest point is kept. progress, which may be nil, is called with every point.
func Train(ctx context.Context, r *sim.Rewards, s Setting, seed uint64, progress func([]ppo.Evaluation)) (Trained, error) {
	var out Trained
	begin := time.Now()
	space := r.Model().Space()
	loads := s.Score
	if loads == nil {
		loads = Loads(space.Mesh())
	}
	var best *ppo.Policy
	top := 0.0
	cfg := s.PPO
	cfg.Seed = seed
	var curve []ppo.Evaluation
	cfg.Evaluate = func(_ context.Context, net *ppo.Policy, steps int) (float64, error) {
		p, err := policy.NewLearned(net, space, s.Observation, s.Heads)
		if err != nil {
			return 0, err
		}
		score, err := ExactANR(r, p, loads)
		if err != nil {
			return 0, err
		}
		if best == nil || score >= top {
			best, top = net, score
		}
		curve = append(curve, ppo.Evaluation{Steps: steps, Score: score})
		if out.Converged == 0 && (ppo.Convergence{}).Reached(curve) {
			out.Converged = steps
		}
		if progress != nil {
			progress(curve)
		}
		return score, nil
	}
	t, err := ppo.New(cfg, sim.NewGym(ctx, r.NewEnv(s.Load), s.Observation, s.Heads))
	if err != nil {
		return out, err
	}
	if err := t.Train(ctx, 0); err != nil {
		return out, fmt.Errorf("study: train %s, setting %s, seed %d: %w", r.Objective().Name, s.Name, seed, err)
	}
	out.Curve = curve
	p, err := policy.NewLearned(best, space, s.Observation, s.Heads)
	if err != nil {
		return out, err
	}
	out.File, err = viaFile(p)
	out.Seconds = time.Since(begin).Seconds()
	return out, err
}

// viaFile returns what p.Save writes.
func viaFile(p *policy.Learned) ([]byte, error) {
	dir, err := os.MkdirTemp("", "meshbench-policy-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "policy.zip")
	if err := p.Save(path); err != nil {
		return nil, err
	}
	return os.ReadFile(path)
}

// Policy returns the trained policy for the actions of space.
func (t Trained) Policy(space *mesh.Space) (*policy.Learned, error) {
	dir, err := os.MkdirTemp("", "meshbench-policy-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "policy.zip")
	if err := os.WriteFile(path, t.File, 0o600); err != nil {
		return nil, err
	}
	return policy.Load(path, space)
}

// ExactANR is the mean over loads of a policy's reward over the optimal one,
// both under r: no sampling error. The policy must not look at delays, which
// are missing.
func ExactANR(r *sim.Rewards, p policy.Policy, loads []mesh.Load) (float64, error) {
	sum := 0.0
	for _, l := range loads {
		k, err := choice(r.Model().Space(), p, l)
		if err != nil {
			return 0, err
		}
		t, err := r.At(l)
		if err != nil {
			return 0, err
		}
		if !(t.Best > 0) {
			return 0, fmt.Errorf("study: the optimal reward at load %v is %v; ANR needs it above 0", l, t.Best)
		}
		sum += t.Reward[k] / t.Best
	}
	return sum / float64(len(loads)), nil
}
