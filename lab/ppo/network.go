package ppo

import (
	"math"
	"math/rand/v2"
	"slices"

	"github.com/meshbench/meshbench/lab/ppo/internal/kernel"
)

// shape says how large the two networks are.
type shape struct {
	obs    int   // length of an observation
	heads  []int // number of choices per action head
	hidden []int // widths of the hidden layers, the same for both networks
	// chained says that the logits of a head depend on the choices of the heads
	// before it (Config.Autoregressive).
	chained bool
	// immediate says that some heads are credited with the next reward alone
	// (Config.Immediate), whose value is estimated beside the other.
	immediate bool
}

// columns returns where each head's logits start in a row, and a row's length.
// Heads of an autoregressive policy are computed one by one and padded each.
func (s shape) columns() (at []int, ld int) {
	for _, n := range s.heads {
		at = append(at, ld)
		if s.chained {
			n = kernel.Pad(n)
		}
		ld += n
	}
	return at, kernel.Pad(ld)
}

// values is the number of values that are estimated.
func (s shape) values() int {
	if s.immediate {
		return 2
	}
	return 1
}

// choices is the number of choices of all heads: the policy's logits.
func (s shape) choices() int { return sum(s.heads) }

func sum(x []int) int {
	n := 0
	for _, v := range x {
		n += v
	}
	return n
}

// size is the number of weights of both networks, not counting padding.
func (s shape) size() int {
	n := 0
	for _, t := range s.tensors() {
		part := 1
		for _, d := range t.Shape {
			part *= d
		}
		n += part
	}
	return n
}

// layer is y = x·w + b. Rows of w and b itself are padded to ld columns; the
// padding is 0 and stays 0, since its gradient is 0.
type layer struct {
	in, out, ld int
	w           []float32 // in×ld
	b           []float32 // ld; nil in weights.earlier
}

// weights are the parameters of both networks, or their gradients, in one
// slice that the optimiser can walk. Policy and value networks share nothing.
//
// An autoregressive policy ends in its last hidden layer, from which each head
// has logits of its own. Before that layer's tanh, head h adds a row of
// earlier[h] for each head before it: the row of that head's choice. So what a
// head takes from the choices before may depend on the observation, and a head
// costs no more than one tanh and its logits.
type weights struct {
	data          []float32
	policy, value []layer
	earlier       []layer // per head of an autoregressive policy, else nil
	logits        []layer // likewise
}

// all returns every layer, in the order of files.
func (w *weights) all() []*layer {
	var list []*layer
	for i := range w.policy {
		list = append(list, &w.policy[i])
	}
	for h := range w.logits {
		if h > 0 {
			list = append(list, &w.earlier[h])
		}
		list = append(list, &w.logits[h])
	}
	for i := range w.value {
		list = append(list, &w.value[i])
	}
	return list
}

func newWeights(s shape) *weights {
	stack := func(widths ...int) []layer {
		var ls []layer
		in := s.obs
		for _, width := range widths {
			ls = append(ls, layer{in: in, out: width, ld: kernel.Pad(width)})
			in = width
		}
		return ls
	}
	w := &weights{value: stack(append(slices.Clone(s.hidden), s.values())...)}
	if s.chained {
		w.policy = stack(s.hidden...)
		top, before := w.policy[len(w.policy)-1], 0
		for _, n := range s.heads {
			w.earlier = append(w.earlier, layer{in: before, out: top.out, ld: top.ld})
			w.logits = append(w.logits, layer{in: top.out, out: n, ld: kernel.Pad(n)})
			before += n
		}
	} else {
		w.policy = stack(append(slices.Clone(s.hidden), s.choices())...)
	}
	size := 0
	for _, l := range w.all() {
		size += (l.in + 1) * l.ld
	}
	w.data = make([]float32, size)
	rest := w.data
	take := func(n int) []float32 {
		part := rest[:n:n]
		rest = rest[n:]
		return part
	}
	for _, l := range w.all() {
		l.w = take(l.in * l.ld)
		l.b = take(l.ld)
	}
	for h := range w.earlier {
		w.earlier[h].b = nil // unused, its weights stay 0
	}
	return w
}

// clone returns a copy that shares nothing.
func (w *weights) clone(s shape) *weights {
	c := newWeights(s)
	copy(c.data, w.data)
	return c
}

// initialise draws orthogonal weights and zero biases: gain √2 in hidden
// layers, 0.01 for the logits (so that the first policy is nearly uniform), 1
// for the value.
func (w *weights) initialise(rng *rand.Rand) {
	for i, l := range w.policy {
		gain := math.Sqrt2
		if i == len(w.policy)-1 && w.logits == nil {
			gain = 0.01
		}
		orthogonal(l, gain, rng)
	}
	for h, l := range w.logits {
		if h > 0 {
			orthogonal(w.earlier[h], math.Sqrt2, rng)
		}
		orthogonal(l, 0.01, rng)
	}
	for i, l := range w.value {
		gain := math.Sqrt2
		if i == len(w.value)-1 {
			gain = 1
		}
		orthogonal(l, gain, rng)
	}
}

// orthogonal fills l.w with the Q of a random normal matrix's QR
// decomposition, R's diagonal being positive: orthonormal rows or columns,
// whichever are fewer.
func orthogonal(l layer, gain float64, rng *rand.Rand) {
	count, length := l.out, l.in
	if l.in < l.out {
		count, length = l.in, l.out
	}
	q := make([][]float64, count)
	for i := range q {
		q[i] = make([]float64, length)
		for j := range q[i] {
			q[i][j] = rng.NormFloat64()
		}
		for range 2 { // Gram-Schmidt, repeated once against rounding
			for _, p := range q[:i] {
				d := dot(p, q[i])
				for j := range p {
					q[i][j] -= d * p[j]
				}
			}
		}
		norm := math.Sqrt(dot(q[i], q[i]))
		for j := range q[i] {
			q[i][j] /= norm
		}
	}
	for i := range l.in {
		for j := range l.out {
			v := 0.0
			if l.in < l.out {
				v = q[i][j]
			} else {
				v = q[j][i]
			}
			l.w[i*l.ld+j] = float32(gain * v)
		}
	}
}

func dot(a, b []float64) float64 {
	s := 0.0
	for i := range a {
		s += float64(a[i] * b[i])
	}
	return s
}

// pass is the memory of one network's forward and backward pass over at most
// rows observations.
type pass struct {
	out  [][]float32 // out[l]: result of layer l, rows×ld; hidden ones after tanh
	grad [][]float32 // grad[l]: gradient of the loss by layer l's x·w + b
	wt   [][]float32 // wt[l]: layer l's w transposed, out×Pad(in), padding 0

	// Of an autoregressive policy, whose last hidden layer out[l] is before tanh.
	hidden    [][]float32 // per head: the last hidden layer with the choices before it, after tanh
	logits    []float32   // rows×ld of the distribution
	gradEach  []float32   // gradient by one head's hidden layer before tanh
	transpose []float32   // one head's logits layer transposed
}

func newPass(net []layer, rows int, backward bool) *pass {
	p := new(pass)
	for _, l := range net {
		p.out = append(p.out, make([]float32, rows*l.ld))
		if backward {
			p.grad = append(p.grad, make([]float32, rows*l.ld))
			p.wt = append(p.wt, make([]float32, l.out*kernel.Pad(l.in)))
		}
	}
	return p
}

// newPolicyPass is newPass for the policy network.
func newPolicyPass(s shape, w *weights, rows int, backward bool) *pass {
	p := newPass(w.policy, rows, backward)
	if !s.chained {
		return p
	}
	_, ld := s.columns()
	p.logits = make([]float32, rows*ld)
	top := w.policy[len(w.policy)-1]
	for range s.heads {
		p.hidden = append(p.hidden, make([]float32, rows*top.ld))
		if !backward {
			p.hidden = [][]float32{p.hidden[0]} // the heads take turns
		}
	}
	if backward {
		p.gradEach = make([]float32, rows*top.ld)
		p.transpose = make([]float32, slices.Max(s.heads)*top.ld)
	}
	return p
}

// forward computes the network's results and returns them, rows×ld of the last
// layer, which has no tanh.
func (p *pass) forward(net []layer, x *inputs) []float32 {
	var y []float32
	for i, l := range net {
		before := y
		y = p.out[i][:x.rows*l.ld]
		if i == 0 {
			x.times(l, y)
		} else {
			kernel.Gemm(x.rows, l.ld, l.in, kernel.Matrix{Data: before, Row: net[i-1].ld, Col: 1}, l.w, l.ld, y, l.ld, l.b)
		}
		if i < len(net)-1 {
			kernel.Tanh(y)
		}
	}
	return y
}

// policyForward is forward for the policy network: it returns the memory of the
// logits, which of an autoregressive policy head computes.
func (p *pass) policyForward(w *weights, x *inputs) []float32 {
	y := p.forward(w.policy, x)
	if p.logits != nil {
		return p.logits
	}
	return y
}

// head computes the logits of head h of an autoregressive policy, after forward
// and after the heads before it, into the columns that start at `at` of rows
// ld apart. choice holds rows times as many choices as there are heads, of
// which those of the heads before h are read.
func (p *pass) head(s shape, w *weights, h, rows int, choice []int32, at, ld int) {
	top, e, l := w.policy[len(w.policy)-1], w.earlier[h], w.logits[h]
	y := p.hidden[min(h, len(p.hidden)-1)][:rows*top.ld]
	copy(y, p.out[len(w.policy)-1])
	for r := range rows {
		first := 0
		for g, n := range s.heads[:h] {
			c := first + int(choice[r*len(s.heads)+g])
			kernel.AddScaled(y[r*top.ld:][:top.ld], e.w[c*e.ld:][:e.ld], 1)
			first += n
		}
	}
	kernel.Tanh(y)
	kernel.Gemm(rows, l.ld, l.in, kernel.Matrix{Data: y, Row: top.ld, Col: 1}, l.w, l.ld, p.logits[at:], ld, l.b)
}

// result is where the gradient by the network's results goes, rows×ld of the
// last layer, before backward.
func (p *pass) result() []float32 { return p.grad[len(p.grad)-1] }

var one = []float32{1}

// backward computes the gradient of the loss by all weights of net into grads,
// after forward on the same x; dy is the gradient by the network's results.
func (p *pass) backward(net, grads []layer, x *inputs, dy []float32) {
	for i := len(net) - 1; i >= 0; i-- {
		l, g := net[i], grads[i]
		dy = dy[:x.rows*l.ld]
		// dW = Xᵀ·dY, db = 1ᵀ·dY, dX = dY·Wᵀ.
		kernel.Gemm(1, l.ld, x.rows, kernel.Matrix{Data: one}, dy, l.ld, g.b, l.ld, nil)
		if i == 0 {
			x.gradient(g, dy)
			return
		}
		in, ldx := p.out[i-1], net[i-1].ld
		kernel.Gemm(l.in, l.ld, x.rows, kernel.Matrix{Data: in, Row: 1, Col: ldx}, dy, l.ld, g.w, l.ld, nil)
		dx := p.grad[i-1][:x.rows*ldx]
		kernel.Transpose(l.in, l.out, l.w, l.ld, p.wt[i], ldx)
		kernel.Gemm(x.rows, ldx, l.out, kernel.Matrix{Data: dy, Row: l.ld, Col: 1}, p.wt[i], ldx, dx, ldx, nil)
		kernel.TanhGrad(dx, in[:x.rows*ldx])
		dy = dx
	}
}

// backwardHeads is backward for an autoregressive policy; dy is the gradient by
// the logits, rows ld apart, those of head h from column at[h].
func (p *pass) backwardHeads(s shape, w, grads *weights, x *inputs, choice []int32, dy []float32, at []int, ld int) {
	top := w.policy[len(w.policy)-1]
	size := x.rows * top.ld
	dz, each := p.grad[len(w.policy)-1][:size], p.gradEach[:size]
	clear(dz)
	for h := range s.heads {
		l, g, y := w.logits[h], grads.logits[h], p.hidden[h][:size]
		d := dy[at[h]:]
		kernel.Gemm(l.in, l.ld, x.rows, kernel.Matrix{Data: y, Row: 1, Col: top.ld}, d, ld, g.w, l.ld, nil)
		kernel.Gemm(1, l.ld, x.rows, kernel.Matrix{Data: one}, d, ld, g.b, l.ld, nil)
		kernel.Transpose(l.in, l.out, l.w, l.ld, p.transpose, top.ld)
		kernel.Gemm(x.rows, top.ld, l.out, kernel.Matrix{Data: d, Row: ld, Col: 1}, p.transpose, top.ld, each, top.ld, nil)
		kernel.TanhGrad(each, y)
		kernel.AddScaled(dz, each, 1)
		e := grads.earlier[h]
		clear(e.w)
		for r := range x.rows {
			first := 0
			for k, n := range s.heads[:h] {
				c := first + int(choice[r*len(s.heads)+k])
				kernel.AddScaled(e.w[c*e.ld:][:e.ld], each[r*top.ld:][:top.ld], 1)
				first += n
			}
		}
	}
	p.backward(w.policy, grads.policy, x, dz)
}
