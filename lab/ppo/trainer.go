package ppo

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"time"

	"github.com/meshbench/meshbench/lab/ppo/internal/kernel"
)

// Trainer learns a policy. It is used by one goroutine at a time.
type Trainer struct {
	cfg   Config
	shape shape
	envs  []Env
	// Per environment, nil where it does not mask. At most one of the two is set.
	masker      []Masker
	conditional []ConditionalMasker
	credit      []int // per head: the value that it is credited by
	stepwise    bool  // choices are drawn head by head

	weights *weights
	adam    *adam
	grads   *weights

	// Independent streams, so that no draw shifts another kind's.
	sampling, shuffling, resets *rand.PCG
	sampler, shuffler           *rand.Rand

	rollout  *rollout
	episodes episodes
	started  bool   // environments have been reset
	seed     uint64 // of the last reset
	steps    int    // over all environments
	updates  int
	curve    []Evaluation
	metrics  Metrics
	history  []Metrics
	seconds  float64 // that the steps since the last update took
	err      error   // why the trainer cannot go on

	// Memory of the passes: for a step of all environments, for values alone and
	// for a minibatch, which is taken at the first update.
	acting, valuing, learning *passes
	recall                    recall
	choice                    []int
	held                      []float64 // draws, environments x heads
	order                     []int32
	batch                     minibatch
}

// passes is the memory for computing both networks.
type passes struct {
	in            inputs
	policy, value *pass
	dist          *distribution
	choice        []int32 // of one row
}

func newPasses(s shape, w *weights, rows int, backward bool) *passes {
	return &passes{
		policy: newPolicyPass(s, w, rows, backward),
		value:  newPass(w.value, rows, backward),
		dist:   newDistribution(s, rows),
		choice: make([]int32, len(s.heads)),
	}
}

// valueRows is the number of rows whose values are computed at a time.
const valueRows = 256

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
	credit, immediate, err := cfg.credits(len(heads))
	if err != nil {
		return nil, err
	}
	s := shape{obs: obs, heads: heads, hidden: slices.Clone(cfg.Hidden), chained: cfg.Autoregressive, immediate: immediate}
	if err := s.check(); err != nil {
		return nil, fmt.Errorf("ppo: %w", err)
	}
	t := &Trainer{cfg: cfg, shape: s, credit: credit, envs: envs, weights: newWeights(s), grads: newWeights(s)}
	t.adam = newAdam(len(t.weights.data))
	t.weights.initialise(rand.New(rand.NewPCG(cfg.Seed, 1)))
	t.sampling, t.shuffling, t.resets = rand.NewPCG(cfg.Seed, 2), rand.NewPCG(cfg.Seed, 3), rand.NewPCG(cfg.Seed, 4)
	t.sampler, t.shuffler = rand.New(t.sampling), rand.New(t.shuffling)

	t.masker, t.conditional = make([]Masker, len(envs)), make([]ConditionalMasker, len(envs))
	w := widths{obs: obs, choice: len(heads), credits: s.values()}
	for i, e := range envs {
		if m, ok := e.(ConditionalMasker); ok {
			t.conditional[i] = m
			w.mask, t.stepwise = s.choices(), true
		} else if m, ok := e.(Masker); ok {
			t.masker[i] = m
			w.mask = s.choices()
		}
	}
	t.stepwise = t.stepwise || s.chained
	t.rollout = newRollout(cfg.Steps, len(envs), w)
	t.episodes = newEpisodes(len(envs))
	t.acting = newPasses(s, t.weights, len(envs), false)
	t.valuing = &passes{value: newPass(t.weights.value, max(valueRows, len(envs)), false)}
	t.choice = make([]int, len(heads))
	if cfg.Hold != nil {
		if len(cfg.Hold) != len(heads) {
			return nil, fmt.Errorf("ppo: Config.Hold is of %d heads, the environment has %d", len(cfg.Hold), len(heads))
		}
		t.held = make([]float64, len(envs)*len(heads))
	}
	return t, nil
}

// Begin has a trainer that has made no step begin with the networks of a policy
// in place of freshly drawn ones. It is an error where its shape is another.
func (t *Trainer) Begin(p *Policy) error {
	if t.steps > 0 {
		return fmt.Errorf("ppo: Begin after %d steps; accepted: before the first", t.steps)
	}
	if !reflect.DeepEqual(t.shape, p.shape) {
		return fmt.Errorf("ppo: Begin with a policy of %d inputs, heads %v and layers %v; accepted: %d, %v and %v",
			p.shape.obs, p.shape.heads, p.shape.hidden, t.shape.obs, t.shape.heads, t.shape.hidden)
	}
	copy(t.weights.data, p.weights.data)
	return nil
}

// Config returns the configuration that runs, defaults filled in.
func (t *Trainer) Config() Config { return t.cfg }

// Steps returns the number of environment steps taken, over all environments.
func (t *Trainer) Steps() int { return t.steps }

// Metrics returns the last update's; zero before it and after [Resume].
func (t *Trainer) Metrics() Metrics { return t.metrics }

// History returns the metrics of every update since New or [Resume].
func (t *Trainer) History() []Metrics { return slices.Clone(t.history) }

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
	begin := time.Now()
	for r := t.rollout; r.n < r.steps; {
		err := ctx.Err()
		if err != nil {
			err = fmt.Errorf("ppo: at step %d: %w", t.steps, err)
		} else {
			t.err = t.step()
			err = t.err
		}
		if err != nil {
			t.seconds += time.Since(begin).Seconds()
			return Metrics{}, err
		}
	}
	stepped := time.Now()
	m, err := t.optimise()
	if err != nil {
		t.err = err
		return Metrics{}, err
	}
	m.StepSeconds, t.seconds = t.seconds+stepped.Sub(begin).Seconds(), 0
	m.OptimiseSeconds = time.Since(stepped).Seconds()
	t.metrics = m
	t.history = append(t.history, m)
	if t.cfg.OnUpdate != nil {
		t.cfg.OnUpdate(m)
	}
	return m, nil
}

// step takes one step in every environment.
func (t *Trainer) step() error {
	r, envs, obs, heads := t.rollout, len(t.envs), t.shape.obs, len(t.shape.heads)
	r.grow(r.n + 1)
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
	if r.widths.mask > 0 {
		mask = r.mask[first*r.widths.mask:][:envs*r.widths.mask]
	}
	d, rows, err := t.choose(now, mask, r.choice[first*heads:][:envs*heads])
	if err != nil {
		return err
	}
	s := r.widths.credits
	for e, env := range t.envs {
		row := first + e
		choice := r.choice[row*heads:][:heads]
		d.logProbs(min(e, rows-1), choice, t.credit, r.logProb[row*s:][:s])
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
		earned := [2]float64{reward, reward}
		if done {
			if tr, ok := env.(Truncater); ok && t.cfg.Gamma > 0 && tr.Truncated() {
				earned[0] += float64(t.cfg.Gamma * float64(t.values(x, 1)[0]))
				if math.IsInf(float64(float32(earned[0])), 0) || math.IsNaN(earned[0]) {
					return fmt.Errorf("ppo: environment %d, step %d: the value after the time limit is not a finite number", e, t.steps)
				}
			}
			if err := t.reset(e, x); err != nil {
				return err
			}
		}
		for c := range s {
			r.reward[row*s+c] = float32(earned[c])
		}
		r.done[row] = done
	}
	r.n++
	t.steps += envs
	return nil
}

func (t *Trainer) reset(e int, obs []float32) error {
	if e == 0 || !t.cfg.Common {
		t.seed = t.resets.Uint64()
	}
	if err := t.envs[e].Reset(t.seed, obs); err != nil {
		return fmt.Errorf("ppo: resetting environment %d at step %d: %w", e, t.steps, err)
	}
	if i := notFinite(obs); i >= 0 {
		return fmt.Errorf("ppo: resetting environment %d at step %d: observation %d is %v, want a finite number", e, t.steps, i, obs[i])
	}
	return nil
}

// alike says whether all rows of obs values are the same.
func alike(x []float32, obs int) bool {
	for at := obs; at < len(x); at += obs {
		if !slices.Equal(x[:obs], x[at:][:obs]) {
			return false
		}
	}
	return true
}

func (t *Trainer) valueStride() int { return kernel.Pad(t.rollout.widths.credits) }

// uniform is the draw that head h of environment e is sampled by: a new one
// every Hold steps since the last update, which environments count from
// different ones on.
func (t *Trainer) uniform(e, h int) float64 {
	if t.held == nil || t.cfg.Hold[h] == 1 {
		return t.sampler.Float64()
	}
	at := e*len(t.shape.heads) + h
	if t.rollout.n == 0 || (t.rollout.n+e)%t.cfg.Hold[h] == 0 {
		t.held[at] = t.sampler.Float64()
	}
	return t.held[at]
}

// choose draws the choices of all environments for the observations now, and
// fills mask unless nothing masks. It returns the distributions that they are drawn
// from, of so many rows: one where all environments are seen alike.
func (t *Trainer) choose(now []float32, mask []bool, choice []int32) (d *distribution, rows int, err error) {
	p, s, envs := t.acting, t.shape, len(t.envs)
	width, heads := s.choices(), len(s.heads)
	for i := range mask {
		mask[i] = true
	}
	for e, m := range t.masker {
		if m == nil {
			continue
		}
		row := mask[e*width:][:width]
		m.Mask(row)
		if err := checkMask(s.heads, row); err != nil {
			return nil, 0, fmt.Errorf("ppo: environment %d, step %d: %w", e, t.steps, err)
		}
	}
	rows = envs
	if !t.stepwise {
		one := mask == nil && (envs == 1 || t.cfg.Common && alike(now, s.obs))
		if one {
			rows = 1
			if t.rollout.n == 0 {
				t.recall.forget()
			}
			d = t.recall.find(now[:s.obs])
		}
		if d == nil {
			d = p.dist
			p.in.set(now, rows, s.obs)
			d.set(p.policy.policyForward(t.weights, &p.in), rows, mask, 0, heads)
			if one {
				t.recall.keep(now[:s.obs], d)
			}
		}
		for e := range envs {
			for h := range s.heads {
				choice[e*heads+h] = int32(d.sample(min(e, rows-1), h, t.uniform(e, h)))
			}
		}
		return d, rows, nil
	}
	d = p.dist
	p.in.set(now, rows, s.obs)
	logits := p.policy.policyForward(t.weights, &p.in)
	first := 0
	for h, n := range s.heads {
		if s.chained {
			p.policy.head(s, t.weights, h, envs, choice, d.at[h], d.ld)
		}
		for e, m := range t.conditional {
			if m == nil {
				continue
			}
			for g, c := range choice[e*heads:][:h] {
				t.choice[g] = int(c)
			}
			flags := mask[e*width+first:][:n]
			m.MaskHead(h, t.choice[:h], flags)
			if !slices.Contains(flags, true) {
				return nil, 0, fmt.Errorf("ppo: environment %d, step %d: after the choices %v, %w", e, t.steps, t.choice[:h], errForbidden(n, h))
			}
		}
		d.set(logits, envs, mask, h, h+1)
		for e := range envs {
			choice[e*heads+h] = int32(d.sample(e, h, t.uniform(e, h)))
		}
		first += n
	}
	return d, rows, nil
}

// values computes the values of rows observations, without gaps. They are valid
// until the next call.
func (t *Trainer) values(obs []float32, rows int) []float32 {
	p := t.valuing
	p.in.set(obs, rows, t.shape.obs)
	v, ldv := p.value.forward(t.weights.value, &p.in), t.valueStride()
	n := t.rollout.widths.credits
	for r := range rows {
		copy(v[r*n:], v[r*ldv:][:n])
	}
	return v[:rows*n]
}

// value computes the values of the rollout's steps that have none yet. The
// networks do not change in between, so they need not be computed one by one.
func (t *Trainer) value() {
	r := t.rollout
	for end := r.n * r.envs; r.valued < end; {
		n := min(valueRows, end-r.valued)
		copy(r.value[r.valued*r.widths.credits:], t.values(r.obs[r.valued*r.widths.obs:], n))
		r.valued += n
	}
}
