package ppo

import (
	"math"
	"slices"
	"testing"
)

// watched keeps what an environment showed.
type watched struct {
	*identity
	seen []float32
}

func (e *watched) Reset(seed uint64, obs []float32) error {
	err := e.identity.Reset(seed, obs)
	e.seen = append(e.seen, obs...)
	return err
}

func (e *watched) Step(choice []int, obs []float32) (float64, bool, error) {
	reward, done, err := e.identity.Step(choice, obs)
	e.seen = append(e.seen, obs...)
	return reward, done, err
}

// Environments with common seeds show the same, their draws are their own, and
// their rows of a step stay together.
func TestCommon(t *testing.T) {
	var envs []Env
	var all []*watched
	for range 4 {
		e := &watched{identity: newIdentity()}
		envs, all = append(envs, e), append(all, e)
	}
	tr := newTrainer(t, Config{Common: true, Steps: 64, Batch: 34}, envs...)
	if tr.cfg.Batch != 32 {
		t.Errorf("a batch of %d rows, want whole steps: 32", tr.cfg.Batch)
	}
	if _, err := tr.Update(ctx); err != nil {
		t.Fatal(err)
	}
	for _, e := range all[1:] {
		if !slices.Equal(e.seen, all[0].seen) {
			t.Fatal("two environments showed different observations")
		}
	}
	different, right := 0, 0.
	r := tr.rollout
	for s := range 64 {
		if !slices.Equal(r.choice[8*s:][:2], r.choice[8*s+2:][:2]) {
			different++
		}
	}
	for _, v := range r.reward {
		right += float64(v)
	}
	// Two heads of 4 and 3 choices draw the same with probability 1/12, and a draw is
	// right in (1/4 + 1/3).
	if different < 48 || math.Abs(right/256-7./12) > .15 {
		t.Errorf("in %d of 64 steps two environments drew differently, rewards are %.3f", different, right/256)
	}
	for i := 0; i < len(tr.order); i += 4 {
		for k := range int32(4) {
			if tr.order[i]%4 != 0 || tr.order[i+int(k)] != tr.order[i]+k {
				t.Fatalf("rows %v are not of one step", tr.order[i:][:4])
			}
		}
	}
}

// The gradient is the same whether rows that are alike are computed once or each.
func TestAlikeRows(t *testing.T) {
	for name, c := range map[string]Config{"independent": {}, "autoregressive": {Autoregressive: true}, "masked": {}} {
		var env Env = newIdentity()
		if name == "masked" {
			env = newMasked()
		}
		c.Steps, c.Batch = 256, 256
		tr := newTrainer(t, c, env)
		for tr.rollout.n < 256 {
			if err := tr.step(); err != nil {
				t.Fatal(err)
			}
		}
		tr.value()
		tr.rollout.finish([]float32{0}, 0, 0)
		tr.prepare()
		var order []int32
		for k := range int32(256) {
			order = append(order, k)
		}
		gradient := func() ([]float32, lossTerms, int) {
			b := tr.batch.gather(tr.rollout, order)
			l := tr.gradient(lossWeights{clip: .2, entropy: .1, value: .5}, b)
			return slices.Clone(tr.grads.data), l, b.inputs.rows
		}
		tr.rollout.compare(c.Autoregressive)
		once, l, few := gradient()
		tr.rollout.first = slices.Clone(order)
		each, want, many := gradient()
		if few >= 2*many/3 || many != 256 {
			t.Errorf("%s: %d rows of inputs, %d without comparing", name, few, many)
		}
		worst := 0.
		for i, v := range once {
			worst = max(worst, math.Abs(float64(v-each[i])))
		}
		if worst > 1e-6 || math.Abs(l.total-want.total) > 1e-6 || math.Abs(l.entropy-want.entropy) > 1e-6 {
			t.Errorf("%s: gradients differ by up to %g; losses %+v and %+v", name, worst, l, want)
		}
	}
}

// Common seeds are in a checkpoint.
func TestCommonResume(t *testing.T) {
	sameAfterBreak(t, Config{Common: true, Steps: 48}, 29, 400, func() []Env { return []Env{newIdentity(), newIdentity()} })
}
