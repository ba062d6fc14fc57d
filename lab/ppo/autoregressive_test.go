package ppo

import (
	"bytes"
	"errors"
	"math"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// meeting pays for two choices together, by which of two sides it shows.
type meeting struct {
	rng  *rand.Rand
	side float32
}

func (e *meeting) Spaces() (int, []int) { return 2, []int{4, 4} }

func (e *meeting) Reset(seed uint64, obs []float32) error {
	e.rng = rand.New(rand.NewPCG(seed, 0))
	e.next(obs)
	return nil
}

func (e *meeting) next(obs []float32) {
	e.side = float32(e.rng.IntN(2))
	obs[0], obs[1] = e.side, 1-e.side
}

func (e *meeting) Step(choice []int, obs []float32) (float64, bool, error) {
	reward := hunt(e.side, choice[0], choice[1])
	e.next(obs)
	return reward, false, nil
}

// hunt is a stag hunt of four choices each: 1 if both take choice 0, 0.5 if
// neither does and nothing else, so that choice 0 is the worse one (0.25 against
// 0.375) until the other takes it too, and two who learn side by side settle
// for 0.5. On the other side both are counted from the end.
func hunt(side float32, a, b int) float64 {
	if side == 1 {
		a, b = 3-a, 3-b
	}
	switch {
	case a == 0 && b == 0:
		return 1
	case a != 0 && b != 0:
		return .5
	}
	return 0
}

// The stag hunt is solved by autoregressive heads and not by independent ones.
func TestAutoregressiveHunts(t *testing.T) {
	solved := map[bool]int{}
	for _, chained := range []bool{false, true} {
		for seed := range uint64(4) {
			tr := newTrainer(t, Config{
				Seed: seed, Steps: 256, Autoregressive: chained,
				EntropyCoef: .2, EntropyCoefSchedule: Linear, TotalSteps: 10_000,
			}, new(meeting))
			if err := tr.Train(ctx, 0); err != nil {
				t.Fatal(err)
			}
			p, mean, choice := tr.Policy(), 0.0, make([]int, 2)
			for side := range 2 {
				p.Act(choice, []float32{float32(side), 1 - float32(side)})
				mean += hunt(float32(side), choice[0], choice[1]) / 2
			}
			t.Logf("autoregressive %v, seed %d: %v", chained, seed, mean)
			if mean == 1 {
				solved[chained]++
			}
		}
	}
	if solved[true] != 4 || solved[false] != 0 {
		t.Errorf("solved for %d of 4 seeds by autoregressive heads, want 4, and for %d by independent ones, want 0", solved[true], solved[false])
	}
}

// What Sample draws, Given's probabilities, Probabilities and Act agree.
func TestAutoregressivePolicy(t *testing.T) {
	tr := newTrainer(t, Config{Hidden: []int{10, 6}, Steps: 64, Autoregressive: true}, newIdentity())
	rng := rand.New(rand.NewPCG(1, 2))
	tr.weights.rows(func(row []float32) { // choices that matter
		for i := range row {
			row[i] += float32(rng.NormFloat64() / 2)
		}
	})
	p := tr.Policy()
	obs := []float32{0, 1, 0, 0, 0, 0, 1}
	probs, choice := make([]float64, 7), make([]int, 2)
	joint := make([]float64, 12)
	sum, spread := 0.0, 0.0
	var last []float64
	for a := range 4 {
		p.Given(probs, []int{a, 0}, obs)
		if last != nil {
			spread += math.Abs(probs[4] - last[4])
		}
		last = slices.Clone(probs)
		for b := range 3 {
			joint[3*a+b] = probs[a] * probs[4+b]
			sum += joint[3*a+b]
		}
	}
	if math.Abs(sum-1) > 1e-6 {
		t.Errorf("probabilities of all actions sum to %v", sum)
	}
	if spread < .1 {
		t.Errorf("the second head hardly depends on the first: %v", spread)
	}
	const draws = 30_000
	counts := make([]float64, 12)
	for range draws {
		p.Sample(rng, choice, obs)
		counts[3*choice[0]+choice[1]]++
	}
	for i, n := range counts {
		if sd := math.Sqrt(joint[i] * (1 - joint[i]) / draws); math.Abs(n/draws-joint[i]) > 4.5*sd {
			t.Errorf("action %d: sampled %.4f, probability %.4f", i, n/draws, joint[i])
		}
	}
	p.Act(choice, obs)
	greedy := make([]float64, 7)
	p.Given(greedy, choice, obs)
	p.Probabilities(probs, obs)
	if !slices.Equal(greedy, probs) {
		t.Errorf("Probabilities %v, given what Act chooses %v", probs, greedy)
	}
	if probs[choice[0]] != slices.Max(probs[:4]) || probs[4+choice[1]] != slices.Max(probs[4:]) {
		t.Errorf("Act takes %v of %v", choice, probs)
	}

	// The rollout's log-probabilities are those of Given, and of the update's
	// forward pass over all steps at once.
	if _, err := tr.Update(ctx); err != nil {
		t.Fatal(err)
	}
	r := tr.rollout
	for row := range 64 {
		given := []int{int(r.choice[2*row]), int(r.choice[2*row+1])}
		p.Given(probs, given, r.obs[row*7:][:7])
		if row == 0 {
			continue // its observation has given way to what follows the last step
		}
		if want := math.Log(probs[given[0]] * probs[4+given[1]]); math.Abs(want-float64(r.logProb[row])) > 1e-5 {
			t.Fatalf("step %d: log-probability %v, want %v", row, r.logProb[row], want)
		}
	}

	path := filepath.Join(t.TempDir(), "policy.zip")
	if err := p.Save(path); err != nil {
		t.Fatal(err)
	}
	q, err := LoadFor(path, newIdentity())
	if err != nil {
		t.Fatal(err)
	}
	if !q.Autoregressive() || !bytes.Equal(q.weights.pack(), p.weights.pack()) {
		t.Error("the loaded policy differs")
	}
	q.Given(greedy, []int{1, 2}, obs)
	p.Given(probs, []int{1, 2}, obs)
	if !slices.Equal(greedy, probs) {
		t.Error("the loaded policy computes something else")
	}
	if _, err := New(Config{Autoregressive: true, Hidden: []int{}}, newIdentity()); err == nil || !strings.Contains(err.Error(), "without a hidden layer") {
		t.Errorf("no hidden layer: %v", err)
	}
}

// A checkpoint of an autoregressive training with an immediate head, in the middle
// of an update.
func TestAutoregressiveResume(t *testing.T) {
	cfg := Config{Seed: 5, Steps: 50, Autoregressive: true, Immediate: []bool{false, true}, EntropyCoef: .01, Gamma: .5}
	sameAfterBreak(t, cfg, 77, 300, func() []Env { return []Env{newRising(), newRising()} })
}

// rising is identity whose second choice must not be below the first, up to
// the largest there is.
type rising struct{ identity }

func newRising() *rising { return &rising{*newIdentity()} }

func (e *rising) MaskHead(h int, before []int, dst []bool) {
	for c := range dst {
		dst[c] = h == 0 || c >= min(before[0], len(dst)-1)
	}
}

func (e *rising) Step(choice []int, obs []float32) (float64, bool, error) {
	if choice[1] < min(choice[0], 2) {
		return 0, false, errors.New("forbidden choice taken")
	}
	return e.identity.Step(choice, obs)
}

// Masks that depend on earlier choices hold in training and in use, with
// autoregressive heads and without.
func TestConditionalMask(t *testing.T) {
	for _, chained := range []bool{false, true} {
		tr := newTrainer(t, Config{Steps: 128, EntropyCoef: .01, Autoregressive: chained}, newRising(), newIdentity())
		if err := tr.Train(ctx, 2048); err != nil {
			t.Fatal(err)
		}
		p := tr.Policy().MaskedBy(newRising())
		rng := rand.New(rand.NewPCG(1, 1))
		choice, probs := make([]int, 2), make([]float64, 7)
		for range 300 {
			obs := []float32{float32(rng.NormFloat64()), 1, 0, 0, 1, 0, 0}
			p.Act(choice, obs)
			if choice[1] < min(choice[0], 2) {
				t.Fatalf("Act took %v", choice)
			}
			p.Sample(rng, choice, obs)
			if choice[1] < min(choice[0], 2) {
				t.Fatalf("Sample took %v", choice)
			}
			p.Given(probs, choice, obs)
			sum := 0.0
			for c, v := range probs[4:] {
				sum += v
				if (v > 0) != (c >= min(choice[0], 2)) {
					t.Fatalf("probabilities %v after choice %d", probs, choice[0])
				}
			}
			if math.Abs(sum-1) > 1e-6 {
				t.Fatalf("probabilities %v", probs)
			}
		}
	}
	blocked := &blocked{}
	_, err := newTrainer(t, Config{Steps: 16}, blocked).Update(ctx)
	if err == nil || !strings.Contains(err.Error(), "after the choices [") || !strings.Contains(err.Error(), "the mask forbids all 3 choices of head 1") {
		t.Errorf("all forbidden: %v", err)
	}
}

// blocked allows nothing to the second head.
type blocked struct{ rising }

func (e *blocked) Spaces() (int, []int) { return 7, []int{4, 3} }
func (e *blocked) Reset(seed uint64, obs []float32) error {
	e.identity = *newIdentity()
	return e.identity.Reset(seed, obs)
}
func (e *blocked) MaskHead(h int, before []int, dst []bool) {
	for c := range dst {
		dst[c] = h == 0
	}
}
