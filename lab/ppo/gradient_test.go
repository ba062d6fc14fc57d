package ppo

import (
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// exactNet computes a network's results for one observation in float64.
func exactNet(net []layer, x []float64) []float64 {
	for i, l := range net {
		x = exactLayer(l, x)
		if i < len(net)-1 {
			exactTanh(x)
		}
	}
	return x
}

func exactLayer(l layer, x []float64) []float64 {
	y := make([]float64, l.out)
	for j := range y {
		y[j] = float64(l.b[j])
		for p, v := range x {
			y[j] += v * float64(l.w[p*l.ld+j])
		}
	}
	return y
}

func exactTanh(x []float64) {
	for i, v := range x {
		x[i] = math.Tanh(v)
	}
}

// exactLogits computes the logits of all heads, given the choices.
func exactLogits(s shape, w *weights, x []float64, choice []int32) []float64 {
	z := exactNet(w.policy, x)
	if !s.chained {
		return z
	}
	var logits []float64
	for h := range s.heads {
		y := slices.Clone(z)
		first := 0
		for g, n := range s.heads[:h] {
			e := w.earlier[h]
			for j := range y {
				y[j] += float64(e.w[(first+int(choice[g]))*e.ld+j])
			}
			first += n
		}
		exactTanh(y)
		logits = append(logits, exactLayer(w.logits[h], y)...)
	}
	return logits
}

// exactLoss is PPO's loss written down straight from its definition, in
// float64.
func exactLoss(c lossWeights, s shape, w *weights, b *minibatch, credit []int) float64 {
	var policy, value, entropy float64
	for r := range b.rows {
		x := make([]float64, s.obs)
		for i := range x {
			x[i] = float64(b.inputs.obs[int(b.input[r])*s.obs+i])
		}
		logits := exactLogits(s, w, x, b.choice[r*len(s.heads):])
		logProb, at := make([]float64, b.credits), 0
		for h, n := range s.heads {
			norm := 0.0
			p := make([]float64, n)
			for i := range p {
				if b.inputs.mask == nil || b.inputs.mask[int(b.input[r])*s.choices()+at+i] {
					p[i] = math.Exp(logits[at+i])
					norm += p[i]
				}
			}
			for i := range p {
				p[i] /= norm
				if p[i] > 0 {
					entropy -= p[i] * math.Log(p[i])
				}
			}
			logProb[credit[h]] += math.Log(p[b.choice[r*len(s.heads)+h]])
			at += n
		}
		v := exactNet(w.value, x)
		for k := range b.credits {
			ratio := math.Exp(logProb[k] - float64(b.logProb[r*b.credits+k]))
			a := float64(b.advantage[r*b.credits+k])
			policy -= min(a*ratio, a*min(max(ratio, 1-c.clip), 1+c.clip))
			if old := float64(b.value[r*b.credits+k]); c.clipValue > 0 {
				v[k] = old + min(max(v[k]-old, -c.clipValue), c.clipValue)
			}
			ret := float64(b.ret[r*b.credits+k])
			value += (ret - v[k]) * (ret - v[k])
		}
	}
	return (policy - c.entropy*entropy + c.value*value) / float64(b.rows)
}

// The gradient of every weight against central differences of the loss.
func TestGradient(t *testing.T) {
	for _, test := range []struct {
		name      string
		hidden    []int
		mask      bool
		advantage float64 // its scale; 0 leaves out the policy's loss
		loss      lossWeights
	}{
		{"policy alone", []int{5, 3}, false, 1, lossWeights{clip: .2}},
		{"value alone", []int{5, 3}, false, 0, lossWeights{clip: .2, value: .5}},
		{"entropy alone", []int{5, 3}, false, 0, lossWeights{clip: .2, entropy: 1}},
		{"all terms", []int{9, 8}, false, 1, lossWeights{clip: .2, clipValue: .3, entropy: .1, value: .5}},
		{"all terms, masked", []int{4, 17, 3}, true, 1, lossWeights{clip: .2, clipValue: .3, entropy: .1, value: .5}},
		{"linear networks", []int{}, true, 1, lossWeights{clip: .2, entropy: .1, value: .5}},
		{"autoregressive", []int{9, 7}, false, 1, lossWeights{clip: .2, entropy: .1, value: .5}},
		{"autoregressive, masked", []int{6}, true, 1, lossWeights{clip: .2, entropy: .1, value: .5}},
		{"immediate", []int{9, 7}, false, 1, lossWeights{clip: .2, clipValue: .3, entropy: .1, value: .5}},
		{"autoregressive, immediate, masked", []int{9, 7}, true, 1, lossWeights{clip: .2, entropy: .1, value: .5}},
		{"rows alike", []int{9, 8}, false, 1, lossWeights{clip: .2, clipValue: .3, entropy: .1, value: .5}},
		{"rows alike, masked, immediate", []int{9, 8}, true, 1, lossWeights{clip: .2, entropy: .1, value: .5}},
		{"autoregressive, sparse", []int{9, 7}, false, 1, lossWeights{clip: .2, entropy: .1, value: .5}},
	} {
		t.Run(test.name, func(t *testing.T) {
			const rows = 37
			rng := rand.New(rand.NewPCG(1, 2))
			var env Env = newIdentity()
			if test.mask {
				env = newMasked()
			}
			config := Config{Hidden: test.hidden, Batch: rows, Autoregressive: strings.HasPrefix(test.name, "autoregressive")}
			if strings.Contains(test.name, "immediate") {
				config.Immediate = []bool{true, false}
			}
			tr := newTrainer(t, config, env)
			tr.prepare()
			s, w := tr.shape, tr.weights
			w.rows(func(row []float32) {
				for i := range row {
					row[i] += float32(rng.NormFloat64() / 2)
				}
			})
			b := &tr.batch
			b.rows, b.inputs.rows = rows, rows
			if strings.Contains(test.name, "alike") {
				b.inputs.rows = 3
			}
			for r := range b.input {
				b.input[r] = int32(r % b.inputs.rows)
			}
			in := &b.inputs
			sparse := strings.Contains(test.name, "sparse")
			for i := range in.obs {
				if in.obs[i] = float32(rng.NormFloat64()); sparse && rng.IntN(14) > 0 {
					in.obs[i] = 0
				}
			}
			for i := range in.mask {
				in.mask[i] = rng.IntN(2) == 0
			}
			for i := range b.choice {
				n := s.heads[i%len(s.heads)]
				b.choice[i] = int32(rng.IntN(n))
				if in.mask != nil {
					at := int(b.input[i/len(s.heads)]) * s.choices()
					in.mask[at+sum(s.heads[:i%len(s.heads)])+int(b.choice[i])] = true
				}
			}
			copy(in.choice, b.choice)
			p := tr.learning
			values := tr.forward(&b.inputs)
			// As if the steps had been taken by a slightly different policy, on
			// both sides of the kinks where clipping sets in but not near them.
			shift := func(small, large float64) float32 {
				x := small * rng.Float64()
				if rng.IntN(2) == 0 {
					x = large * (1 + rng.Float64())
				}
				return float32(math.Copysign(x, rng.Float64()-.5))
			}
			n := b.credits
			for r := range rows {
				p.dist.logProbs(int(b.input[r]), b.choice[r*len(s.heads):], tr.credit, b.logProb[r*n:][:n])
			}
			for i := range rows * n {
				b.logProb[i] += shift(.15, .3)
				b.advantage[i] = float32(test.advantage * rng.NormFloat64())
				b.value[i] = values[int(b.input[i/n])*tr.valueStride()+i%n] + shift(.25, .35)
				b.ret[i] = b.value[i] + float32(rng.NormFloat64())
			}

			terms := tr.gradient(test.loss, b)
			if p.in.sparse != sparse {
				t.Errorf("sparse inputs %v, want %v", p.in.sparse, sparse)
			}
			if want := exactLoss(test.loss, s, w, b, tr.credit); math.Abs(terms.total-want) > 1e-5*(1+math.Abs(want)) {
				t.Errorf("loss %v, want %v", terms.total, want)
			}
			var largest, worst float64
			const h = 1.0 / 512 // exact in float32 for weights of this size
			var grads []float32
			tr.grads.rows(func(row []float32) { grads = append(grads, row...) })
			i := 0
			w.rows(func(row []float32) {
				for j, v := range row {
					// Richardson's extrapolation of two central differences.
					diff := func(h float32) float64 {
						row[j] = v + h
						up := exactLoss(test.loss, s, w, b, tr.credit)
						up2 := float64(row[j])
						row[j] = v - h
						d := (up - exactLoss(test.loss, s, w, b, tr.credit)) / (up2 - float64(row[j]))
						row[j] = v
						return d
					}
					want := (4*diff(h/2) - diff(h)) / 3
					largest = max(largest, math.Abs(want))
					worst = max(worst, math.Abs(want-float64(grads[i])))
					i++
				}
			})
			t.Logf("%d weights, largest gradient %.3g, worst difference %.3g", i, largest, worst)
			if largest == 0 {
				t.Error("the gradient is 0")
			}
			if worst > 1e-6 {
				t.Errorf("worst difference to finite differences %g, largest gradient %g", worst, largest)
			}
		})
	}
}
