package ppo

import (
	"context"
	"testing"

	"github.com/meshbench/meshbench/lab/ppo/internal/kernel"
)

// meshEnv is an environment of the paper's size: two loads in, four choices of
// six out, so cheap that the time is the trainer's own.
type meshEnv struct {
	rng uint64
	obs [2]float32
}

func (e *meshEnv) Spaces() (int, []int) { return 2, []int{6, 6, 6, 6} }

func (e *meshEnv) next(obs []float32) {
	for i := range e.obs {
		e.rng = e.rng*6364136223846793005 + 1442695040888963407
		e.obs[i] = float32(1+e.rng>>62) / 4
	}
	copy(obs, e.obs[:])
}

func (e *meshEnv) Reset(seed uint64, obs []float32) error {
	e.rng = seed
	e.next(obs)
	return nil
}

func (e *meshEnv) Step(choice []int, obs []float32) (float64, bool, error) {
	reward := 0.0
	for h, c := range choice {
		if d := float64(c) - 5*float64(e.obs[h%2]); d < 0 {
			reward += d
		} else {
			reward -= d
		}
	}
	e.next(obs)
	return reward, false, nil
}

func benchmarkUpdate(b *testing.B, envs int) {
	list := make([]Env, envs)
	for i := range list {
		list[i] = new(meshEnv)
	}
	t := newTrainer(b, Config{}, list...)
	ctx := context.Background()
	if _, err := t.Update(ctx); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	b.ResetTimer()
	for b.Loop() {
		if _, err := t.Update(ctx); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(1024*float64(b.N)/b.Elapsed().Seconds(), "steps/s")
}

// One update of 1,024 steps at the paper's setting, environment included.
func BenchmarkUpdate1Env(b *testing.B)  { benchmarkUpdate(b, 1) }
func BenchmarkUpdate8x128(b *testing.B) { benchmarkUpdate(b, 8) }

// The same without vector instructions.
func BenchmarkUpdate1EnvPortable(b *testing.B) {
	defer kernel.UsePortable()()
	benchmarkUpdate(b, 1)
}

func BenchmarkAct(b *testing.B) {
	p := newTrainer(b, Config{}, new(meshEnv)).Policy()
	choice, obs := make([]int, 4), []float32{.5, 1}
	b.ReportAllocs()
	for b.Loop() {
		p.Act(choice, obs)
	}
}

// knotEnv shows two loads at 76 knots each, so that 4 of 152 numbers are not 0,
// and pays for an action of four components that may come as one choice.
type knotEnv struct {
	rng   uint64
	load  [2]float64
	heads []int
}

func (e *knotEnv) Spaces() (int, []int) { return 152, e.heads }

func (e *knotEnv) next(obs []float32) {
	clear(obs)
	for i := range e.load {
		e.rng = e.rng*6364136223846793005 + 1442695040888963407
		e.load[i] = float64(e.rng>>11) / (1 << 53)
		at := e.load[i] * 75
		k := min(int(at), 74)
		w := at - float64(k)
		obs[76*i+k], obs[76*i+k+1] = float32(2*(1-w)), float32(2*w)
	}
}

func (e *knotEnv) Reset(seed uint64, obs []float32) error {
	e.rng = seed
	e.next(obs)
	return nil
}

func (e *knotEnv) Step(choice []int, obs []float32) (float64, bool, error) {
	reward, whole := 0.0, choice[0]
	for i := range 4 {
		c := whole % 6
		if whole /= 6; len(choice) > 1 {
			c = choice[i]
		}
		d := float64(c)/5 - e.load[i%2]
		reward -= d * d
	}
	e.next(obs)
	return reward, false, nil
}

// One update of 4,096 steps with large batches, environments included: one
// choice of 1,296, or four of six, each given those before it.
func BenchmarkWhole(b *testing.B)          { benchmarkLarge(b, false, 1) }
func BenchmarkWhole16Envs(b *testing.B)    { benchmarkLarge(b, false, 16) }
func BenchmarkAutoregressive(b *testing.B) { benchmarkLarge(b, true, 1) }

func benchmarkLarge(b *testing.B, chained bool, envs int) {
	var list []Env
	for range envs {
		e := &knotEnv{heads: []int{1296}}
		if chained {
			e.heads = []int{6, 6, 6, 6}
		}
		list = append(list, e)
	}
	t := newTrainer(b, Config{Steps: 4096 / envs, Batch: 512, Epochs: 3, LearningRate: 6e-3, EntropyCoef: .2, Autoregressive: chained}, list...)
	ctx := context.Background()
	update := func() Metrics {
		m, err := t.Update(ctx)
		if err != nil {
			b.Fatal(err)
		}
		return m
	}
	update()
	b.ReportAllocs()
	step, optimise := 0.0, 0.0
	before := processorSeconds()
	for b.Loop() {
		m := update()
		step += m.StepSeconds
		optimise += m.OptimiseSeconds
	}
	b.ReportMetric((processorSeconds()-before)/float64(b.N)*1e3, "cpu-ms/op")
	b.ReportMetric(step/float64(b.N)*1e3, "steps-ms/op")
	b.ReportMetric(optimise/float64(b.N)*1e3, "optimise-ms/op")
}
