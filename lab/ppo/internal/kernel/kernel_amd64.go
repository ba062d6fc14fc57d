//go:build amd64 && !purego

package kernel

import (
	"math"
	"sync"

	"golang.org/x/sys/cpu"
)

var (
	useAVX2   = cpu.X86.HasAVX2
	useAVX512 = useAVX2 && cpu.X86.HasAVX512F && cpu.X86.HasAVX512VL
)

// UsePortable switches to the portable implementation until restore is called.
// It is for tests and benchmarks that compare the two; nothing else may run
// kernels meanwhile.
func UsePortable() (restore func()) {
	avx2, avx512 := useAVX2, useAVX512
	useAVX2, useAVX512 = false, false
	return func() { useAVX2, useAVX512 = avx2, avx512 }
}

// useNarrow is UsePortable for the AVX-512 tiles alone.
func useNarrow() (restore func()) {
	before := useAVX512
	useAVX512 = false
	return func() { useAVX512 = before }
}

// gemmAVX2 copies a B that is large for the nearest cache, some columns at a time,
// side by side as the micro kernels read them: far apart, each row of B is on
// another page of memory. Some rows of C then take their turn over these columns.
func gemmAVX2(m, n, k int, a Matrix, b []float32, ldb int, c []float32, ldc int, bias []float32) {
	const (
		near     = 8 << 10  // values in the nearest cache
		second   = 32 << 10 // values of B in the next one
		rows     = 32       // of C at a time
		together = 16       // rows of B that are copied
	)
	if m < rows/2 || k*ldb <= near {
		gemmTiles(m, n, k, a, b, ldb, c, ldc, bias)
		return
	}
	wide := 16
	if useAVX512 {
		wide = 24
	}
	columns := min(max(1, second/(k*wide))*wide, n)
	room := packed.Get().(*[]float32)
	if len(*room) < k*columns {
		*room = make([]float32, k*columns)
	}
	for first := 0; first < n; first += columns {
		end := min(first+columns, n)
		for p := 0; p < k; p += together {
			for j := first; j < end; j += wide {
				width := min(wide, end-j)
				pack(min(together, k-p), width, &b[p*ldb+j], ldb, &(*room)[k*(j-first)+p*width])
			}
		}
		for i := 0; i < m; i += rows {
			at := *room
			for j := first; j < end; j += wide {
				width := min(wide, end-j)
				var add []float32
				if bias != nil {
					add = bias[j:]
				}
				gemmTiles(min(rows, m-i), width, k, Matrix{a.Data[i*a.Row:], a.Row, a.Col}, at, width, c[i*ldc+j:], ldc, add)
				at = at[k*width:]
			}
		}
	}
	packed.Put(room)
}

// packed has the copies' memory.
var packed = sync.Pool{New: func() any { return new([]float32) }}

// gemmTiles cuts C into tiles, each of which a micro kernel keeps in registers
// while it runs over k: of 8×24 and 8×16 with AVX-512, else of 4×16 and 4×8, and
// of 1×32 and 1×8 for the rows that are left. All rows take their turn before
// the next columns, so that these columns of B stay near.
func gemmTiles(m, n, k int, a Matrix, b []float32, ldb int, c []float32, ldc int, bias []float32) {
	for j := 0; j < n; {
		i, width := 0, 8
		switch left := n - j; {
		case m < 4 && left >= 32:
			width = 32
		case useAVX512 && m >= 8 && left >= 24 && left != 32:
			width = 24
		case m >= 4 && left >= 16:
			width = 16
		}
		bj, biasj := &b[j], biasAt(bias, j)
		if useAVX512 && width > 8 {
			for ; i+8 <= m; i += 8 {
				if width == 24 {
					gemm8x24(k, &a.Data[i*a.Row], a.Row, a.Col, bj, ldb, &c[i*ldc+j], ldc, biasj)
				} else {
					gemm8x16(k, &a.Data[i*a.Row], a.Row, a.Col, bj, ldb, &c[i*ldc+j], ldc, biasj)
				}
			}
		}
		for ; i+4 <= m; i += 4 {
			ai := &a.Data[i*a.Row]
			at := 0
			for ; at+16 <= width; at += 16 {
				gemm4x16(k, ai, a.Row, a.Col, &b[j+at], ldb, &c[i*ldc+j+at], ldc, biasAt(bias, j+at))
			}
			if at < width {
				gemm4x8(k, ai, a.Row, a.Col, &b[j+at], ldb, &c[i*ldc+j+at], ldc, biasAt(bias, j+at))
			}
		}
		for ; i < m; i++ {
			ai := &a.Data[i*a.Row]
			if width == 32 {
				gemm1x32(k, ai, a.Col, bj, ldb, &c[i*ldc+j], biasj)
				continue
			}
			for at := 0; at < width; at += 8 {
				gemm1x8(k, ai, a.Col, &b[j+at], ldb, &c[i*ldc+j+at], biasAt(bias, j+at))
			}
		}
		j += width
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
func gemm8x24(k int, a *float32, row, col int, b *float32, ldb int, c *float32, ldc int, bias *float32)

//go:noescape
func gemm8x16(k int, a *float32, row, col int, b *float32, ldb int, c *float32, ldc int, bias *float32)

//go:noescape
func gemm4x16(k int, a *float32, row, col int, b *float32, ldb int, c *float32, ldc int, bias *float32)

//go:noescape
func gemm4x8(k int, a *float32, row, col int, b *float32, ldb int, c *float32, ldc int, bias *float32)

//go:noescape
func gemm1x32(k int, a *float32, col int, b *float32, ldb int, c *float32, bias *float32)

//go:noescape
func gemm1x8(k int, a *float32, col int, b *float32, ldb int, c *float32, bias *float32)

// pack copies k > 0 rows of n > 0 values, a multiple of Width, ldb apart, one behind
// the other.
//
//go:noescape
func pack(k, n int, b *float32, ldb int, to *float32)

// transposeAVX2 is Transpose of 8 rows of n > 0 times as many columns.
//
//go:noescape
func transposeAVX2(n int, src *float32, lds int, dst *float32, ldd int)

// The functions below want n > 0, a multiple of Width.

//go:noescape
func tanhAVX2(x *float32, n int)

//go:noescape
func tanhGradAVX2(d, h *float32, n int)

//go:noescape
func addScaledAVX2(y, x *float32, n int, v float32)

//go:noescape
func sumSquaresAVX2(x *float32, n int) float64

//go:noescape
func adamAVX2(p, m, v, d *float32, n int, s *AdamStep)

// Those below want n > 0.

//go:noescape
func softmaxAVX2(x, e *float32, n int) (sum, dot float32)

//go:noescape
func softmaxGradAVX2(e, z *float32, n int, a, f, mean float32)

// The constants of portable.go as the assembly reads them, by offset.
var (
	//lint:ignore U1000 the assembly reads it
	tanhTable = [...]float32{
		tanhP6, tanhP5, tanhP4, tanhP3, tanhP2, tanhP1, tanhP0, // 0…24
		tanhQ3, tanhQ2, tanhQ1, tanhQ0, // 28…40
		-tanhMax, tanhMax, -1, 1, // 44…56
	}
	//lint:ignore U1000 the assembly reads it
	expTable = [...]float32{
		expP0, expP1, expP2, expP3, expP4, expP5, // 0…20
		expMin, log2e, ln2Hi, ln2Lo, 1, // 24…40
		float32(math.Inf(-1)), // 44
	}
	// Eight lanes to take and eight to leave: from -4·n bytes before the middle,
	// the first n are taken.
	//lint:ignore U1000 the assembly reads it
	tailTable = [16]int32{-1, -1, -1, -1, -1, -1, -1, -1}
)
