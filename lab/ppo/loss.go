package ppo

import (
	"fmt"
	"math"
	"math/rand/v2"

	"github.com/meshbench/meshbench/lab/ppo/internal/kernel"
)

// forbidden is the logit, after subtracting the head's largest, of a choice
// that the mask forbids: its probability is exactly 0, and p·log p too.
const forbidden = -1e8

// distribution is a batch of independent categorical distributions, one per
// row and action head, computed from logits.
type distribution struct {
	heads []int
	ld    int
	z     []float32 // logits less the head's largest, rows×ld
	e     []float32 // exp(z), rows×ld
	sum   []float32 // sum of e, rows×heads
	lse   []float32 // log of sum, rows×heads
}

func newDistribution(heads []int, rows int) *distribution {
	d := &distribution{heads: heads, ld: kernel.Pad(sum(heads))}
	d.z, d.e = make([]float32, rows*d.ld), make([]float32, rows*d.ld)
	d.sum, d.lse = make([]float32, rows*len(heads)), make([]float32, rows*len(heads))
	return d
}

// set computes the distributions of rows rows of logits. mask is nil or holds,
// per row, a flag per choice (unpadded); a head without any allowed choice is
// the caller's mistake.
func (d *distribution) set(logits []float32, rows int, mask []bool) {
	logits = logits[:rows*d.ld]
	z, e := d.z[:rows*d.ld], d.e[:rows*d.ld]
	width := sum(d.heads)
	for r := range rows {
		at := 0
		for _, n := range d.heads {
			in, out := logits[r*d.ld+at:][:n], z[r*d.ld+at:][:n]
			if mask == nil {
				top := largest(in)
				for c, v := range in {
					out[c] = v - top
				}
			} else {
				allowed := mask[r*width+at:][:n]
				top := float32(math.Inf(-1))
				for c, v := range in {
					if allowed[c] && v > top {
						top = v
					}
				}
				for c, v := range in {
					out[c] = v - top
					if !allowed[c] {
						out[c] = forbidden
					}
				}
			}
			at += n
		}
	}
	copy(e, z)
	kernel.Exp(e)
	for r := range rows {
		at := 0
		for h, n := range d.heads {
			sum := total(e[r*d.ld+at:][:n])
			d.sum[r*len(d.heads)+h] = sum
			d.lse[r*len(d.heads)+h] = float32(math.Log(float64(sum)))
			at += n
		}
	}
}

// largest and total work on four values at a time, which do not wait for each
// other: heads may have thousands of choices.

func largest(x []float32) float32 {
	a, b, c, d := x[0], x[0], x[0], x[0]
	for ; len(x) >= 4; x = x[4:] {
		if x[0] > a {
			a = x[0]
		}
		if x[1] > b {
			b = x[1]
		}
		if x[2] > c {
			c = x[2]
		}
		if x[3] > d {
			d = x[3]
		}
	}
	for _, v := range x {
		a = max(a, v)
	}
	return max(a, b, c, d)
}

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

// logProb returns the log-probability of a row's choices, summed over heads.
func (d *distribution) logProb(row int, choice []int32) float32 {
	var sum float32
	at := row * d.ld
	lse := d.lse[row*len(d.heads):]
	for h, n := range d.heads {
		sum += d.z[at+int(choice[h])] - lse[h]
		at += n
	}
	return sum
}

// sample draws a row's choices.
func (d *distribution) sample(row int, rng *rand.Rand, choice []int32) {
	at := row * d.ld
	for h, n := range d.heads {
		choice[h] = int32(draw(rng, d.e[at:][:n], d.sum[row*len(d.heads)+h]))
		at += n
	}
}

// draw returns an index with a probability in proportion to its weight, never
// one of weight 0. sum is the sum of weights.
func draw(rng *rand.Rand, weights []float32, sum float32) int {
	left := rng.Float64() * float64(sum)
	last := 0
	for i, w := range weights {
		if w == 0 {
			continue
		}
		last = i
		if left -= float64(w); left < 0 {
			break
		}
	}
	return last // where rounding leaves a rest, the last possible one
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
			return fmt.Errorf("the mask forbids all %d choices of head %d", n, h)
		}
		at += n
	}
	return nil
}

// minibatch is what the loss is computed on; slices have rows entries, or rows
// times the length of an observation, of a choice, of a mask.
type minibatch struct {
	rows      int
	obs       []float32
	choice    []int32
	mask      []bool    // nil: all allowed
	logProb   []float32 // under the policy that chose
	advantage []float32
	ret       []float32 // return
	value     []float32 // the value estimated at the rollout
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
// and its gradient by the logits (rows×d.ld) and by the values (rows×ldv). d
// holds the distributions of the present policy.
func loss(c lossWeights, b *minibatch, d *distribution, values []float32, ldv int, gradLogits, gradValues []float32) lossTerms {
	var t lossTerms
	n := float64(b.rows)
	heads := len(d.heads)
	for r := range b.rows {
		choice := b.choice[r*heads:][:heads]
		logRatio := float64(d.logProb(r, choice) - b.logProb[r])
		ratio := math.Exp(logRatio)
		adv := float64(b.advantage[r])
		free := adv * ratio
		held := adv * min(max(ratio, 1-c.clip), 1+c.clip)
		t.policy -= min(free, held)
		t.kl += ratio - 1 - logRatio
		if math.Abs(ratio-1) > c.clip {
			t.clipped++
		}
		// The gradient by the log-probability vanishes where the clipped
		// term is the smaller one.
		pull := 0.0
		if free <= held {
			pull = -free / n
		}

		// Per head, with p = softmax(z) and log p = z - lse: the entropy is
		// lse - Σ p z; d logProb/dz = 1[chosen] - p; dH/dz = -p (log p + H).
		at := r * d.ld
		for h, width := range d.heads {
			z, e := d.z[at:][:width], d.e[at:][:width]
			grad := gradLogits[at:][:width]
			inv, lse := 1/d.sum[r*heads+h], d.lse[r*heads+h]
			var pz float32
			for i, v := range e {
				pz += v * z[i]
			}
			pz *= inv
			t.entropy += float64(lse - pz)
			scale := float32(pull) * inv
			for i, v := range e {
				grad[i] = -scale * v
			}
			if c.entropy != 0 { // log p + H = z - Σ p z
				f := float32(c.entropy/n) * inv
				for i, v := range e {
					grad[i] += f * v * (z[i] - pz)
				}
			}
			grad[choice[h]] += float32(pull)
			at += width
		}

		v, old, ret := float64(values[r*ldv]), float64(b.value[r]), float64(b.ret[r])
		slope := 1.0
		if c.clipValue > 0 {
			if math.Abs(v-old) > c.clipValue {
				slope = 0
			}
			v = old + min(max(v-old, -c.clipValue), c.clipValue)
		}
		t.value += (ret - v) * (ret - v)
		gradValues[r*ldv] = float32(2 * c.value * slope * (v - ret) / n)
	}
	t.policy /= n
	t.value /= n
	t.entropy /= n
	t.kl /= n
	t.clipped /= n
	t.total = t.policy - c.entropy*t.entropy + c.value*t.value
	return t
}

// normalise shifts and scales x to mean 0 and standard deviation 1 (Bessel's
// correction, + 1e-8), as SB3 does with the advantages of each minibatch. A
// single value is left as it is.
func normalise(x []float32) {
	if len(x) < 2 {
		return
	}
	n := float64(len(x))
	var mean, ss float64
	for _, v := range x {
		mean += float64(v)
	}
	mean /= n
	for _, v := range x {
		ss += (float64(v) - mean) * (float64(v) - mean)
	}
	inv := 1 / (math.Sqrt(ss/(n-1)) + 1e-8)
	for i, v := range x {
		x[i] = float32((float64(v) - mean) * inv)
	}
}
