package ppo

import (
	"fmt"
	"math"

	"github.com/meshbench/meshbench/lab/ppo/internal/kernel"
)

// optimise runs the epochs of an update over the full rollout and empties it.
func (t *Trainer) optimise() (Metrics, error) {
	r, c := t.rollout, &t.cfg
	envs, obs := r.envs, t.shape.obs
	t.value()
	last := t.values(r.obs[r.n*envs*obs:], envs)
	r.finish(last, c.Gamma, c.GAELambda)

	m := Metrics{
		Steps:             t.steps,
		ExplainedVariance: explainedVariance(r.value, r.ret, r.widths.credits),
		LearningRate:      c.LearningRateSchedule.at(c.LearningRate, t.steps, c.TotalSteps),
		EntropyCoef:       c.EntropyCoefSchedule.at(c.EntropyCoef, t.steps, c.TotalSteps),
	}
	m.EpisodeReward, m.EpisodeLength = t.episodes.means()
	for row := range r.done {
		m.MeanReward += float64(r.reward[row*r.widths.credits]) / float64(len(r.done))
	}

	lw := lossWeights{clip: c.Clip, clipValue: c.ClipValue, entropy: m.EntropyCoef, value: c.ValueCoef}
	t.prepare()
	for i := range t.order {
		t.order[i] = int32(i)
	}
	batches, steps := 0, 0
epochs:
	for range c.Epochs {
		m.Epochs++
		t.shuffler.Shuffle(len(t.order), func(i, j int) { t.order[i], t.order[j] = t.order[j], t.order[i] })
		kl, inEpoch := 0.0, 0
		for at := 0; at < len(t.order); at += c.Batch {
			b := t.batch.gather(r, t.order[at:min(at+c.Batch, len(t.order))])
			if !c.RawAdvantages {
				for c := range b.credits {
					normalise(b.advantage[c:], b.credits)
				}
			}
			l := t.gradient(lw, b)
			batches++
			inEpoch++
			kl += l.kl
			m.ApproxKL = kl / float64(inEpoch)
			m.PolicyGradientLoss += l.policy
			m.ValueLoss += l.value
			m.EntropyLoss -= l.entropy
			m.ClipFraction += l.clipped
			m.Loss = l.total
			if c.TargetKL > 0 && l.kl > 1.5*c.TargetKL {
				break epochs
			}
			norm := math.Sqrt(kernel.SumSquares(t.grads.data))
			if math.IsNaN(norm) || math.IsInf(norm, 0) {
				return m, fmt.Errorf("ppo: training diverged at step %d: the gradient is not finite; a smaller learning rate or scaled rewards and observations may help", t.steps)
			}
			m.GradNorm += norm
			steps++
			t.adam.step(t.weights.data, t.grads.data, m.LearningRate, clipScale(norm, c.MaxGradNorm))
		}
	}
	for _, v := range []*float64{&m.PolicyGradientLoss, &m.ValueLoss, &m.EntropyLoss, &m.ClipFraction} {
		*v /= float64(batches)
	}
	m.GradNorm /= float64(max(1, steps))

	copy(r.obs[:envs*obs], r.obs[r.n*envs*obs:])
	r.n, r.valued = 0, 0
	t.updates++
	m.Updates = t.updates
	return m, nil
}

// prepare takes the memory for updates, once.
func (t *Trainer) prepare() {
	if r := t.rollout; t.learning == nil {
		rows := r.steps * r.envs
		t.order = make([]int32, rows)
		rows = min(t.cfg.Batch, rows)
		t.learning, t.batch = newPasses(t.shape, t.weights, rows, true), newMinibatch(rows, r.widths)
	}
}

// gradient computes the loss on a minibatch and its gradient into t.grads.
func (t *Trainer) gradient(lw lossWeights, b *minibatch) lossTerms {
	p, w := t.learning, t.weights
	values := t.forward(b)
	l := loss(lw, b, t.credit, p.dist, values, t.valueStride(), p.value.result())
	if t.shape.chained {
		p.policy.backwardHeads(t.shape, w, t.grads, &p.in, b.choice, p.dist.e, p.dist.at, p.dist.ld)
	} else {
		p.policy.backward(w.policy, t.grads.policy, &p.in, p.dist.e)
	}
	p.value.backward(w.value, t.grads.value, &p.in, p.value.result())
	return l
}

// forward computes the distributions of a minibatch, given its choices, and
// returns its values.
func (t *Trainer) forward(b *minibatch) []float32 {
	p, w, s := t.learning, t.weights, t.shape
	p.in.set(b.obs, b.rows, s.obs)
	logits := p.policy.policyForward(w, &p.in)
	if s.chained {
		for h := range s.heads {
			p.policy.head(s, w, h, b.rows, b.choice, p.dist.at[h], p.dist.ld)
		}
	}
	p.dist.set(logits, b.rows, b.mask, 0, len(s.heads))
	return p.value.forward(w.value, &p.in)
}

func newMinibatch(rows int, w widths) minibatch {
	b := minibatch{
		obs: make([]float32, rows*w.obs), choice: make([]int32, rows*w.choice),
		credits: w.credits, logProb: make([]float32, rows*w.credits), advantage: make([]float32, rows*w.credits),
		ret: make([]float32, rows*w.credits), value: make([]float32, rows*w.credits),
	}
	if w.mask > 0 {
		b.mask = make([]bool, rows*w.mask)
	}
	return b
}

// gather copies the given rows of the rollout.
func (b *minibatch) gather(r *rollout, rows []int32) *minibatch {
	w := r.widths
	b.rows = len(rows)
	n := w.credits
	b.advantage = b.advantage[:b.rows*n]
	for i, row := range rows {
		at := int(row)
		copy(b.obs[i*w.obs:][:w.obs], r.obs[at*w.obs:])
		copy(b.choice[i*w.choice:][:w.choice], r.choice[at*w.choice:])
		if w.mask > 0 {
			copy(b.mask[i*w.mask:][:w.mask], r.mask[at*w.mask:])
		}
		copy(b.logProb[i*n:][:n], r.logProb[at*n:])
		copy(b.advantage[i*n:][:n], r.advantage[at*n:])
		copy(b.ret[i*n:][:n], r.ret[at*n:])
		copy(b.value[i*n:][:n], r.value[at*n:])
	}
	return b
}
