package ppo

import (
	"math"
	"testing"
)

// What is drawn from a distribution that was kept is as likely as by the networks
// as they are, before and after they have changed.
func TestRecall(t *testing.T) {
	tr := newTrainer(t, Config{Steps: 64, Batch: 32}, newIdentity())
	for update := range 3 {
		for tr.rollout.n < 60 {
			if err := tr.step(); err != nil {
				t.Fatal(err)
			}
		}
		r := tr.rollout
		if n := tr.recall.n; n == 0 || n > 12 { // of 4 x 3 observations
			t.Fatalf("%d observations are kept of 60 steps", n)
		}
		d := newPasses(tr.shape, tr.weights, 1, false)
		var fresh [1]float32
		for row := range r.n {
			d.in.set(r.obs[row*r.widths.obs:][:r.widths.obs], 1, r.widths.obs)
			d.dist.set(d.policy.policyForward(tr.weights, &d.in), 1, nil, 0, len(tr.shape.heads))
			d.dist.logProbs(0, r.choice[row*2:][:2], tr.credit, fresh[:])
			if math.Float32bits(fresh[0]) != math.Float32bits(r.logProb[row]) {
				t.Fatalf("update %d, row %d: log-probability %v, freshly computed %v", update, row, r.logProb[row], fresh[0])
			}
		}
		if _, err := tr.Update(ctx); err != nil {
			t.Fatal(err)
		}
	}
}

// More observations than are kept are computed all the same.
func TestRecallBound(t *testing.T) {
	r := recall{}
	d := newDistribution(shape{heads: []int{3}}, 1)
	d.z = make([]float32, d.ld)
	for k := range recalled + 5 {
		obs := []float32{float32(k)}
		d.e[0] = float32(k)
		r.keep(obs, d)
		if got := r.find(obs); (got != nil) != (k < recalled) || got != nil && got.e[0] != float32(k) {
			t.Fatalf("observation %d: %+v", k, got)
		}
	}
	if r.find([]float32{0}).e[0] != 0 {
		t.Error("the first one changed")
	}
	if r.forget(); r.find([]float32{0}) != nil {
		t.Error("it is remembered after forget")
	}
}
