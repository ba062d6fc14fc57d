package ppo

import (
	"bytes"
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/meshbench/meshbench/lab/ppo/internal/kernel"
)

var ctx = context.Background()

// identityScore is the share of heads that a deterministic policy gets right.
func identityScore(p *Policy, heads []int) float64 {
	right, all := 0, 0
	choice := make([]int, len(heads))
	for a := range heads[0] {
		for b := range heads[1] {
			obs := make([]float32, sum(heads))
			obs[a], obs[heads[0]+b] = 1, 1
			p.Act(choice, obs)
			for h, want := range []int{a, b} {
				if choice[h] == want {
					right++
				}
				all++
			}
		}
	}
	return float64(right) / float64(all)
}

// SB3's own tests ask that an identity environment be learned quickly.
func TestLearnsIdentity(t *testing.T) {
	for _, test := range []struct {
		name string
		cfg  Config
		envs int
		// steps within which every head of every observation must be right
		steps int
	}{
		{"paper, one environment", Config{}, 1, 4096},
		{"paper, eight environments", Config{}, 8, 4096},
		{"short updates", Config{Steps: 128, LearningRate: 3e-3, MaxGradNorm: -1}, 1, 1024},
		{"discounted, all options", Config{
			Steps: 128, LearningRate: 5e-3, LearningRateSchedule: Linear, EntropyCoef: .01, EntropyCoefSchedule: Linear,
			Gamma: .5, ClipValue: .5, TargetKL: .1, TotalSteps: 8192,
		}, 2, 8192},
	} {
		t.Run(test.name, func(t *testing.T) {
			for seed := range uint64(3) {
				test.cfg.Seed = seed
				var envs []Env
				for range test.envs {
					envs = append(envs, newIdentity())
				}
				tr := newTrainer(t, test.cfg, envs...)
				if err := tr.Train(ctx, test.steps); err != nil {
					t.Fatal(err)
				}
				if score := identityScore(tr.Policy(), newIdentity().heads); score != 1 {
					t.Errorf("seed %d: %.2f of the heads right after %d steps", seed, score, tr.Steps())
				}
				m := tr.Metrics()
				if m.Steps != test.steps || m.EpisodeLength != 10 || m.EpisodeReward < 10 || m.ExplainedVariance > 1 || m.EntropyLoss > 0 {
					t.Errorf("seed %d: metrics %+v", seed, m)
				}
			}
		})
	}
}

// A contextual bandit of the paper's kind: two loads in, discrete choices out,
// evaluated as it learns until the curve has converged.
func TestLearnsBandit(t *testing.T) {
	for seed := range uint64(2) {
		tr := newTrainer(t, Config{
			Seed: seed, TotalSteps: 60_000, EvalEvery: 2000,
			Evaluate: func(_ context.Context, p *Policy, _ int) (float64, error) { return banditScore(p.Act), nil },
			Stop:     &Convergence{Target: .97},
		}, new(bandit))
		random := rand.New(rand.NewPCG(9, 9))
		uniform := banditScore(func(choice []int, _ []float32) { choice[0], choice[1] = random.IntN(6), random.IntN(6) })
		if err := tr.Train(ctx, 0); err != nil {
			t.Fatal(err)
		}
		curve := tr.Curve()
		last := curve[len(curve)-1]
		t.Logf("seed %d: %v; a random policy scores %.2f", seed, curve, uniform)
		if !tr.Converged() || last.Score < .95 || last.Score < uniform+.1 {
			t.Errorf("seed %d: converged %v at %+v", seed, tr.Converged(), last)
		}
		if curve[0].Steps != 0 || curve[1].Steps != 2048 || curve[2].Steps != 4096 || curve[3].Steps != 6144 {
			t.Errorf("evaluations at %v", curve[:4])
		}
	}
}

// A forbidden choice makes the environment fail, so that training at all is
// the test; and the policy must not take one either.
func TestMask(t *testing.T) {
	tr := newTrainer(t, Config{Steps: 128, EntropyCoef: .01}, newMasked(), newIdentity())
	if err := tr.Train(ctx, 4096); err != nil {
		t.Fatal(err)
	}
	p := tr.Policy()
	rng := rand.New(rand.NewPCG(1, 1))
	mask, choice, probs := make([]bool, 7), make([]int, 2), make([]float64, 7)
	for range 500 {
		a, b := rng.IntN(4), rng.IntN(3)
		for i := range mask {
			mask[i] = i == a || i == 4+b || rng.IntN(3) == 0
		}
		obs := []float32{float32(rng.NormFloat64()), 1, 0, 0, 1, 0, 0}
		p.Masked(mask).Act(choice, obs)
		if !mask[choice[0]] || !mask[4+choice[1]] {
			t.Fatalf("Act took %v under %v", choice, mask)
		}
		p.Masked(mask).Sample(rng, choice, obs)
		if !mask[choice[0]] || !mask[4+choice[1]] {
			t.Fatalf("Sample took %v under %v", choice, mask)
		}
		p.Masked(mask).Probabilities(probs, obs)
		for i, ok := range mask {
			if (probs[i] > 0) != ok {
				t.Fatalf("probabilities %v under %v", probs, mask)
			}
		}
		if s := probs[0] + probs[1] + probs[2] + probs[3]; math.Abs(s-1) > 1e-6 {
			t.Fatalf("probabilities of head 0 sum to %v", s)
		}
	}
}

// policyBytes trains briefly, with heads of both kinds, and returns the weights.
func policyBytes(tb testing.TB, seed uint64) []byte {
	var b []byte
	for _, tr := range []*Trainer{
		newTrainer(tb, Config{Seed: seed, Steps: 100, EntropyCoef: .01, Gamma: .9}, newMasked(), newMasked()),
		newTrainer(tb, Config{Seed: seed, Steps: 100, EntropyCoef: .01, Autoregressive: true}, &knotEnv{heads: []int{6, 6, 6, 6}}),
	} {
		if err := tr.Train(ctx, 600); err != nil {
			tb.Fatal(err)
		}
		b = append(b, tr.weights.pack()...)
	}
	return b
}

func TestSameSeedSameBytes(t *testing.T) {
	want := policyBytes(t, 1)
	if bytes.Equal(want, policyBytes(t, 2)) {
		t.Error("seeds 1 and 2 give the same weights")
	}
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(0))
	for _, procs := range []int{1, 2, 5} {
		runtime.GOMAXPROCS(procs)
		var wg sync.WaitGroup
		for range 3 { // trainers side by side do not disturb each other
			wg.Go(func() {
				if !bytes.Equal(want, policyBytes(t, 1)) {
					t.Errorf("GOMAXPROCS %d: other weights", procs)
				}
			})
		}
		wg.Wait()
	}
}

// The portable kernels give the same bytes as the vector instructions.
func TestPortableSameBytes(t *testing.T) {
	t.Logf("kernels: %s", kernel.Name())
	want := policyBytes(t, 1)
	defer kernel.UsePortable()()
	if !bytes.Equal(want, policyBytes(t, 1)) {
		t.Error("other weights")
	}
}

// A trainer that is interrupted at any step, checkpointed and resumed, gives
// the bytes of one that was not.
func TestResumeEqualsUninterrupted(t *testing.T) {
	evaluate := func(_ context.Context, p *Policy, steps int) (float64, error) {
		return identityScore(p, newIdentity().heads), nil
	}
	run := func(stops ...int) (*Trainer, []byte) {
		cfg := Config{
			Seed: 3, Steps: 100, Gamma: .9, EntropyCoef: .01, EntropyCoefSchedule: Linear, TotalSteps: 1500,
			EvalEvery: 300, Evaluate: evaluate,
		}
		path := filepath.Join(t.TempDir(), "checkpoint.zip")
		tr := newTrainer(t, cfg, newMasked(), newMasked())
		for _, stop := range stops {
			err := tr.Train(&countdown{Context: ctx, left: (stop - tr.Steps()) / 2}, 0)
			if !errors.Is(err, context.Canceled) || tr.Steps() != stop {
				t.Fatalf("stopped at step %d, want %d: %v", tr.Steps(), stop, err)
			}
			if err := tr.Checkpoint(path); err != nil {
				t.Fatal(err)
			}
			if tr, err = Resume(path, Config{Evaluate: evaluate}, newMasked(), newMasked()); err != nil {
				t.Fatal(err)
			}
		}
		if err := tr.Train(ctx, 0); err != nil {
			t.Fatal(err)
		}
		if err := tr.Checkpoint(path); err != nil {
			t.Fatal(err)
		}
		files, err := readArchive(path)
		if err != nil {
			t.Fatal(err)
		}
		var all []byte
		for _, name := range []string{checkpointName, weightsName, firstMoment, secondMoment, rolloutName, choiceName, doneName, maskName} {
			all = append(all, files.entries[name]...)
		}
		return tr, all
	}
	straight, want := run()
	for _, stops := range [][]int{{0}, {2}, {200}, {366}, {600, 602, 1398}} {
		tr, got := run(stops...)
		if !bytes.Equal(got, want) {
			t.Errorf("interrupted at %v: another checkpoint in the end", stops)
		}
		if !slices.Equal(tr.Curve(), straight.Curve()) {
			t.Errorf("interrupted at %v: curve %v, want %v", stops, tr.Curve(), straight.Curve())
		}
		// Mean rewards and the like must agree too.
		a, b := tr.Metrics(), straight.Metrics()
		a.StepSeconds, a.OptimiseSeconds = b.StepSeconds, b.OptimiseSeconds
		if a != b {
			t.Errorf("interrupted at %v: metrics %+v, want %+v", stops, a, b)
		}
	}
}

// sameAfterBreak trains with and without a break, after left looks at the context,
// and compares the weights and the choices since the last update.
func sameAfterBreak(t *testing.T, cfg Config, left, total int, envs func() []Env) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "checkpoint.zip")
	run := func(stop bool) []byte {
		tr := newTrainer(t, cfg, envs()...)
		if stop {
			if err := tr.Train(&countdown{Context: ctx, left: left}, total); !errors.Is(err, context.Canceled) {
				t.Fatal("not interrupted: ", err)
			}
			if err := tr.Checkpoint(path); err != nil {
				t.Fatal(err)
			}
			var err error
			if tr, err = Resume(path, Config{}, envs()...); err != nil {
				t.Fatal(err)
			}
		}
		if err := tr.Train(ctx, total); err != nil {
			t.Fatal(err)
		}
		if err := tr.Checkpoint(path); err != nil {
			t.Fatal(err)
		}
		files, err := readArchive(path)
		if err != nil {
			t.Fatal(err)
		}
		return append(files.entries[weightsName], files.entries[choiceName]...)
	}
	if !bytes.Equal(run(false), run(true)) {
		t.Error("another training after a break")
	}
}

// countdown is cancelled after its error was asked for left times.
type countdown struct {
	context.Context
	left int
}

func (c *countdown) Err() error {
	if c.left--; c.left < 0 {
		return context.Canceled
	}
	return nil
}

func TestNoAllocation(t *testing.T) {
	tr := newTrainer(t, Config{Steps: 64, Batch: 32, Epochs: 2}, newMasked(), newMasked())
	plain := newTrainer(t, Config{Steps: 64}, new(meshEnv))
	chained := newTrainer(t, Config{Steps: 64, Autoregressive: true}, new(meshEnv))
	p2 := chained.Policy()
	update := func(tr *Trainer) func() {
		return func() {
			if _, err := tr.Update(ctx); err != nil {
				t.Fatal(err)
			}
		}
	}
	p := plain.Policy()
	rng := rand.New(rand.NewPCG(1, 1))
	choice, obs, probs := make([]int, 4), []float32{1, 2}, make([]float64, 24)
	for name, f := range map[string]func(){
		"Update": update(plain),
		"Act":    func() { p.Act(choice, obs) },

		"autoregressive Update": update(chained),
		"autoregressive Act":    func() { p2.Act(choice, obs) },
		"autoregressive Sample": func() { p2.Sample(rng, choice, obs) },
		"autoregressive Given":  func() { p2.Given(probs, choice, obs) },
		"Sample":                func() { p.Sample(rng, choice, obs) },
		"Probabilities":         func() { p.Probabilities(probs, obs) },
		"Value":                 func() { p.Value(obs) },
	} {
		f()
		if n := testing.AllocsPerRun(20, f); n != 0 && !racing {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
	// These environments allocate at each reset, of which there are 13 or less.
	update(tr)()
	if n := testing.AllocsPerRun(20, update(tr)); n > 3*14 {
		t.Errorf("masked Update: %v allocations", n)
	}
}

// The policy's methods agree with each other and can be used concurrently.
func TestPolicy(t *testing.T) {
	tr := newTrainer(t, Config{Steps: 128}, new(meshEnv))
	if err := tr.Train(ctx, 1280); err != nil {
		t.Fatal(err)
	}
	p := tr.Policy()
	before := p.weights.pack()
	obs := []float32{.25, 1}
	probs, choice := make([]float64, 24), make([]int, 4)
	p.Probabilities(probs, obs)
	p.Act(choice, obs)
	for h, c := range choice {
		head := probs[6*h:][:6]
		if head[c] != slices.Max(head) {
			t.Errorf("head %d: Act takes %d of %v", h, c, head)
		}
	}
	counts := make([]float64, 24)
	rng := rand.New(rand.NewPCG(1, 1))
	const draws = 20_000
	for range draws {
		p.Sample(rng, choice, obs)
		for h, c := range choice {
			counts[6*h+c]++
		}
	}
	for i, n := range counts {
		if sd := math.Sqrt(probs[i] * (1 - probs[i]) / draws); math.Abs(n/draws-probs[i]) > 4.5*sd {
			t.Errorf("choice %d: sampled %.4f, probability %.4f", i, n/draws, probs[i])
		}
	}
	p.Act(choice, obs)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			mine := make([]int, 4)
			for range 500 {
				p.Act(mine, []float32{1, 1})
				p.Act(mine, obs)
				if !slices.Equal(mine, choice) {
					t.Errorf("concurrent Act: %v, want %v", mine, choice)
					return
				}
			}
		})
	}
	wg.Wait()
	if _, err := tr.Update(ctx); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(before, p.weights.pack()) {
		t.Error("training changed a policy handed out before")
	}
	for name, f := range map[string]func(){
		"observation": func() { p.Act(choice, []float32{1}) },
		"NaN":         func() { p.Act(choice, []float32{1, float32(math.NaN())}) },
		"choice":      func() { p.Act(choice[:3], obs) },
		"mask":        func() { p.Masked(make([]bool, 24)) },
		"mask length": func() { p.Masked(make([]bool, 23)) },
	} {
		func() {
			defer func() {
				if s, _ := recover().(string); !strings.HasPrefix(s, "ppo: ") {
					t.Errorf("%s: panic %q", name, s)
				}
			}()
			f()
		}()
	}
}

// faulty returns what its fields say at step at.
type faulty struct {
	meshEnv
	at, step int
	reward   float64
	obs      float32
	err      error
	reset    error
	first    float32 // added to the first observation
}

func (e *faulty) Reset(seed uint64, obs []float32) error {
	err := e.meshEnv.Reset(seed, obs)
	obs[0] += e.first
	return errors.Join(err, e.reset)
}

func (e *faulty) Step(choice []int, obs []float32) (float64, bool, error) {
	r, done, err := e.meshEnv.Step(choice, obs)
	if e.step++; e.step == e.at {
		obs[1] = e.obs
		return e.reward, done, e.err
	}
	return r, done, err
}

func TestEnvironmentErrors(t *testing.T) {
	nan := math.NaN()
	gone := errors.New("testbed gone")
	diverging := new(meshEnv)
	for _, test := range []struct {
		env  Env
		want string
	}{
		{&faulty{at: 5, err: gone}, "ppo: environment 0, step 4: testbed gone"},
		{&faulty{at: 5, reward: nan}, "ppo: environment 0, step 4: reward NaN, want a finite number"},
		{&faulty{at: 5, reward: 1e300}, "ppo: environment 0, step 4: reward 1e+300, want a finite number"},
		{&faulty{at: 5, obs: float32(nan)}, "ppo: environment 0, step 4: observation 1 is NaN, want a finite number"},
		{&faulty{reset: gone}, "ppo: resetting environment 0 at step 0: testbed gone"},
		{&faulty{first: float32(nan)}, "ppo: resetting environment 0 at step 0: observation 0 is NaN, want a finite number"},
		{diverging, "ppo: training diverged at step 32: the gradient is not finite"},
	} {
		cfg := Config{Steps: 32}
		if test.env == diverging {
			cfg.LearningRate = 1e30
		}
		tr := newTrainer(t, cfg, test.env)
		_, err := tr.Update(ctx)
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("error %v, want %q", err, test.want)
			continue
		}
		if _, again := tr.Update(ctx); again != err {
			t.Errorf("a second call gives %v", again)
		}
		if err := tr.Checkpoint(filepath.Join(t.TempDir(), "x")); err == nil || !strings.Contains(err.Error(), "training has failed") {
			t.Errorf("checkpoint after failure: %v", err)
		}
	}
}
