package bench

import (
	"context"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/meshbench/meshbench/lab/learner"
	"github.com/meshbench/meshbench/lab/policy"
	"github.com/meshbench/meshbench/lab/ppo"
	"github.com/meshbench/meshbench/lab/study"
)

// trainings measures PPO in the paper's setting, and on a table of rewards, with a
// head of six and one of all actions.
func (d *data) trainings(ctx context.Context, got results, seed uint64) (err error) {
	for name, n := range map[string]int{ppoOne: 1, ppoEight: 8} {
		t, err := d.ppoRate(ctx, n, seed)
		if err != nil {
			return err
		}
		got[name] = result{Value: t}
	}
	if t, err := d.timeToANR(ctx, seed); err != nil {
		return err
	} else if !math.IsNaN(t) {
		got[anrPaper] = result{Value: t}
	}
	rewards, err := d.table()
	if err != nil {
		return err
	}
	for name, stride := range map[string]int{smallHead: 216, wholeHead: 1} {
		t, err := processorSeconds(func() error {
			_, err := rewards.train(ctx, forSpeed, stride, seed, nil)
			return err
		})
		if err != nil {
			return err
		}
		got[name] = result{Value: float64(forSpeed.Total) / t}
	}
	for _, n := range seeds {
		if n > 1 && seed > 0 {
			continue
		}
		times, reached, err := rewards.timesToANR(ctx, n, seed)
		if err != nil {
			return err
		}
		for k, t := range times {
			if !math.IsNaN(t) {
				got[anrName(goals[k], n)] = result{t, map[string]float64{"reached": reached[k]}}
			}
		}
	}
	return nil
}

// env is the environment in the paper's setting.
func (d *data) env(ctx context.Context) (ppo.Env, error) {
	return learner.NewGym(ctx, study.Problem(d.rewards, d.scenario, study.Paper(d.scenario)), learner.Observation{}, learner.PerKnob, 0)
}

// ppoRate is the number of steps per CPU-second of PPO in the authors' setting
// with n environments.
func (d *data) ppoRate(ctx context.Context, n int, seed uint64) (float64, error) {
	var envs []ppo.Env
	for range n {
		env, err := d.env(ctx)
		if err != nil {
			return 0, err
		}
		envs = append(envs, env)
	}
	t, err := ppo.New(ppo.Config{Seed: seed}, envs...)
	if err != nil {
		return 0, err
	}
	if err := t.Train(ctx, 2048); err != nil {
		return 0, err
	}
	const steps = 64 * 1024
	cpu, err := processorSeconds(func() error { return t.Train(ctx, 2048+steps) })
	return steps / cpu, err
}

// timeToANR is the time until the first of three evaluations in a row of at
// least .98 in the paper's setting, NaN when 200,000 steps do not reach it.
func (d *data) timeToANR(ctx context.Context, seed uint64) (float64, error) {
	problem := study.Problem(d.rewards, d.scenario, study.Paper(d.scenario))
	loads := d.loads()
	w := watch{goals: []float64{.98}, begin: time.Now()}
	cfg := ppo.Config{Seed: seed, TotalSteps: 200_000, EvalEvery: 1024, Stop: w.stop(),
		Evaluate: func(_ context.Context, net *ppo.Policy, _ int) (float64, error) {
			p, err := learner.NewNetwork(net, d.rewards.Space(), problem, learner.Observation{}, learner.PerKnob)
			if err != nil {
				return 0, err
			}
			score, _, err := policy.Score(d.rewards, p, loads)
			w.see(score)
			return score, err
		}}
	env, err := d.env(ctx)
	if err != nil {
		return 0, err
	}
	t, err := ppo.New(cfg, env)
	if err != nil {
		return 0, err
	}
	if err := t.Train(ctx, 0); err != nil {
		return 0, err
	}
	return w.times()[0], nil
}

// watch takes the time until the first of three scores in a row reach each goal.
type watch struct {
	goals []float64
	begin time.Time
	row   []int
	first []float64
}

// stop ends a training when three scores in a row reach all goals.
func (w *watch) stop() *ppo.Convergence {
	return &ppo.Convergence{Window: 3, Tolerance: -1, Target: slices.Max(w.goals)}
}

func (w *watch) see(score float64) {
	if w.row == nil {
		w.row, w.first = make([]int, len(w.goals)), make([]float64, len(w.goals))
	}
	for k, goal := range w.goals {
		switch {
		case w.row[k] >= 3:
		case score < goal:
			w.row[k] = 0
		default:
			if w.row[k]++; w.row[k] == 1 {
				w.first[k] = time.Since(w.begin).Seconds()
			}
		}
	}
}

// times are NaN for goals that were not reached.
func (w *watch) times() []float64 {
	out := make([]float64, len(w.goals))
	for k := range out {
		if out[k] = math.NaN(); w.row != nil && w.row[k] >= 3 {
			out[k] = w.first[k]
		}
	}
	return out
}

// table are the rewards of all actions at the loads of random load.
type table struct {
	loads   [][2]float32 // 1 for the highest
	rewards [][]float64
	best    []float64
}

func (d *data) table() (*table, error) {
	t := &table{}
	for _, l := range d.loads() {
		r, err := d.rewards.Table(l)
		if err != nil {
			return nil, err
		}
		t.loads = append(t.loads, [2]float32{float32(l[0] / 20), float32(l[1] / 20)})
		t.rewards, t.best = append(t.rewards, r.Reward), append(t.best, r.Best)
	}
	return t, nil
}

// tableEnv draws a new load each step; choice k is action k times stride.
type tableEnv struct {
	*table
	stride int
	rng    *rand.Rand
	load   int
}

func (e *tableEnv) Spaces() (int, []int) { return 2, []int{len(e.rewards[0]) / e.stride} }

func (e *tableEnv) next(obs []float32) {
	e.load = e.rng.IntN(len(e.loads))
	copy(obs, e.loads[e.load][:])
}

func (e *tableEnv) Reset(seed uint64, obs []float32) error {
	e.rng = rand.New(rand.NewPCG(seed, 0))
	e.next(obs)
	return nil
}

func (e *tableEnv) Step(choice []int, obs []float32) (float64, bool, error) {
	r := e.rewards[e.load][choice[0]*e.stride]
	e.next(obs)
	return r, false, nil
}

// anr is the mean of a policy's rewards over the best.
func (t *table) anr(p *ppo.Policy, stride int) (sum float64) {
	choice := make([]int, 1)
	for k, obs := range t.loads {
		p.Act(choice, obs[:])
		sum += t.rewards[k][choice[0]*stride] / t.best[k] / float64(len(t.loads))
	}
	return sum
}

// train trains by a setting that a peer has as well. With w it ends when the goals
// are reached.
func (t *table) train(ctx context.Context, s training, stride int, seed uint64, w *watch) (*ppo.Trainer, error) {
	cfg := ppo.Config{Seed: seed, Steps: s.Steps, Batch: s.Batch, Epochs: s.Epochs, LearningRate: s.Rate, EntropyCoef: s.Entropy,
		TotalSteps: s.Total, EvalEvery: s.Every, Evaluate: func(_ context.Context, p *ppo.Policy, _ int) (float64, error) {
			score := t.anr(p, stride)
			if w != nil {
				w.see(score)
			}
			return score, nil
		}}
	if w != nil {
		cfg.Stop = w.stop()
	}
	var envs []ppo.Env
	for range s.Environments {
		envs = append(envs, &tableEnv{table: t, stride: stride})
	}
	trainer, err := ppo.New(cfg, envs...)
	if err != nil {
		return nil, err
	}
	return trainer, trainer.Train(ctx, 0)
}

// timesToANR are the times in s until nine in ten of n seeds have reached each goal,
// NaN where fewer do, and how many did. Seeds are trained on all cores.
func (t *table) timesToANR(ctx context.Context, n int, seed uint64) (times, reached []float64, err error) {
	begin := time.Now()
	all := make([][]float64, n)
	var g errgroup.Group
	g.SetLimit(1)
	if n > 1 {
		g.SetLimit(runtime.NumCPU())
	}
	for k := range n {
		g.Go(func() error {
			w := &watch{goals: goals, begin: begin}
			_, err := t.train(ctx, ourANR, 1, seed*1000+uint64(k), w)
			all[k] = w.times()
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, nil, err
	}
	for k := range goals {
		var of []float64
		for _, w := range all {
			if !math.IsNaN(w[k]) {
				of = append(of, w[k])
			}
		}
		slices.Sort(of)
		t, most := math.NaN(), (9*n+9)/10
		if len(of) >= most {
			t = of[most-1]
		}
		times, reached = append(times, t), append(reached, float64(len(of)))
	}
	return times, reached, nil
}
