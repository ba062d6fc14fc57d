// Package kernel holds the float32 array operations in which PPO spends its
// time: one matrix product with strides, tanh, softmax and its gradient, the
// Adam update and two sums.
//
// Each operation exists twice: in plain Go (portable.go), which runs
// everywhere, and in AVX2 assembly (kernel_amd64.s), chosen when the process
// starts if the processor has it; the matrix product has AVX-512 as well. All
// give the same bytes: they round every product before adding it (fused
// multiply-add would save little, since the processors at hand add and multiply
// in different units) and sum in the same order. The build tag purego leaves the assembly out.
//
// Matrices are row-major. Rows that are written are padded with zeros to a
// multiple of [Width] columns, see [Pad], so that no kernel needs a masked
// tail. No function allocates, but that the matrix product takes memory for copies
// of a large factor from a pool. NaNs stay NaN in sums and products, but what
// Tanh and Softmax make of one is not specified.
package kernel

import "fmt"

// Width is the number of float32 in one vector register; padded row lengths
// are multiples of it.
const Width = 8

// Pad rounds n up to a multiple of [Width].
func Pad(n int) int { return (n + Width - 1) &^ (Width - 1) }

// Name says which implementation runs: "avx512", "avx2" or "portable".
func Name() string {
	switch {
	case useAVX512:
		return "avx512"
	case useAVX2:
		return "avx2"
	}
	return "portable"
}

// Matrix is the left factor of [Gemm]: element (i, p) is at
// Data[i*Row+p*Col]. Swapping Row and Col transposes it without a copy.
type Matrix struct {
	Data     []float32
	Row, Col int
}

// Gemm computes C = A·B, plus bias in every row unless bias is nil. A is m×k
// with any strides, B is k×n with rows ldb apart, C is m×n with rows ldc apart
// and must not overlap A or B. n is a multiple of [Width]. Every element of C
// is one chain of additions over p = 0…k-1 that starts from the bias, whatever
// m and n, so a row's result does not depend on how many rows are computed
// with it.
func Gemm(m, n, k int, a Matrix, b []float32, ldb int, c []float32, ldc int, bias []float32) {
	if m == 0 || n == 0 {
		return
	}
	switch {
	case m < 0 || k < 0 || n < 0 || n%Width != 0:
		panic(fmt.Sprintf("kernel: Gemm of %d×%d by %d×%d, want columns in multiples of %d", m, k, k, n, Width))
	case k > 0 && (len(a.Data) <= (m-1)*a.Row+(k-1)*a.Col || len(b) < (k-1)*ldb+n):
		panic("kernel: Gemm factor too short")
	case len(c) < (m-1)*ldc+n || bias != nil && len(bias) < n:
		panic("kernel: Gemm result or bias too short")
	}
	if useAVX2 && k > 0 {
		gemmAVX2(m, n, k, a, b, ldb, c, ldc, bias)
		return
	}
	gemmGo(m, n, k, a, b, ldb, c, ldc, bias)
}

// Tanh replaces every x by tanh(x), with an error of at most 3.1e-7, relative
// as well as absolute. len(x) is a multiple of [Width].
func Tanh(x []float32) {
	checkWidth("Tanh", len(x))
	if useAVX2 && len(x) > 0 {
		tanhAVX2(&x[0], len(x))
		return
	}
	tanhGo(x)
}

// TanhGrad carries a gradient back through tanh: d *= 1 - h², where h is
// tanh's result. Both have the same length, a multiple of [Width].
func TanhGrad(d, h []float32) {
	checkWidth("TanhGrad", len(d), len(h))
	if useAVX2 && len(d) > 0 {
		tanhGradAVX2(&d[0], &h[0], len(d))
		return
	}
	tanhGradGo(d, h)
}

// Softmax computes the parts of a categorical distribution from logits x, of
// which there is at least one: it takes the largest from every x, so that x is
// at most 0, writes exp(x) to e, of the same length, and returns the sum of e
// and that of e·x. exp has a relative error of at most 2e-7 and is exactly 0
// below -87.3. Softmax and [SoftmaxGrad] take any length.
func Softmax(x, e []float32) (sum, dot float32) {
	if len(x) == 0 || len(e) != len(x) {
		panic(fmt.Sprintf("kernel: Softmax of lengths %d and %d, want equal ones above 0", len(x), len(e)))
	}
	if useAVX2 {
		return softmaxAVX2(&x[0], &e[0], len(x))
	}
	return softmaxGo(x, e)
}

// SoftmaxGrad multiplies every e by a + f·(z - mean), where e and z are what
// [Softmax] made of them: a gradient by the logits that is linear in the
// probabilities and in their products with the logarithms.
func SoftmaxGrad(e, z []float32, a, f, mean float32) {
	if len(e) == 0 || len(e) != len(z) {
		panic(fmt.Sprintf("kernel: SoftmaxGrad of lengths %d and %d, want equal ones above 0", len(e), len(z)))
	}
	if useAVX2 {
		softmaxGradAVX2(&e[0], &z[0], len(e), a, f, mean)
		return
	}
	softmaxGradGo(e, z, a, f, mean)
}

// AddScaled adds v·x to y. Both have the same length, a multiple of [Width].
func AddScaled(y, x []float32, v float32) {
	checkWidth("AddScaled", len(y), len(x))
	if useAVX2 && len(y) > 0 {
		addScaledAVX2(&y[0], &x[0], len(y), v)
		return
	}
	addScaledGo(y, x, v)
}

// SumSquares returns the sum of x². len(x) is a multiple of [Width].
func SumSquares(x []float32) float64 {
	checkWidth("SumSquares", len(x))
	if useAVX2 && len(x) > 0 {
		return sumSquaresAVX2(&x[0], len(x))
	}
	return sumSquaresGo(x)
}

// AdamStep is what one Adam update needs beside its arrays. The assembly knows
// the order of the fields.
type AdamStep struct {
	GradScale   float32 // factor on the gradient (from clipping its norm)
	Beta1Rest   float32 // 1 - beta1
	Beta2       float32
	Beta2Rest   float32 // 1 - beta2
	InvSqrtBias float32 // 1/sqrt(1 - beta2^t)
	Eps         float32
	Rate        float32 // learning rate / (1 - beta1^t)
}

// Adam updates the parameters p and their moments m and v from the gradient g,
// with g' = GradScale·g:
//
//	m += Beta1Rest (g' - m)
//	v  = Beta2 v + Beta2Rest g'²
//	p -= Rate m / (sqrt(v) InvSqrtBias + Eps)
//
// All have the same length, a multiple of [Width].
func Adam(p, m, v, g []float32, s *AdamStep) {
	checkWidth("Adam", len(p), len(m), len(v), len(g))
	if useAVX2 && len(p) > 0 {
		adamAVX2(&p[0], &m[0], &v[0], &g[0], len(p), s)
		return
	}
	adamGo(p, m, v, g, s)
}

// Transpose writes the rows×cols matrix src, rows lds apart, to dst as
// cols×rows, rows ldd apart.
func Transpose(rows, cols int, src []float32, lds int, dst []float32, ldd int) {
	i := 0
	if useAVX2 && cols >= Width {
		for ; i+Width <= rows; i += Width {
			whole := cols &^ (Width - 1)
			transposeAVX2(whole/Width, &src[i*lds:][:(Width-1)*lds+whole][0], lds, &dst[i:][:(whole-1)*ldd+Width][0], ldd)
			for j := whole; j < cols; j++ {
				for r := range Width {
					dst[j*ldd+i+r] = src[(i+r)*lds+j]
				}
			}
		}
	}
	for ; i < rows; i++ {
		for j, v := range src[i*lds:][:cols] {
			dst[j*ldd+i] = v
		}
	}
}

// checkWidth panics unless all lengths are the same multiple of Width.
func checkWidth(name string, n int, others ...int) {
	for _, o := range others {
		if o != n {
			panic(fmt.Sprintf("kernel: %s of lengths %d and %d, want equal ones", name, n, o))
		}
	}
	if n%Width != 0 {
		panic(fmt.Sprintf("kernel: %s of length %d, want a multiple of %d", name, n, Width))
	}
}
