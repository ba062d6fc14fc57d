package study

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/meshbench/meshbench/lab/control"
	"github.com/meshbench/meshbench/lab/episode"
	"github.com/meshbench/meshbench/lab/learner"
	"github.com/meshbench/meshbench/lab/mesh"
	"github.com/meshbench/meshbench/lab/model"
	"github.com/meshbench/meshbench/lab/objective"
	"github.com/meshbench/meshbench/lab/optimum"
	"github.com/meshbench/meshbench/lab/policy"
	"github.com/meshbench/meshbench/lab/ppo"
	"github.com/meshbench/meshbench/lab/scenario"
	"github.com/meshbench/meshbench/lab/testbed/virtual"
)

// Trained is the outcome of one training.
type Trained struct {
	File      []byte          // the policy, as learner.Load reads it
	Curve     []learner.Point // exact ANR against training steps
	Converged int             // steps after which the curve had converged, by ppo.Convergence's defaults; 0 if it had not
	Seconds   float64         // that the training took, with the evaluations of the curve
}

// Training is one training of a study.
type Training struct {
	Source, Objective, Setting string
	Seed                       uint64
	Trained                    Trained
}

// Problem is what a policy is learned for on a model's rewards.
func Problem(r *optimum.Rewards, sc scenario.Scenario, s Setting) learner.Problem {
	loads := s.Score
	if loads == nil {
		loads = sc.Loads.Grid(maxGrid)
	}
	p := learner.Problem{
		Env:   func(past int) (*control.Env, error) { return r.NewEnv(s.Load, past) },
		Blind: r.BlindEnvs(s.Load),
		Score: func(p policy.Policy) (float64, error) {
			score, _, err := policy.Score(r, p, loads)
			return score, err
		},
		Loads: sc.Loads,
	}
	if r.Space().Slow() {
		p.Score = func(q policy.Policy) (float64, error) { return episodic(p.Blind, sc, s, q) }
	}
	p.Goals = sc.Goals()
	return p
}

// onTestbed is Problem on the virtual testbed itself, in place of the simulator that
// a model of its trace makes: queues carry over from step to step.
func onTestbed(o objective.Objective, sc scenario.Scenario, s Setting) learner.Problem {
	p := learner.Problem{Loads: sc.Loads, Goals: sc.Goals(), Env: func(past int) (*control.Env, error) {
		bed, err := virtual.New(virtual.Config{Scenario: sc})
		if err != nil {
			return nil, err
		}
		return control.NewEnv(bed, s.Load, o, control.Config{Past: past})
	}}
	p.Score = func(q policy.Policy) (float64, error) { return episodic(p.Env, sc, s, q) }
	return p
}

// episodic is the mean reward of an episode, under the load of training but with a
// seed of its own.
func episodic(make func(past int) (*control.Env, error), sc scenario.Scenario, s Setting, p policy.Policy) (float64, error) {
	env, err := make(s.past())
	if err != nil {
		return 0, err
	}
	const scoreSeed = 1 << 40
	x, err := episode.Run(context.Background(), env, p, sc.Defaults().Episode, scoreSeed, nil)
	return x.Reward, err
}

// Train trains one policy on a model's rewards. The learning curve is the exact
// ANR on random load, over all its loads, or over s.Score; where knobs take their
// time, the mean reward of an episode in the simulator. The policy of the
// highest point is kept. watch, which may be nil, is called with every point.
func Train(ctx context.Context, r *optimum.Rewards, sc scenario.Scenario, s Setting, seed uint64, watch func([]learner.Point)) (Trained, error) {
	return learn(ctx, Problem(r, sc, s), r.Objective().Name, s, seed, watch)
}

func learn(ctx context.Context, problem learner.Problem, objective string, s Setting, seed uint64, watch func([]learner.Point)) (Trained, error) {
	var out Trained
	begin := time.Now()
	var evaluations []ppo.Evaluation
	p, err := s.Learner.Learn(ctx, problem, seed, func(x learner.Point) {
		out.Curve = append(out.Curve, x)
		evaluations = append(evaluations, ppo.Evaluation{Steps: x.Steps, Score: x.Score})
		if out.Converged == 0 && (ppo.Convergence{}).Reached(evaluations) {
			out.Converged = x.Steps
		}
		if watch != nil {
			watch(out.Curve)
		}
	})
	if err != nil {
		return out, fmt.Errorf("study: train %s, setting %s, seed %d: %w", objective, s.Name, seed, err)
	}
	saved, ok := p.(interface{ Save(path string) error })
	if !ok {
		return out, fmt.Errorf("study: a policy of learner %q cannot be saved", s.Learner.Name())
	}
	out.File, err = viaFile(saved.Save)
	out.Seconds = time.Since(begin).Seconds()
	return out, err
}

// viaFile returns what save writes.
func viaFile(save func(path string) error) ([]byte, error) {
	dir, err := os.MkdirTemp("", "meshbench-policy-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "policy.zip")
	if err := save(path); err != nil {
		return nil, err
	}
	return os.ReadFile(path)
}

// Policy returns the trained policy for the actions of space.
func (t Trained) Policy(space *mesh.Space) (*learner.Network, error) {
	dir, err := os.MkdirTemp("", "meshbench-policy-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "policy.zip")
	if err := os.WriteFile(path, t.File, 0o600); err != nil {
		return nil, err
	}
	return learner.Load(path, space)
}

// train trains a policy for every objective, setting and seed.
func (r *Result) train(ctx context.Context, f *fitted, sets []Setting) ([]Training, error) {
	cfg := r.Config
	type job struct {
		objective objective.Objective
		setting   Setting
	}
	var jobs []job
	var trainings []Training
	for _, o := range cfg.Objectives {
		for _, set := range sets {
			for k := range cfg.Seeds {
				jobs = append(jobs, job{o, set})
				trainings = append(trainings, Training{Source: f.Name, Objective: o.Name, Setting: set.Name, Seed: cfg.Seed + uint64(k)})
			}
		}
	}
	return trainings, cfg.parallel(ctx, "training on "+f.Name, len(jobs), func(ctx context.Context, k int) (err error) {
		t := &trainings[k]
		t.Trained, err = f.train(ctx, cfg, jobs[k].objective, jobs[k].setting, t.Seed, nil)
		return err
	})
}

// parallel does n jobs, as many at a time as c has workers, and says how many are
// done.
func (c Config) parallel(ctx context.Context, stage string, n int, do func(ctx context.Context, k int) error) error {
	c.Progress(stage, 0, n)
	var mu sync.Mutex
	done := 0
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(c.Workers)
	for k := range n {
		g.Go(func() error {
			if err := ctx.Err(); err != nil {
				return err
			}
			if err := do(ctx, k); err != nil {
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			done++
			c.Progress(stage, done, n)
			return nil
		})
	}
	return g.Wait()
}

// train trains a policy unless the cache has it. What it depends on is its own:
// the source, how that is valued, and the objective.
func (f *fitted) train(ctx context.Context, cfg Config, o objective.Objective, set Setting, seed uint64, watch func([]learner.Point)) (Trained, error) {
	key := append(append(f.key(), objectiveKey(o), seed, cfg.Seed), set.key()...)
	return Do(cfg.Cache, "train", key, func() (Trained, error) {
		rw, err := f.rewards[o.Name]()
		if err != nil {
			return Trained{}, err
		}
		return Train(ctx, rw, f.Scenario, set, seed, watch)
	})
}

// Study is one source of a study's configuration, whose stages are asked for one
// by one, as a notebook does: its model is fitted once, and trainings are taken
// from the cache where they are there.
type Study struct {
	cfg Config
	f   *fitted
}

// Of returns the study of one of c's sources.
func (c Config) Of(ctx context.Context, s Source) *Study {
	c = c.defaults()
	return &Study{c, s.fitted(ctx, c)}
}

// Model is the system model of the source.
func (s *Study) Model() (model.Learned, error) { return s.f.model() }

// Rewards values the model by one of the study's objectives.
func (s *Study) Rewards(o objective.Objective) (*optimum.Rewards, error) {
	if s.f.rewards[o.Name] == nil {
		s.f.value(o)
	}
	return s.f.rewards[o.Name]()
}

// Train trains a policy, or takes the one that was trained for the same.
func (s *Study) Train(ctx context.Context, o objective.Objective, set Setting, seed uint64, watch func([]learner.Point)) (Trained, error) {
	// An own objective of the name of another is another.
	s.f.value(o)
	return s.f.train(ctx, s.cfg, o, set, seed, watch)
}
