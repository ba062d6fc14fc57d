package ppo

import (
	"bytes"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"
)

// noisy rewards its second head for repeating what it shows, and its first head,
// by far more, for what it chose some steps before.
type noisy struct {
	rng    *rand.Rand
	wanted int
	last   [8]int
	step   int
}

func (e *noisy) Spaces() (int, []int) { return 4, []int{2, 4} }

func (e *noisy) Reset(seed uint64, obs []float32) error {
	*e = noisy{rng: rand.New(rand.NewPCG(seed, 0))}
	e.show(obs)
	return nil
}

func (e *noisy) show(obs []float32) {
	clear(obs)
	e.wanted = e.rng.IntN(4)
	obs[e.wanted] = 1
}

func (e *noisy) Step(choice []int, obs []float32) (reward float64, done bool, err error) {
	reward = 10 * float64(e.last[e.step%8])
	e.last[e.step%8] = choice[0]
	e.step++
	if choice[1] == e.wanted {
		reward++
	}
	e.show(obs)
	return reward, false, nil
}

// A head that bears on the next reward alone is learned sooner when it is credited
// with that, and another head still learns what pays later.
func TestImmediate(t *testing.T) {
	right := func(immediate []bool, seed uint64) (first, second int) {
		tr := newTrainer(t, Config{Seed: seed, Gamma: .95, Steps: 512, LearningRate: 3e-3, Immediate: immediate}, &noisy{})
		if err := tr.Train(ctx, 8*512); err != nil {
			t.Fatal(err)
		}
		p := tr.Policy()
		for k := range 4 {
			obs, choice := make([]float32, 4), make([]int, 2)
			obs[k] = 1
			p.Act(choice, obs)
			first += choice[0]
			if choice[1] == k {
				second++
			}
		}
		return first, second
	}
	with, without, later := 0, 0, 0
	for seed := range uint64(4) {
		first, second := right([]bool{false, true}, seed)
		later += first
		with += second
		_, second = right(nil, seed)
		without += second
	}
	t.Logf("of 16 choices right: immediate %d, without %d; of 16 that pay later %d", with, without, later)
	if with < 16 || without > 12 || later < 16 {
		t.Errorf("of 16 choices right: immediate %d, want all, without %d, want 12 at most; of 16 that pay later %d, want all", with, without, later)
	}
}

func TestImmediateErrors(t *testing.T) {
	for _, flags := range [][]bool{{true}, {true, true}, {true, false, false}} {
		if _, err := New(Config{Immediate: flags}, &noisy{}); err == nil || !strings.Contains(err.Error(), "Config.Immediate") {
			t.Errorf("Immediate %v: %v", flags, err)
		}
	}
}

// A policy that was read from a file begins a training of its kind, and none of
// another.
func TestBeginLoaded(t *testing.T) {
	for _, immediate := range [][]bool{nil, {false, true}} {
		path := filepath.Join(t.TempDir(), "policy.zip")
		p := newTrainer(t, Config{Seed: 1, Gamma: .9, Immediate: immediate}, &noisy{}).Policy()
		if err := p.Save(path); err != nil {
			t.Fatal(err)
		}
		q, err := Load(path)
		if err != nil {
			t.Fatal(err)
		}
		tr := newTrainer(t, Config{Seed: 2, Gamma: .9, Immediate: immediate}, &noisy{})
		if err := tr.Begin(q); err != nil || !bytes.Equal(tr.weights.pack(), p.weights.pack()) {
			t.Errorf("Immediate %v: %v", immediate, err)
		}
		other := []bool{false, true}
		if immediate != nil {
			other = nil
		}
		if err := newTrainer(t, Config{Gamma: .9, Immediate: other}, &noisy{}).Begin(q); err == nil {
			t.Errorf("Immediate %v began one of %v", immediate, other)
		}
	}
}
