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
	for _, out := range []int{s.choices(), 1} {
		in := s.obs
		for _, width := range append(slices.Clone(s.hidden), out) {
			n += in*width + width
			in = width
		}
	}
	return n
}

// layer is y = x·w + b. Rows of w and b itself are padded to ld columns; the
// padding is 0 and stays 0, since its gradient is 0.
type layer struct {
	in, out, ld int
	w           []float32 // in×ld
	b           []float32 // ld
}

// weights are the parameters of both networks, or their gradients, in one
// slice that the optimiser can walk. Policy and value networks share nothing.
type weights struct {
	data          []float32
	policy, value []layer
}

func newWeights(s shape) *weights {
	size := 0
	stack := func(out int) []layer {
		var ls []layer
		in := s.obs
		for _, width := range append(slices.Clone(s.hidden), out) {
			l := layer{in: in, out: width, ld: kernel.Pad(width)}
			size += l.in*l.ld + l.ld
			ls = append(ls, l)
			in = width
		}
		return ls
	}
	w := &weights{policy: stack(s.choices()), value: stack(1)}
	w.data = make([]float32, size)
	rest := w.data
	take := func(n int) []float32 {
		part := rest[:n:n]
		rest = rest[n:]
		return part
	}
	for _, net := range [][]layer{w.policy, w.value} {
		for i := range net {
			net[i].w = take(net[i].in * net[i].ld)
			net[i].b = take(net[i].ld)
		}
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
	for _, net := range []struct {
		layers []layer
		gain   float64
	}{{w.policy, 0.01}, {w.value, 1}} {
		last := len(net.layers) - 1
		for i, l := range net.layers {
			gain := math.Sqrt2
			if i == last {
				gain = net.gain
			}
			orthogonal(l, gain, rng)
		}
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
		s += a[i] * b[i]
	}
	return s
}

// pass is the memory of one network's forward and backward pass over at most
// rows observations.
type pass struct {
	out  [][]float32 // out[l]: result of layer l, rows×ld; hidden ones after tanh
	grad [][]float32 // grad[l]: gradient of the loss by layer l's x·w + b
	wt   [][]float32 // wt[l]: layer l's w transposed, out×Pad(in), padding 0
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

// forward computes the network's results for rows observations x (rows×obs)
// and returns them, rows×ld of the last layer.
func (p *pass) forward(net []layer, x []float32, rows int) []float32 {
	ldx := net[0].in
	for i, l := range net {
		y := p.out[i][:rows*l.ld]
		kernel.Gemm(rows, l.ld, l.in, kernel.Matrix{Data: x, Row: ldx, Col: 1}, l.w, l.ld, y, l.ld, l.b)
		if i < len(net)-1 {
			kernel.Tanh(y)
		}
		x, ldx = y, l.ld
	}
	return x
}

// result is where the gradient by the network's results goes, rows×ld of the
// last layer, before backward.
func (p *pass) result() []float32 { return p.grad[len(p.grad)-1] }

var one = []float32{1}

// backward computes the gradient of the loss by all weights of net into grads,
// after forward on the same x; p.grad of the last layer holds the gradient by
// the network's results.
func (p *pass) backward(net, grads []layer, x []float32, rows int) {
	for i := len(net) - 1; i >= 0; i-- {
		l, g := net[i], grads[i]
		dy := p.grad[i][:rows*l.ld]
		in, ldx := x, l.in
		if i > 0 {
			in, ldx = p.out[i-1], net[i-1].ld
		}
		// dW = Xᵀ·dY, db = 1ᵀ·dY, dX = dY·Wᵀ.
		kernel.Gemm(l.in, l.ld, rows, kernel.Matrix{Data: in, Row: 1, Col: ldx}, dy, l.ld, g.w, l.ld, nil)
		kernel.Gemm(1, l.ld, rows, kernel.Matrix{Data: one}, dy, l.ld, g.b, l.ld, nil)
		if i == 0 {
			return
		}
		dx := p.grad[i-1][:rows*ldx]
		kernel.Transpose(l.in, l.out, l.w, l.ld, p.wt[i], ldx)
		kernel.Gemm(rows, ldx, l.out, kernel.Matrix{Data: dy, Row: l.ld, Col: 1}, p.wt[i], ldx, dx, ldx, nil)
		kernel.TanhGrad(dx, in[:rows*ldx])
	}
}
