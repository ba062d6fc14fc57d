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
	r.compare(t.shape.chained)
	t.value()
	last := t.values(r.obs[r.n*envs*obs:], envs)
	r.finish(last, c.Gamma, max(c.GAELambda, 0))

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

	lw := lossWeights{clip: c.Clip, clipValue: c.ClipValue, entropy: m.EntropyCoef, value: max(c.ValueCoef, 0)}
	t.prepare()
	for i := range t.order {
		t.order[i] = int32(i)
	}
	together := 1 // rows that are shuffled as one
	if c.Common {
		together = envs
	}
	batches, steps := 0, 0
epochs:
	for range c.Epochs {
		m.Epochs++
		t.shuffler.Shuffle(len(t.order)/together, func(i, j int) {
			for k := range together {
				i, j := i*together+k, j*together+k
				t.order[i], t.order[j] = t.order[j], t.order[i]
			}
		})
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
		t.learning, t.batch = newPasses(t.shape, t.weights, rows, true), newMinibatch(rows, len(t.order), r.widths, t.shape.chained)
	}
}

// gradient computes the loss on a minibatch and its gradient into t.grads.
func (t *Trainer) gradient(lw lossWeights, b *minibatch) lossTerms {
	p, w := t.learning, t.weights
	values := t.forward(&b.inputs)
	l := loss(lw, b, t.credit, p.dist, values, t.valueStride(), p.value.result())
	if t.shape.chained {
		p.policy.backwardHeads(t.shape, w, t.grads, &p.in, b.inputs.choice, p.dist.e, p.dist.at, p.dist.ld)
	} else {
		p.policy.backward(w.policy, t.grads.policy, &p.in, p.dist.e)
	}
	p.value.backward(w.value, t.grads.value, &p.in, p.value.result())
	return l
}

// forward computes the distributions of a minibatch's inputs and returns their
// values.
func (t *Trainer) forward(b *inputRows) []float32 {
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

// newMinibatch takes the memory for rows rows of a rollout of all rows.
func newMinibatch(rows, all int, w widths, chained bool) minibatch {
	b := minibatch{
		inputs: inputRows{obs: make([]float32, rows*w.obs)}, input: make([]int32, rows), at: make([]int32, all),
		choice:  make([]int32, rows*w.choice),
		credits: w.credits, logProb: make([]float32, rows*w.credits), advantage: make([]float32, rows*w.credits),
		ret: make([]float32, rows*w.credits), value: make([]float32, rows*w.credits),
	}
	if w.mask > 0 {
		b.inputs.mask = make([]bool, rows*w.mask)
	}
	if chained {
		b.inputs.choice = make([]int32, rows*w.choice)
	}
	for i := range b.at {
		b.at[i] = -1
	}
	return b
}

// gather copies the given rows of the rollout.
func (b *minibatch) gather(r *rollout, rows []int32) *minibatch {
	w, in := r.widths, &b.inputs
	b.rows, in.rows = len(rows), 0
	n := w.credits
	b.advantage = b.advantage[:b.rows*n]
	for i, row := range rows {
		first := &b.at[r.first[row]]
		if *first < 0 {
			*first = int32(in.rows)
			r.input(in, in.rows, int(row))
			in.rows++
		}
		b.input[i] = *first
	}
	for i, row := range rows {
		at := int(row)
		b.at[r.first[row]] = -1
		copy(b.choice[i*w.choice:][:w.choice], r.choice[at*w.choice:])
		copy(b.logProb[i*n:][:n], r.logProb[at*n:])
		copy(b.advantage[i*n:][:n], r.advantage[at*n:])
		copy(b.ret[i*n:][:n], r.ret[at*n:])
		copy(b.value[i*n:][:n], r.value[at*n:])
	}
	return b
}
