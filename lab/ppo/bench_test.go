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
