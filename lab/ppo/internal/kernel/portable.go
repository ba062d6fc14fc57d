package kernel

import "math"

// Every product below stands in a conversion of its own: it keeps compilers
// for other processors from fusing it with the sum that follows, so that
// results are the same bytes everywhere.

func gemmGo(m, n, k int, a Matrix, b []float32, ldb int, c []float32, ldc int, bias []float32) {
	for i := range m {
		row := c[i*ldc:][:n]
		if bias == nil {
			clear(row)
		} else {
			copy(row, bias)
		}
		p := 0
		for ; p+4 <= k; p += 4 { // four rows of B per pass over the row of C
			at := i*a.Row + p*a.Col
			v0, v1, v2, v3 := a.Data[at], a.Data[at+a.Col], a.Data[at+2*a.Col], a.Data[at+3*a.Col]
			b0, b1, b2, b3 := b[p*ldb:][:n], b[(p+1)*ldb:][:n], b[(p+2)*ldb:][:n], b[(p+3)*ldb:][:n]
			for j := range row {
				row[j] = row[j] + float32(v0*b0[j]) + float32(v1*b1[j]) + float32(v2*b2[j]) + float32(v3*b3[j])
			}
		}
		for ; p < k; p++ {
			v := a.Data[i*a.Row+p*a.Col]
			for j, w := range b[p*ldb:][:n] {
				row[j] += float32(v * w)
			}
		}
	}
}

// Rational approximation of tanh on [-tanhMax, tanhMax], where it reaches 1 in
// float32: x·P(x²)/Q(x²), the minimax fit that Eigen and XLA use.
const (
	tanhMax = 7.90531110763549805
	tanhP0  = 4.89352455891786e-03
	tanhP1  = 6.37261928875436e-04
	tanhP2  = 1.48572235717979e-05
	tanhP3  = 5.12229709037114e-08
	tanhP4  = -8.60467152213735e-11
	tanhP5  = 2.00018790482477e-13
	tanhP6  = -2.76076847742355e-16
	tanhQ0  = 4.89352518554385e-03
	tanhQ1  = 2.26843463243900e-03
	tanhQ2  = 1.18534705686654e-04
	tanhQ3  = 1.19825839466702e-06
)

func tanhGo(x []float32) {
	for i, v := range x {
		v = min(max(v, -tanhMax), tanhMax)
		s := v * v
		p := float32(s*tanhP6) + tanhP5
		p = float32(s*p) + tanhP4
		p = float32(s*p) + tanhP3
		p = float32(s*p) + tanhP2
		p = float32(s*p) + tanhP1
		p = float32(s*p) + tanhP0
		q := float32(s*tanhQ3) + tanhQ2
		q = float32(s*q) + tanhQ1
		q = float32(s*q) + tanhQ0
		x[i] = min(max(float32(v*p)/q, -1), 1)
	}
}

func tanhGradGo(d, h []float32) {
	for i, v := range h {
		d[i] *= 1 - float32(v*v)
	}
}

// exp(x) = 2^n · exp(r) with n = round(x/ln 2) and |r| <= ln 2 / 2, where exp(r)
// is a polynomial; the fit is that of Cephes' expf. ln 2 is split in two so that
// n·ln2Hi is exact.
const (
	expMin = -87.3
	log2e  = 1.44269504088896341
	ln2Hi  = 0.693359375
	ln2Lo  = -2.12194440e-4
	expP0  = 1.9875691500e-4
	expP1  = 1.3981999507e-3
	expP2  = 8.3334519073e-3
	expP3  = 4.1665795894e-2
	expP4  = 1.6666665459e-1
	expP5  = 5.0000001201e-1
)

// exp is for v <= 0.
func exp(v float32) float32 {
	if v < expMin {
		return 0
	}
	n := float32(math.RoundToEven(float64(float32(v * log2e))))
	r := v - float32(n*ln2Hi)
	r -= float32(n * ln2Lo)
	p := float32(r*expP0) + expP1
	p = float32(r*p) + expP2
	p = float32(r*p) + expP3
	p = float32(r*p) + expP4
	p = float32(r*p) + expP5
	p = float32(float32(r*r)*p) + r + 1
	return p * math.Float32frombits(uint32(int32(n)+127)<<23)
}

// softmaxGo keeps a largest value and sums per vector lane and joins them as
// vectors are halved.
func softmaxGo(x, e []float32) (sum, dot float32) {
	var top, sums, dots [Width]float32
	for j := range top {
		top[j] = float32(math.Inf(-1))
	}
	for i, v := range x {
		if j := i % Width; v > top[j] {
			top[j] = v
		}
	}
	for half := Width / 2; half > 0; half /= 2 {
		for j := range half {
			if top[j+half] > top[j] {
				top[j] = top[j+half]
			}
		}
	}
	for i, v := range x {
		v -= top[0]
		w := exp(v)
		x[i], e[i] = v, w
		sums[i%Width] += w
		dots[i%Width] += float32(w * v)
	}
	for half := Width / 2; half > 0; half /= 2 {
		for j := range half {
			sums[j] += sums[j+half]
			dots[j] += dots[j+half]
		}
	}
	return sums[0], dots[0]
}

func softmaxGradGo(e, z []float32, a, f, mean float32) {
	for i, v := range z {
		e[i] *= float32(f*(v-mean)) + a
	}
}

func addScaledGo(y, x []float32, v float32) {
	for i, w := range x {
		y[i] += float32(v * w)
	}
}

// sumSquaresGo keeps eight sums and adds them pairwise, as eight vector lanes
// do. The square of a float32 is exact in float64.
func sumSquaresGo(x []float32) float64 {
	var s [Width]float64
	for ; len(x) > 0; x = x[Width:] {
		for j, v := range x[:Width] {
			s[j] += float64(v) * float64(v)
		}
	}
	return (s[0] + s[4] + (s[2] + s[6])) + (s[1] + s[5] + (s[3] + s[7]))
}

func adamGo(p, m, v, g []float32, s *AdamStep) {
	for i, d := range g {
		d *= s.GradScale
		mi := m[i] + float32(s.Beta1Rest*(d-m[i]))
		vi := float32(s.Beta2*v[i]) + float32(s.Beta2Rest*float32(d*d))
		m[i], v[i] = mi, vi
		root := float32(math.Sqrt(float64(vi)))
		p[i] -= float32(s.Rate*mi) / (float32(root*s.InvSqrtBias) + s.Eps)
	}
}
