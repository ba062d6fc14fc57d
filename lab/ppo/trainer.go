package ppo

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/meshbench/meshbench/lab/ppo/internal/kernel"
)

// Trainer learns a policy. It is used by one goroutine at a time.
type Trainer struct {
	cfg    Config
	shape  shape
	envs   []Env
	masker []Masker // per environment, nil where it does not mask

	weights *weights
	adam    *adam
	grads   *weights

	// Independent streams, so that no draw shifts another kind's.
	sampling, shuffling, resets *rand.PCG
	sampler, shuffler           *rand.Rand

	rollout  *rollout
	episodes episodes
	started  bool // environments have been reset
	steps    int  // over all environments
	updates  int
	curve    []Evaluation
	metrics  Metrics
	err      error // why the trainer cannot go on

	// Memory of the passes: for a step of all environments and for a minibatch.
	acting, learning *passes
	choice           []int
	order            []int32
	batch            minibatch
}

// passes is the memory for computing both networks.
type passes struct {
	policy, value *pass
	dist          *distribution
}

func newPasses(s shape, w *weights, rows int, backward bool) *passes {
	return &passes{
		policy: newPass(w.policy, rows, backward),
		value:  newPass(w.value, rows, backward),
		dist:   newDistribution(s.heads, rows),
	}
}

// New returns a trainer with freshly drawn networks. All environments have the
// same spaces; they are stepped in turn, as one batch for the networks.
func New(cfg Config, envs ...Env) (*Trainer, error) {
	obs, heads, err := commonSpaces(envs)
	if err != nil {
		return nil, err
	}
	cfg, err = cfg.withDefaults(len(envs))
	if err != nil {
		return nil, err
	}
	s := shape{obs: obs, heads: heads, hidden: slices.Clone(cfg.Hidden)}
	if err := s.check(); err != nil {
		return nil, fmt.Errorf("ppo: %w", err)
	}
	t := &Trainer{cfg: cfg, shape: s, envs: envs, weights: newWeights(s), grads: newWeights(s)}
	t.adam = newAdam(len(t.weights.data))
	t.weights.initialise(rand.New(rand.NewPCG(cfg.Seed, 1)))
	t.sampling, t.shuffling, t.resets = rand.NewPCG(cfg.Seed, 2), rand.NewPCG(cfg.Seed, 3), rand.NewPCG(cfg.Seed, 4)
	t.sampler, t.shuffler = rand.New(t.sampling), rand.New(t.shuffling)

	t.masker = make([]Masker, len(envs))
	w := widths{obs: obs, choice: len(heads)}
	for i, e := range envs {
		if m, ok := e.(Masker); ok {
			t.masker[i] = m
			w.mask = s.choices()
		}
	}
	rows := min(cfg.Batch, cfg.Steps*len(envs))
	t.rollout = newRollout(cfg.Steps, len(envs), w)
	t.episodes = newEpisodes(len(envs))
	t.acting = newPasses(s, t.weights, len(envs), false)
	t.learning = newPasses(s, t.weights, rows, true)
	t.choice = make([]int, len(heads))
	t.order = make([]int32, cfg.Steps*len(envs))
	t.batch = newMinibatch(rows, w)
	return t, nil
}

// Config returns the configuration that runs, defaults filled in.
func (t *Trainer) Config() Config { return t.cfg }

// Steps returns the number of environment steps taken, over all environments.
func (t *Trainer) Steps() int { return t.steps }

// Metrics returns the last update's; zero before it and after [Resume].
func (t *Trainer) Metrics() Metrics { return t.metrics }

// Curve returns the evaluations so far, in order of steps.
func (t *Trainer) Curve() []Evaluation { return slices.Clone(t.curve) }

// Converged reports whether the learning curve meets Config.Stop.
func (t *Trainer) Converged() bool {
	return t.cfg.Stop != nil && t.cfg.Stop.Reached(t.curve)
}

// Policy returns the policy as it is now. Further training does not change it.
func (t *Trainer) Policy() *Policy {
	return newPolicy(t.shape, t.weights.clone(t.shape))
}

// Train updates and evaluates until total steps have been taken since New,
// including those before a [Resume], or the learning curve has converged. The
// last update is complete, so there may be more steps. total 0 stands for
// Config.TotalSteps. After a cancelled context, Train or a checkpoint goes on
// at the step where it stopped.
func (t *Trainer) Train(ctx context.Context, total int) error {
	if total == 0 {
		total = t.cfg.TotalSteps
	}
	if total <= 0 {
		return errors.New("ppo: Train needs a number of steps, as argument or as Config.TotalSteps")
	}
	for {
		if err := t.evaluate(ctx); err != nil {
			return err
		}
		if t.Converged() || t.steps >= total {
			return nil
		}
		if _, err := t.Update(ctx); err != nil {
			return err
		}
	}
}

// evaluate adds a point to the learning curve if one is due.
func (t *Trainer) evaluate(ctx context.Context) error {
	every := t.cfg.EvalEvery
	if every == 0 || t.rollout.n > 0 || len(t.curve) > 0 && t.steps/every == t.curve[len(t.curve)-1].Steps/every {
		return nil
	}
	score, err := t.cfg.Evaluate(ctx, t.Policy(), t.steps)
	if err == nil && (math.IsNaN(score) || math.IsInf(score, 0)) {
		err = fmt.Errorf("score %v, want a finite number", score)
	}
	if err != nil {
		return fmt.Errorf("ppo: evaluation at step %d: %w", t.steps, err)
	}
	t.curve = append(t.curve, Evaluation{Steps: t.steps, Score: score})
	return nil
}

// Update takes the steps up to the next update and optimises on them. The
// context is looked at before each step. An error of an environment, or a
// network that diverged, ends the training: every further call returns it.
func (t *Trainer) Update(ctx context.Context) (Metrics, error) {
	if t.err != nil {
		return Metrics{}, t.err
	}
	for r := t.rollout; r.n < r.steps; {
		if err := ctx.Err(); err != nil {
			return Metrics{}, fmt.Errorf("ppo: at step %d: %w", t.steps, err)
		}
		if t.err = t.step(); t.err != nil {
			return Metrics{}, t.err
		}
	}
	m, err := t.optimise()
	if err != nil {
		t.err = err
		return Metrics{}, err
	}
	t.metrics = m
	if t.cfg.OnUpdate != nil {
		t.cfg.OnUpdate(m)
	}
	return m, nil
}

// step takes one step in every environment.
func (t *Trainer) step() error {
	r, envs, obs, heads := t.rollout, len(t.envs), t.shape.obs, len(t.shape.heads)
	if !t.started {
		for e := range t.envs {
			if err := t.reset(e, r.obs[e*obs:][:obs]); err != nil {
				return err
			}
		}
		t.started = true
	}
	first := r.n * envs // row
	now, next := r.obs[first*obs:][:envs*obs], r.obs[(first+envs)*obs:][:envs*obs]
	var mask []bool
	if r.mask != nil {
		width := t.shape.choices()
		mask = r.mask[first*width:][:envs*width]
		for e, m := range t.masker {
			if err := fillMask(m, mask[e*width:][:width], t.shape.heads); err != nil {
				return fmt.Errorf("ppo: environment %d, step %d: %w", e, t.steps, err)
			}
		}
	}
	logits := t.acting.policy.forward(t.weights.policy, now, envs)
	values, ldv := t.acting.value.forward(t.weights.value, now, envs), t.valueStride()
	for e := range envs {
		r.value[first+e] = values[e*ldv]
	}
	d := t.acting.dist
	d.set(logits, envs, mask)
	for e, env := range t.envs {
		row := first + e
		choice := r.choice[row*heads:][:heads]
		d.sample(e, t.sampler, choice)
		r.logProb[row] = d.logProb(e, choice)
		for h, c := range choice {
			t.choice[h] = int(c)
		}
		x := next[e*obs:][:obs]
		reward, done, err := env.Step(t.choice, x)
		switch {
		case err != nil:
			return fmt.Errorf("ppo: environment %d, step %d: %w", e, t.steps, err)
		case math.IsNaN(reward) || math.IsInf(float64(float32(reward)), 0):
			return fmt.Errorf("ppo: environment %d, step %d: reward %v, want a finite number", e, t.steps, reward)
		case notFinite(x) >= 0:
			return fmt.Errorf("ppo: environment %d, step %d: observation %d is %v, want a finite number", e, t.steps, notFinite(x), x[notFinite(x)])
		}
		t.episodes.step(e, reward, done)
		if done {
			if tr, ok := env.(Truncater); ok && t.cfg.Gamma > 0 && tr.Truncated() {
				reward += t.cfg.Gamma * float64(t.acting.value.forward(t.weights.value, x, 1)[0])
			}
			if err := t.reset(e, x); err != nil {
				return err
			}
		}
		r.reward[row], r.done[row] = float32(reward), done
	}
	r.n++
	t.steps += envs
	return nil
}

func (t *Trainer) reset(e int, obs []float32) error {
	if err := t.envs[e].Reset(t.resets.Uint64(), obs); err != nil {
		return fmt.Errorf("ppo: resetting environment %d at step %d: %w", e, t.steps, err)
	}
	if i := notFinite(obs); i >= 0 {
		return fmt.Errorf("ppo: resetting environment %d at step %d: observation %d is %v, want a finite number", e, t.steps, i, obs[i])
	}
	return nil
}

func (t *Trainer) valueStride() int { return kernel.Pad(1) }

// fillMask asks m for its mask; nil allows everything.
func fillMask(m Masker, mask []bool, heads []int) error {
	if m == nil {
		for i := range mask {
			mask[i] = true
		}
		return nil
	}
	m.Mask(mask)
	return checkMask(heads, mask)
}
