//go:build amd64 && !purego

package kernel

import "golang.org/x/sys/cpu"

var useAVX2 = cpu.X86.HasAVX2

// UsePortable switches to the portable implementation until restore is called.
// It is for tests and benchmarks that compare the two; nothing else may run
// kernels meanwhile.
func UsePortable() (restore func()) {
	before := useAVX2
	useAVX2 = false
	return func() { useAVX2 = before }
}

// gemmAVX2 cuts C into tiles of 4×16, 4×8, 1×32 and 1×8, each of which a micro
// kernel keeps in registers while it runs over k.
func gemmAVX2(m, n, k int, a Matrix, b []float32, ldb int, c []float32, ldc int, bias []float32) {
	i := 0
	for ; i+4 <= m; i += 4 {
		ai := &a.Data[i*a.Row]
		j := 0
		for ; j+16 <= n; j += 16 {
			gemm4x16(k, ai, a.Row, a.Col, &b[j], ldb, &c[i*ldc+j], ldc, biasAt(bias, j))
		}
		for ; j < n; j += 8 {
			gemm4x8(k, ai, a.Row, a.Col, &b[j], ldb, &c[i*ldc+j], ldc, biasAt(bias, j))
		}
	}
	for ; i < m; i++ {
		ai := &a.Data[i*a.Row]
		j := 0
		for ; j+32 <= n; j += 32 {
			gemm1x32(k, ai, a.Col, &b[j], ldb, &c[i*ldc+j], biasAt(bias, j))
		}
		for ; j < n; j += 8 {
			gemm1x8(k, ai, a.Col, &b[j], ldb, &c[i*ldc+j], biasAt(bias, j))
		}
	}
}

func biasAt(bias []float32, j int) *float32 {
	if bias == nil {
		return nil
	}
	return &bias[j]
}

// The micro kernels compute a tile of C = A·B + bias over k > 0 products.
// Strides count elements; bias may be nil.

//go:noescape
func gemm4x16(k int, a *float32, row, col int, b *float32, ldb int, c *float32, ldc int, bias *float32)

//go:noescape
func gemm4x8(k int, a *float32, row, col int, b *float32, ldb int, c *float32, ldc int, bias *float32)

//go:noescape
func gemm1x32(k int, a *float32, col int, b *float32, ldb int, c *float32, bias *float32)

//go:noescape
func gemm1x8(k int, a *float32, col int, b *float32, ldb int, c *float32, bias *float32)

// The functions below want n > 0, a multiple of Width.

//go:noescape
func tanhAVX2(x *float32, n int)

//go:noescape
func tanhGradAVX2(d, h *float32, n int)

//go:noescape
func expAVX2(x *float32, n int)

//go:noescape
func sumSquaresAVX2(x *float32, n int) float64

//go:noescape
func adamAVX2(p, m, v, d *float32, n int, s *AdamStep)

// The constants of portable.go as the assembly reads them, by offset.
var (
	tanhTable = [...]float32{
		tanhP6, tanhP5, tanhP4, tanhP3, tanhP2, tanhP1, tanhP0, // 0…24
		tanhQ3, tanhQ2, tanhQ1, tanhQ0, // 28…40
		-tanhMax, tanhMax, -1, 1, // 44…56
	}
	expTable = [...]float32{
		expP0, expP1, expP2, expP3, expP4, expP5, // 0…20
		expMin, expMax, log2e, ln2Hi, ln2Lo, 1, // 24…44
	}
)
