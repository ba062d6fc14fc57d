package ppo

import (
	"fmt"
	"math"

	"github.com/meshbench/meshbench/lab/ppo/internal/kernel"
)

// forbidden is the logit of a choice that the mask forbids: its probability is
// exactly 0, and p·log p too.
const forbidden = -1e30

// distribution is a batch of categorical distributions, one per row and action
// head, computed from logits.
type distribution struct {
	heads []int
	at    []int // column of each head's first choice
	ld    int
	z     []float32 // logits less the head's largest, rows×ld
	e     []float32 // exp(z), rows×ld; padding 0
	sum   []float32 // sum of e, rows×heads
	ez    []float32 // sum of e·z, rows×heads
	lse   []float32 // logarithm of sum, rows×heads: log p = z - lse
}

func newDistribution(s shape, rows int) *distribution {
	d := &distribution{heads: s.heads}
	d.at, d.ld = s.columns()
	d.e = make([]float32, rows*d.ld)
	for _, x := range []*[]float32{&d.sum, &d.ez, &d.lse} {
		*x = make([]float32, rows*len(s.heads))
	}
	return d
}

// set computes the distributions of heads first to last-1 of rows rows of
// logits, whose memory it takes. mask is nil or holds, per row, a flag per
// choice (unpadded); a head without any allowed choice is the caller's mistake.
func (d *distribution) set(logits []float32, rows int, mask []bool, first, last int) {
	d.z = logits[:rows*d.ld]
	width := sum(d.heads)
	for r := range rows {
		flag := r * width
		if mask != nil {
			flag += sum(d.heads[:first])
		}
		for h := first; h < last; h++ {
			n, at := d.heads[h], r*d.ld+d.at[h]
			z := d.z[at:][:n]
			if mask != nil {
				for c, ok := range mask[flag:][:n] {
					if !ok {
						z[c] = forbidden
					}
				}
				flag += n
			}
			k := r*len(d.heads) + h
			d.sum[k], d.ez[k] = kernel.Softmax(z, d.e[at:][:n])
			d.lse[k] = float32(math.Log(float64(d.sum[k])))
		}
	}
}

// logProbs writes the log-probabilities of a row's choices, each summed over the
// heads of one credit.
func (d *distribution) logProbs(row int, choice []int32, credit []int, dst []float32) {
	clear(dst)
	for h := range d.heads {
		dst[credit[h]] += d.z[row*d.ld+d.at[h]+int(choice[h])] - d.lse[row*len(d.heads)+h]
	}
}

// weights returns a head's e.
func (d *distribution) weights(row, h int) []float32 { return d.e[row*d.ld+d.at[h]:][:d.heads[h]] }

// sample is a row's choice of head h for a uniform draw in [0, 1).
func (d *distribution) sample(row, h int, u float64) int {
	return draw(u, d.weights(row, h), d.sum[row*len(d.heads)+h])
}

// likeliest returns a row's most probable choice of head h, the first of equal ones.
func (d *distribution) likeliest(row, h int) int {
	best := 0
	z := d.z[row*d.ld+d.at[h]:][:d.heads[h]]
	for c, v := range z {
		if v > z[best] {
			best = c
		}
	}
	return best
}

// draw returns the index that the share u of the weights' sum falls on, for a
// uniform u one with a probability in proportion to its weight, never one of
// weight 0.
func draw(u float64, weights []float32, sum float32) int {
	left := u * float64(sum)
	last, first := 0, 0
	// Blocks at a time while the draw lies beyond them.
	const block = 64
	for ; len(weights)-first > block; first += block {
		part := float64(total(weights[first:][:block]))
		if left < part {
			break
		}
		if left -= part; part > 0 {
			last = first + lastPositive(weights[first:][:block])
		}
	}
	for i, w := range weights[first:] {
		if w == 0 {
			continue
		}
		last = first + i
		if left -= float64(w); left < 0 {
			break
		}
	}
	return last // where rounding leaves a rest, the last possible one
}

func lastPositive(weights []float32) int {
	i := len(weights) - 1
	for i > 0 && weights[i] == 0 {
		i--
	}
	return i
}

// total works on four values at a time, which do not wait for each other.
func total(x []float32) float32 {
	var a, b, c, d float32
	for ; len(x) >= 4; x = x[4:] {
		a += x[0]
		b += x[1]
		c += x[2]
		d += x[3]
	}
	for _, v := range x {
		a += v
	}
	return (a + b) + (c + d)
}

// checkMask returns an error if a head has no allowed choice.
func checkMask(heads []int, mask []bool) error {
	at := 0
	for h, n := range heads {
		some := false
		for _, ok := range mask[at : at+n] {
			some = some || ok
		}
		if !some {
			return errForbidden(n, h)
		}
		at += n
	}
	return nil
}

func errForbidden(choices, head int) error {
	return fmt.Errorf("the mask forbids all %d choices of head %d", choices, head)
}

// minibatch is what the loss is computed on; slices have rows entries for each
// value that heads are credited by, or rows times as many as a choice has.
type minibatch struct {
	rows      int
	credits   int // values that heads are credited by
	choice    []int32
	inputs    inputRows
	input     []int32   // per row: which of inputs is its own
	logProb   []float32 // under the policy that chose
	advantage []float32
	ret       []float32 // return
	value     []float32 // the value estimated at the rollout

	// Of loss: the gradient by the log-probability of each row's choices, its sum
	// over the rows of each input, and their number.
	pull, pulls []float64
	count       []int32
	at          []int32 // of gather: where among inputs a row of the rollout is, -1 for not yet
}

// inputRows are what the networks of a minibatch are computed for: rows that are
// alike are there once. Slices have rows times the length of an observation, of a
// mask, of a choice.
type inputRows struct {
	rows   int
	obs    []float32
	mask   []bool  // nil: all allowed
	choice []int32 // of an autoregressive policy, whose heads they are inputs of
}

// lossTerms are the loss of a minibatch and what it is made of.
type lossTerms struct {
	total, policy, value, entropy float64
	kl                            float64 // estimate of KL(old || new)
	clipped                       float64 // fraction of rows with |ratio - 1| > clip
}

// lossWeights are the coefficients that the loss depends on.
type lossWeights struct {
	clip      float64
	clipValue float64 // 0: the value is not clipped
	entropy   float64
	value     float64
}

// loss computes PPO's clipped surrogate loss
//
//	-mean(min(A·ratio, A·clamp(ratio, 1±clip))) - c_ent·mean(entropy) + c_v·mean((ret - V)²)
//
// and its gradient by the values (rows of inputs×ldv) and by the logits, the latter
// in the place of d.e. d holds the distributions of the present policy.
//
// Heads of different credits have ratios, advantages and values of their own,
// whose losses are added. The entropy is the sum over heads. Where a head depends on the choices before
// it, it is that of the head's distribution given those that were drawn, which
// estimates the entropy of the whole action; the gradient leaves out that the
// earlier heads decide how often the later ones' entropies count.
func loss(c lossWeights, b *minibatch, credit []int, d *distribution, values []float32, ldv int, gradValues []float32) lossTerms {
	var t lossTerms
	n := float64(b.rows)
	heads := len(d.heads)
	credits := b.credits
	b.pull = zeroed(b.pull, b.rows*credits)
	b.pulls, b.count = zeroed(b.pulls, b.inputs.rows*credits), zeroed(b.count, b.inputs.rows)
	clear(gradValues[:b.inputs.rows*ldv])
	for r := range b.rows {
		choice, in := b.choice[r*heads:][:heads], int(b.input[r])
		var logProb [2]float32
		d.logProbs(in, choice, credit, logProb[:credits])
		b.count[in]++
		for k := range credits {
			logRatio := float64(logProb[k] - b.logProb[r*credits+k])
			ratio := math.Exp(logRatio)
			adv := float64(b.advantage[r*credits+k])
			free := adv * ratio
			held := adv * min(max(ratio, 1-c.clip), 1+c.clip)
			t.policy -= min(free, held)
			t.kl += ratio - 1 - logRatio
			if math.Abs(ratio-1) > c.clip {
				t.clipped += 1 / float64(credits)
			}
			// The gradient by the log-probability vanishes where the clipped
			// term is the smaller one.
			if free <= held {
				b.pull[r*credits+k] = -free / n
				b.pulls[in*credits+k] += -free / n
			}
		}
		for k := range credits {
			v, old, ret := float64(values[in*ldv+k]), float64(b.value[r*credits+k]), float64(b.ret[r*credits+k])
			slope := 1.0
			if c.clipValue > 0 {
				if math.Abs(v-old) > c.clipValue {
					slope = 0
				}
				v = old + min(max(v-old, -c.clipValue), c.clipValue)
			}
			t.value += (ret - v) * (ret - v)
			gradValues[in*ldv+k] += float32(2 * c.value * slope * (v - ret) / n)
		}
	}
	// Per head, with p = softmax(z) and log p = z - lse: the entropy is
	// lse - Σ p z; d logProb/dz = 1[chosen] - p; dH/dz = -p (log p + H),
	// where log p + H = z - Σ p z.
	for in := range b.inputs.rows {
		for h := range d.heads {
			k, pull, count := in*heads+h, b.pulls[in*credits+credit[h]], float64(b.count[in])
			inv := 1 / d.sum[k]
			mean := d.ez[k] * inv
			t.entropy += float64(count * float64(d.lse[k]-mean))
			grad := d.weights(in, h)
			at := in*d.ld + d.at[h]
			kernel.SoftmaxGrad(grad, d.z[at:][:len(grad)], float32(-pull)*inv, float32(count*c.entropy/n)*inv, mean)
		}
	}
	for r := range b.rows {
		for h, c := range b.choice[r*heads:][:heads] {
			d.weights(int(b.input[r]), h)[c] += float32(b.pull[r*credits+credit[h]])
		}
	}
	t.policy /= n
	t.value /= n
	t.entropy /= n
	t.kl /= n
	t.clipped /= n
	t.total = t.policy - float64(c.entropy*t.entropy) + float64(c.value*t.value)
	return t
}

// zeroed returns n zeros, in the memory of x where that is enough.
func zeroed[T any](x []T, n int) []T {
	if cap(x) < n {
		return make([]T, n)
	}
	x = x[:n]
	clear(x)
	return x
}

// normalise shifts and scales every stride-th of x to mean 0 and standard deviation
// 1 (Bessel's correction, + 1e-8), as SB3 does with the advantages of each
// minibatch. A single value is left as it is.
func normalise(x []float32, stride int) {
	n := float64((len(x) + stride - 1) / stride)
	if n < 2 {
		return
	}
	var mean, ss float64
	for i := 0; i < len(x); i += stride {
		mean += float64(x[i])
	}
	mean /= n
	for i := 0; i < len(x); i += stride {
		ss += float64((float64(x[i]) - mean) * (float64(x[i]) - mean))
	}
	inv := 1 / (math.Sqrt(ss/(n-1)) + 1e-8)
	for i := 0; i < len(x); i += stride {
		x[i] = float32((float64(x[i]) - mean) * inv)
	}
}
