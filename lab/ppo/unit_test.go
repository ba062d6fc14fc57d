package ppo

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
)

func TestConvergence(t *testing.T) {
	curve := func(scores ...float64) []Evaluation {
		var c []Evaluation
		for i, s := range scores {
			c = append(c, Evaluation{Steps: 5000 * i, Score: s})
		}
		return c
	}
	for _, test := range []struct {
		name  string
		rule  Convergence
		curve []Evaluation
		want  bool
	}{
		{"empty", Convergence{}, nil, false},
		{"too short", Convergence{}, curve(.9, .9, .9, .9, .9), false},
		{"flat", Convergence{}, curve(.9, .9, .9, .9, .9, .9), true},
		{"within tolerance of the best before", Convergence{}, curve(.9, .95, .9, .948, .947, .946), true},
		{"still rising", Convergence{}, curve(.7, .8, .9, .91, .92, .93), false},
		{"fallen", Convergence{}, curve(.9, .95, .95, .9, .9, .9), false},
		{"flat at first", Convergence{MinSteps: 25_001}, curve(.5, .5, .5, .5, .5, .5), false},
		{"flat, no such rule", Convergence{Tolerance: -1}, curve(.9, .9, .9, .9, .9, .9), false},
		{"wide tolerance", Convergence{Tolerance: .1}, curve(.7, .8, .9, .91, .92, .93), true},
		{"target", Convergence{Target: .98}, curve(.5, .98, .985, .98), true},
		{"target missed once", Convergence{Target: .98}, curve(.5, .98, .979, .98), false},
		{"target before MinSteps", Convergence{Target: .98, MinSteps: 1e6}, curve(.98, .98, .98), true},
		{"window of one", Convergence{Window: 1}, curve(.1, .2, .95, .951), true},
	} {
		if got := test.rule.Reached(test.curve); got != test.want {
			t.Errorf("%s: %v, want %v", test.name, got, test.want)
		}
	}
}

// Generalised advantage estimation where the result is known in closed form.
func TestAdvantage(t *testing.T) {
	const n, gamma, lambda = 6, .9, .8
	build := func(reward, value float32, done ...int) *rollout {
		r := newRollout(n, 2, widths{obs: 1, choice: 1, credits: 1})
		r.grow(n)
		for i := range r.reward {
			r.reward[i], r.value[i] = reward, value
		}
		for _, s := range done { // of the second environment alone
			r.done[2*s+1] = true
		}
		return r
	}
	near := func(what string, got float32, want float64) {
		t.Helper()
		if math.Abs(float64(got)-want) > 1e-5*(1+math.Abs(want)) {
			t.Errorf("%s: %v, want %v", what, got, want)
		}
	}

	// Constant reward 1 and value 0: a geometric series in gamma·lambda.
	r := build(1, 0, 2)
	r.finish([]float32{0, 0}, gamma, lambda)
	series := func(terms int) float64 { return (1 - math.Pow(gamma*lambda, float64(terms))) / (1 - gamma*lambda) }
	for s := range n {
		near("advantage", r.advantage[2*s], series(n-s))
		end := n
		if s <= 2 {
			end = 3
		}
		near("advantage with an end", r.advantage[2*s+1], series(end-s))
		near("return", r.ret[2*s], float64(r.advantage[2*s]))
	}

	// The true value of reward 1 for ever: no advantage anywhere, but before the end.
	value := 1 / (1 - gamma)
	r = build(1, float32(value), n-1)
	r.finish([]float32{float32(value), 99}, gamma, lambda)
	for s := range n {
		near("advantage of the true value", r.advantage[2*s], 0)
		near("return of the true value", r.ret[2*s], value)
		near("advantage before the end", r.advantage[2*s+1], -gamma*value*math.Pow(gamma*lambda, float64(n-1-s)))
	}

	// The second value is that of gamma 0, whatever the first one's.
	two := newRollout(2, 1, widths{obs: 1, choice: 1, credits: 2})
	two.grow(2)
	copy(two.reward, []float32{1, 5, 1, 6})
	copy(two.value, []float32{0, 2, 0, 2})
	two.finish([]float32{0, 9}, .5, 1)
	near("discounted", two.advantage[0], 1.5)
	near("immediate", two.advantage[1], 3)
	near("discounted, last", two.advantage[2], 1)
	near("immediate, last", two.ret[3], 6)

	// gamma 0: reward less value, whatever lambda; lambda 1: discounted sum less value.
	r = build(3, 2)
	r.finish([]float32{7, 7}, 0, lambda)
	near("gamma 0", r.advantage[0], 1)
	near("gamma 0", r.ret[0], 3)
	r = build(1, 2)
	r.finish([]float32{7, 7}, gamma, 1)
	near("lambda 1", r.ret[0], (1-math.Pow(gamma, n))/(1-gamma)+7*math.Pow(gamma, n))
}

func TestOrthogonalInitialisation(t *testing.T) {
	s := shape{obs: 3, heads: []int{6, 5}, hidden: []int{20, 12}}
	w := newWeights(s)
	w.initialise(rand.New(rand.NewPCG(1, 1)))
	for name, net := range map[string][]layer{"policy": w.policy, "value": w.value} {
		for i, l := range net {
			gain := math.Sqrt2
			if i == len(net)-1 {
				gain = map[string]float64{"policy": .01, "value": 1}[name]
			}
			at := func(p, j int) float64 { return float64(l.w[p*l.ld+j]) }
			vectors, length, get := l.out, l.in, func(v, i int) float64 { return at(i, v) }
			if l.in < l.out {
				vectors, length, get = l.in, l.out, at
			}
			for a := range vectors {
				for b := range a + 1 {
					dot, want := 0.0, 0.0
					for i := range length {
						dot += get(a, i) * get(b, i)
					}
					if a == b {
						want = gain * gain
					}
					if math.Abs(dot-want) > 1e-6*gain*gain {
						t.Errorf("%s layer %d: vectors %d and %d have the product %v, want %v", name, i, a, b, dot, want)
					}
				}
			}
			for p := range l.in {
				for j := l.out; j < l.ld; j++ {
					if at(p, j) != 0 {
						t.Errorf("%s layer %d: padding is not 0", name, i)
					}
				}
			}
			for _, b := range l.b {
				if b != 0 {
					t.Errorf("%s layer %d: bias %v, want 0", name, i, b)
				}
			}
		}
	}
}

func TestPaddingStaysZero(t *testing.T) {
	tr := newTrainer(t, Config{Hidden: []int{11, 5}, Steps: 64}, newIdentity())
	if err := tr.Train(ctx, 512); err != nil {
		t.Fatal(err)
	}
	for _, net := range [][]layer{tr.weights.policy, tr.weights.value, tr.grads.policy, tr.grads.value} {
		for _, l := range net {
			for i := range l.w {
				if i%l.ld >= l.out && l.w[i] != 0 {
					t.Fatalf("padding of a %d×%d layer is %v", l.in, l.out, l.w[i])
				}
			}
		}
	}
}

func TestNormalise(t *testing.T) {
	x := []float32{1, 2, 3, 6}
	normalise(x, 1) // mean 3, standard deviation √(14/3)
	for i, want := range []float64{-2, -1, 0, 3} {
		if want /= math.Sqrt(14. / 3); math.Abs(float64(x[i])-want) > 1e-6 {
			t.Errorf("element %d: %v, want %v", i, x[i], want)
		}
	}
	x = []float32{5}
	if normalise(x, 1); x[0] != 5 {
		t.Errorf("single value became %v", x[0])
	}
	x = []float32{5, 5}
	if normalise(x, 1); x[0] != 0 || x[1] != 0 {
		t.Errorf("equal values became %v", x)
	}
}

// timeLimit gives reward 1 and ends every episode after two steps.
type timeLimit struct {
	step      int
	truncated bool
}

func (e *timeLimit) Spaces() (int, []int) { return 1, []int{2} }
func (e *timeLimit) Reset(_ uint64, obs []float32) error {
	e.step, obs[0] = 0, 0
	return nil
}
func (e *timeLimit) Step(_ []int, obs []float32) (float64, bool, error) {
	e.step++
	obs[0] = float32(e.step)
	return 1, e.step == 2, nil
}
func (e *timeLimit) Truncated() bool { return e.truncated }

func TestTruncation(t *testing.T) {
	for _, truncated := range []bool{false, true} {
		tr := newTrainer(t, Config{Gamma: .9, Steps: 4, Batch: 4}, &timeLimit{truncated: truncated})
		end := tr.Policy().Value([]float32{2})
		if _, err := tr.Update(ctx); err != nil {
			t.Fatal(err)
		}
		want := []float64{1, 1, 1, 1}
		if truncated {
			want = []float64{1, 1 + .9*end, 1, 1 + .9*end}
		}
		for i, r := range tr.rollout.reward {
			if math.Abs(float64(r)-want[i]) > 1e-6 {
				t.Errorf("truncated %v: rewards %v, want %v", truncated, tr.rollout.reward, want)
				break
			}
		}
		if m := tr.Metrics(); m.EpisodeReward != 2 || m.EpisodeLength != 2 {
			t.Errorf("truncated %v: episodes of reward %v and length %v, want 2 and 2", truncated, m.EpisodeReward, m.EpisodeLength)
		}
	}
}

// trip goes through episodes of the given lengths, each ended by a time limit or
// for good, and allows one of its three choices less at every step. It pays for
// the step and the choice and notes all that was seen.
type trip struct {
	lengths   []int
	truncated []bool
	episode   int
	step      int
	seen      []trace
}

type trace struct {
	obs, next float32 // next: what followed, before a reset
	reward    float64
	end, cut  bool // the episode ended; by the time limit
}

func (e *trip) Spaces() (int, []int) { return 1, []int{3} }

func (e *trip) Reset(_ uint64, obs []float32) error {
	e.step = 0
	obs[0] = float32(e.episode) + .5
	return nil
}

func (e *trip) Mask(dst []bool) {
	for c := range dst {
		dst[c] = c != e.step%3
	}
}

func (e *trip) Step(choice []int, obs []float32) (float64, bool, error) {
	if choice[0] == e.step%3 {
		return 0, false, errors.New("forbidden choice taken")
	}
	n := trace{obs: float32(e.episode) + .5 + float32(e.step)/8, reward: float64(e.step+choice[0]) - 1}
	e.step++
	n.next = float32(e.episode) + .5 + float32(e.step)/8
	if e.step == e.lengths[e.episode] {
		n.end, n.cut = true, e.truncated[e.episode]
		e.episode++
	}
	obs[0] = n.next
	e.seen = append(e.seen, n)
	return n.reward, n.end, nil
}

func (e *trip) Truncated() bool { return e.seen[len(e.seen)-1].cut }

// Advantages and returns of masked episodes that end by a time limit, for good
// and with the update, against the definition:
//
//	A(t) = Σ (gamma lambda)^k delta(t+k) up to the episode's end
//
// where delta counts the value of what followed a time limit, and 0 after an
// end for good.
func TestTruncationAdvantage(t *testing.T) {
	const gamma = .9
	for _, c := range []struct {
		given, lambda float64
		chained       bool
	}{{.7, .7, false}, {.7, .7, true}, {-1, 0, false}} {
		lambda, chained := c.lambda, c.chained
		envs := []*trip{
			{lengths: []int{3, 2, 4, 99}, truncated: []bool{true, false, true, false}},
			{lengths: []int{1, 5, 6, 99}, truncated: []bool{false, true, false, true}},
		}
		tr := newTrainer(t, Config{Gamma: gamma, GAELambda: c.given, Steps: 12, Batch: 8, Autoregressive: chained}, envs[0], envs[1])
		p := tr.Policy() // whose values the first update's are
		if _, err := tr.Update(ctx); err != nil {
			t.Fatal(err)
		}
		for e, env := range envs {
			value := func(obs float32) float64 { return p.Value([]float32{obs}) }
			for s, first := range env.seen {
				want, weight := 0.0, 1.0
				for _, n := range env.seen[s:] {
					delta := n.reward - value(n.obs)
					if !n.end || n.cut {
						delta += gamma * value(n.next)
					}
					want += weight * delta
					if n.end {
						break
					}
					weight *= gamma * lambda
				}
				at := 2*s + e
				if got := float64(tr.rollout.advantage[at]); math.Abs(got-want) > 1e-5 {
					t.Errorf("environment %d, step %d: advantage %v, want %v", e, s, got, want)
				}
				if got := float64(tr.rollout.ret[at]); math.Abs(got-want-value(first.obs)) > 1e-5 {
					t.Errorf("environment %d, step %d: return %v, want %v", e, s, got, want+value(first.obs))
				}
			}
		}
	}
}

func TestConfig(t *testing.T) {
	tr := newTrainer(t, Config{}, newIdentity(), newIdentity(), newIdentity())
	if c := tr.Config(); c.Steps != 342 || c.Batch != 64 || c.Epochs != 10 || c.LearningRate != .001 || c.Gamma != 0 || len(c.Hidden) != 2 {
		t.Errorf("defaults %+v", c)
	}
	if c := SB3Defaults(); c.Gamma != .99 || c.Steps != 2048 || c.LearningRate != 3e-4 {
		t.Errorf("SB3's defaults %+v", c)
	}
	evaluate := func(context.Context, *Policy, int) (float64, error) { return 0, nil }
	for want, cfg := range map[string]Config{
		"hidden layer of width 0":                    {Hidden: []int{8, 0}},
		"Config.Steps is -1":                         {Steps: -1},
		"Config.Batch is 1":                          {Batch: 1},
		"Config.Gamma is 1.1":                        {Gamma: 1.1},
		"Config.Gamma is NaN":                        {Gamma: math.NaN()},
		"Config.LearningRate is -1":                  {LearningRate: -1},
		"Config.LearningRate is +Inf":                {LearningRate: math.Inf(1)},
		`schedule "cosine"`:                          {LearningRateSchedule: "cosine"},
		"a linear schedule needs Config.TotalSteps":  {EntropyCoefSchedule: Linear},
		"Config.EvalEvery (0) and Config.Evaluate":   {Evaluate: evaluate},
		"Config.EvalEvery (100) and Config.Evaluate": {EvalEvery: 100},
		"Config.Stop needs Config.EvalEvery":         {Stop: &Convergence{}},
		"convergence rule":                           {Stop: &Convergence{Window: -1}, EvalEvery: 100, Evaluate: evaluate},
	} {
		if _, err := New(cfg, newIdentity()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
	for want, envs := range map[string][]Env{
		"no environment": nil,
		"environment 0 has an observation of 0 numbers":                 {sb3Spaces{0, []int{2}}},
		"environment 0 has an action of 0 heads":                        {sb3Spaces{1, nil}},
		"environment 0 has action head 1 has 0 choices":                 {sb3Spaces{1, []int{2, 0}}},
		"environment 1 has 3 observations and heads [2], environment 0": {sb3Spaces{1, []int{2}}, sb3Spaces{3, []int{2}}},
	} {
		if _, err := New(Config{}, envs...); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
	if err := newTrainer(t, Config{}, newIdentity()).Train(ctx, 0); err == nil {
		t.Error("Train without a number of steps: no error")
	}
	bad := func(context.Context, *Policy, int) (float64, error) { return math.NaN(), nil }
	if err := newTrainer(t, Config{EvalEvery: 1, Evaluate: bad}, newIdentity()).Train(ctx, 10); err == nil || !strings.Contains(err.Error(), "evaluation at step 0: score NaN") {
		t.Errorf("NaN score: %v", err)
	}
}

// Metrics are kept for every update and can be written as JSON, numbers that
// are missing too.
func TestMetrics(t *testing.T) {
	var told []Metrics
	tr := newTrainer(t, Config{Steps: 64, OnUpdate: func(m Metrics) { told = append(told, m) }}, new(bandit))
	if err := tr.Train(ctx, 192); err != nil {
		t.Fatal(err)
	}
	history := tr.History()
	if len(history) != 3 || len(told) != 3 {
		t.Fatalf("%d and %d metrics, want 3", len(history), len(told))
	}
	for i, m := range history {
		if m.Updates != i+1 || m.Steps != 64*(i+1) || m.StepSeconds <= 0 || m.OptimiseSeconds <= 0 || !math.IsNaN(m.EpisodeReward) {
			t.Errorf("update %d: %+v", i+1, m)
		}
	}
	text, err := json.Marshal(history)
	if err != nil {
		t.Fatal(err)
	}
	if want := `[{"steps":64,"updates":1,"epochs":10,"mean_reward":`; !strings.HasPrefix(string(text), want) || !strings.Contains(string(text), `"episode_reward":null`) {
		t.Errorf("JSON %s", text)
	}
	var back []Metrics
	if err := json.Unmarshal(text, &back); err != nil {
		t.Fatal(err)
	}
	if m, want := back[2], history[2]; !math.IsNaN(m.EpisodeReward) || m.ApproxKL != want.ApproxKL || m.ExplainedVariance != want.ExplainedVariance || m.Updates != 3 {
		t.Errorf("read back %+v, want %+v", m, want)
	}
}
