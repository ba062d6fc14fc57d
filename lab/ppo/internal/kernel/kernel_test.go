package kernel

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

func random(rng *rand.Rand, n int) []float32 {
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(rng.NormFloat64())
	}
	return x
}

func sameBytes(t *testing.T, what string, got, want []float32) {
	t.Helper()
	for i := range got {
		if math.Float32bits(got[i]) != math.Float32bits(want[i]) {
			t.Fatalf("%s: element %d is %v (%#x), portable %v (%#x)", what, i, got[i], math.Float32bits(got[i]), want[i], math.Float32bits(want[i]))
		}
	}
}

func TestGemm(t *testing.T) {
	t.Logf("implementation: %s", Name())
	t.Run(Name(), testGemm)
	defer useNarrow()()
	t.Run(Name(), testGemm)
}

func testGemm(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for _, m := range []int{1, 2, 3, 4, 5, 7, 8, 13, 24, 64} {
		for _, n := range []int{8, 16, 24, 32, 40, 56, 64, 72} {
			for _, k := range []int{0, 1, 2, 3, 5, 24, 64} {
				sameProduct(t, rng, m, n, k)
			}
		}
	}
	// B is large for the nearest cache, and has more columns than are copied at a time.
	for _, s := range [][3]int{{16, 1296, 64}, {37, 104, 90}, {70, 88, 700}, {64, 8, 1300}} {
		sameProduct(t, rng, s[0], s[1], s[2])
	}
}

func sameProduct(t *testing.T, rng *rand.Rand, m, n, k int) {
	t.Helper()
	for _, transposed := range []bool{false, true} {
		name := fmt.Sprintf("%d×%d×%d transposed=%v", m, n, k, transposed)
		lda, ldb, ldc := k+3, n+1, n+2
		a := Matrix{Data: random(rng, (m+3)*(k+3)), Row: lda, Col: 1}
		if transposed {
			a.Row, a.Col = 1, m+3
		}
		b, bias := random(rng, k*ldb+n), random(rng, n)
		for _, bias := range [][]float32{nil, bias} {
			got := random(rng, m*ldc)
			want := slices.Clone(got) // columns beyond n must stay
			Gemm(m, n, k, a, b, ldb, got, ldc, bias)
			gemmGo(m, n, k, a, b, ldb, want, ldc, bias)
			sameBytes(t, name, got, want)
			for i := range m {
				for j := range n {
					sum, size := 0.0, 0.0
					if bias != nil {
						sum = float64(bias[j])
					}
					for p := range k {
						term := float64(a.Data[i*a.Row+p*a.Col]) * float64(b[p*ldb+j])
						sum += term
						size += math.Abs(term)
					}
					if diff := math.Abs(sum - float64(got[i*ldc+j])); diff > 1e-6*(1+size) {
						t.Fatalf("%s: element (%d, %d) is off by %g", name, i, j, diff)
					}
				}
			}
		}
	}
}

// Elementwise functions: the same bytes on both paths, and the documented
// accuracy against float64.
func TestElementwise(t *testing.T) {
	var grid []float32
	for x := -100.0; x < 100; x += 1.0 / 1024 {
		grid = append(grid, float32(x))
	}
	for x := 1e-30; x < 1; x *= 1.01 {
		grid = append(grid, float32(x), float32(-x))
	}
	grid = append(grid, 0, float32(math.Copysign(0, -1)), -87.3, -87.30001, -1e8, 1e8, float32(math.Inf(1)), float32(math.Inf(-1)))
	for len(grid)%Width != 0 {
		grid = append(grid, 1)
	}
	for _, f := range []struct {
		name           string
		fast, portable func([]float32)
		exact          func(float64) float64
		abs, rel       float64
	}{
		{"tanh", Tanh, tanhGo, math.Tanh, 3.1e-7, 3.1e-7},
	} {
		got, want := slices.Clone(grid), slices.Clone(grid)
		f.fast(got)
		f.portable(want)
		sameBytes(t, f.name, got, want)
		worstAbs, worstRel := 0.0, 0.0
		for i, x := range grid {
			exact := f.exact(float64(x))
			diff := math.Abs(float64(got[i]) - exact)
			worstAbs = max(worstAbs, diff)
			if exact != 0 {
				worstRel = max(worstRel, diff/math.Abs(exact))
			}
		}
		t.Logf("%s: absolute error %.3g, relative %.3g", f.name, worstAbs, worstRel)
		if worstAbs > f.abs || worstRel > f.rel {
			t.Errorf("%s: absolute error %g (limit %g), relative %g (limit %g)", f.name, worstAbs, f.abs, worstRel, f.rel)
		}
	}
}

func TestTanhGradSumSquaresAdam(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for _, n := range []int{8, 16, 24, 800} {
		d, h := random(rng, n), random(rng, n)
		want := slices.Clone(d)
		TanhGrad(d, h)
		tanhGradGo(want, h)
		sameBytes(t, "TanhGrad", d, want)

		if got, want := SumSquares(d), sumSquaresGo(d); got != want {
			t.Errorf("SumSquares of %d: %v, portable %v", n, got, want)
		}
		exact := 0.0
		for _, v := range d {
			exact += float64(v) * float64(v)
		}
		if got := SumSquares(d); math.Abs(got-exact) > 1e-12*exact {
			t.Errorf("SumSquares of %d: %v, want %v", n, got, exact)
		}

		sum, x := random(rng, n), random(rng, n)
		want = slices.Clone(sum)
		AddScaled(sum, x, .7)
		addScaledGo(want, x, .7)
		sameBytes(t, "AddScaled", sum, want)

		p, m, v, g := random(rng, n), random(rng, n), random(rng, n), random(rng, n)
		for i := range v {
			v[i] *= v[i]
		}
		p2, m2, v2 := slices.Clone(p), slices.Clone(m), slices.Clone(v)
		s := &AdamStep{GradScale: .7, Beta1Rest: .1, Beta2: .999, Beta2Rest: .001, InvSqrtBias: 3, Eps: 1e-5, Rate: .01}
		Adam(p, m, v, g, s)
		adamGo(p2, m2, v2, g, s)
		sameBytes(t, "Adam p", p, p2)
		sameBytes(t, "Adam m", m, m2)
		sameBytes(t, "Adam v", v, v2)
	}
}

// Softmax of every length: the same bytes on both paths, nothing written beyond,
// and the documented accuracy against float64.
func TestSoftmax(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	worst := 0.0
	for n := 1; n < 80; n++ {
		for _, scale := range []float32{0, 1, 30, 1000} {
			x := random(rng, n+8)
			for i := range x {
				x[i] *= scale
			}
			if n > 2 {
				x[rng.IntN(n)] = -1e30 // as a forbidden choice
			}
			logits := slices.Clone(x)
			e := slices.Clone(x)
			x2, e2 := slices.Clone(x), slices.Clone(e)
			sum, dot := Softmax(x[:n], e[:n])
			sum2, dot2 := softmaxGo(x2[:n], e2[:n])
			name := fmt.Sprintf("Softmax of %d, scale %v", n, scale)
			sameBytes(t, name, x, x2)
			sameBytes(t, name, e, e2)
			sameBytes(t, name, []float32{sum, dot}, []float32{sum2, dot2})

			top := slices.Max(logits[:n])
			var wantSum, wantDot float64
			for i := range n {
				z := float64(logits[i] - top)
				if z < expMin {
					if e[i] != 0 {
						t.Errorf("%s: exp(%v) = %v, want exactly 0", name, z, e[i])
					}
					continue
				}
				wantSum += math.Exp(z)
				wantDot += z * math.Exp(z)
				worst = max(worst, math.Abs(float64(e[i])/math.Exp(z)-1))
			}
			if math.Abs(float64(sum)-wantSum) > 1e-6*wantSum || math.Abs(float64(dot)-wantDot) > 1e-6*(1+math.Abs(wantDot)) {
				t.Errorf("%s: sums %v and %v, want %v and %v", name, sum, dot, wantSum, wantDot)
			}

			SoftmaxGrad(e[:n], x[:n], .3, -.2, .1)
			softmaxGradGo(e2[:n], x2[:n], .3, -.2, .1)
			sameBytes(t, "gradient of "+name, e, e2)
		}
	}
	t.Logf("exp: relative error %.3g", worst)
	if worst > 2e-7 {
		t.Errorf("exp: relative error %g, want at most 2e-7", worst)
	}
}

func TestTranspose(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	for _, s := range [][2]int{{2, 3}, {8, 8}, {64, 64}, {64, 24}, {17, 6}, {9, 21}, {24, 1296}} {
		rows, cols := s[0], s[1]
		lds, ldd := cols+3, rows+5
		src, dst := random(rng, rows*lds), random(rng, cols*ldd)
		want := slices.Clone(dst) // what lies between rows must stay
		for i := range rows {
			for j := range cols {
				want[j*ldd+i] = src[i*lds+j]
			}
		}
		// No more memory than there are values.
		Transpose(rows, cols, src[:(rows-1)*lds+cols:(rows-1)*lds+cols], lds, dst[:(cols-1)*ldd+rows:(cols-1)*ldd+rows], ldd)
		sameBytes(t, fmt.Sprintf("%d×%d", rows, cols), dst, want)
	}
}

func TestMisuse(t *testing.T) {
	for name, f := range map[string]func(){
		"Gemm columns": func() {
			Gemm(1, 7, 1, Matrix{make([]float32, 8), 1, 1}, make([]float32, 8), 8, make([]float32, 8), 8, nil)
		},
		"Gemm short": func() {
			Gemm(2, 8, 1, Matrix{make([]float32, 8), 1, 1}, make([]float32, 8), 8, make([]float32, 8), 8, nil)
		},
		"Tanh width": func() { Tanh(make([]float32, 9)) },
		"Adam lengths": func() {
			Adam(make([]float32, 8), make([]float32, 8), make([]float32, 8), make([]float32, 16), &AdamStep{})
		},
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			f()
		}()
	}
}

func BenchmarkGemm(b *testing.B) {
	rng := rand.New(rand.NewPCG(1, 2))
	for _, s := range []struct{ m, n, k int }{{64, 64, 64}, {64, 64, 2}, {64, 24, 64}, {64, 8, 64}, {1, 64, 64}, {1, 24, 64},
		// the last layer of one choice among 1,296: results, gradients by weights and by inputs
		{512, 1296, 64}, {64, 1296, 512}, {512, 64, 1296}, {1, 1296, 64}} {
		a := Matrix{random(rng, s.m*s.k), s.k, 1}
		x, c, bias := random(rng, s.k*s.n), make([]float32, s.m*s.n), random(rng, s.n)
		run := func(name string, f func(m, n, k int, a Matrix, b []float32, ldb int, c []float32, ldc int, bias []float32)) {
			b.Run(fmt.Sprintf("%s/%dx%dx%d", name, s.m, s.n, s.k), func(b *testing.B) {
				b.ReportAllocs()
				// The fastest call is the one that other processes disturbed least.
				fastest := math.Inf(1)
				for b.Loop() {
					begin := time.Now()
					f(s.m, s.n, s.k, a, x, s.n, c, s.n, bias)
					fastest = min(fastest, float64(time.Since(begin).Nanoseconds()))
				}
				b.ReportMetric(float64(2*s.m*s.n*s.k)*float64(b.N)/float64(b.Elapsed().Nanoseconds()), "GFLOP/s")
				b.ReportMetric(float64(2*s.m*s.n*s.k)/fastest, "GFLOP/s-at-best")
			})
		}
		run(Name(), Gemm)
		restore := useNarrow()
		run(Name(), Gemm)
		restore()
		run("portable", gemmGo)
	}
}

func BenchmarkElementwise(b *testing.B) {
	x := make([]float32, 4096)
	g, m, v := make([]float32, 4096), make([]float32, 4096), make([]float32, 4096)
	for _, f := range []struct {
		name string
		run  func()
	}{
		{"tanh", func() { Tanh(x) }},
		{"softmax", func() { Softmax(x, g) }},
		{"softmaxGrad", func() { SoftmaxGrad(g, x, 1, 1, 1) }},
		{"addScaled64", func() { AddScaled(x[:64], g[:64], 0) }},
		{"tanhGrad", func() { TanhGrad(g, x) }},
		{"sumSquares", func() { SumSquares(x) }},
		{"adam", func() { Adam(x, m, v, g, &AdamStep{Eps: 1e-5}) }},
		{"transpose64x64", func() { Transpose(64, 64, x, 64, g, 64) }},
	} {
		b.Run(Name()+"/"+f.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				f.run()
			}
		})
	}
}
