//go:build !amd64 || purego

package kernel

// useAVX2 is false for good, so the compiler drops the calls of what follows.
const (
	useAVX2   = false
	useAVX512 = false
)

// UsePortable does nothing: there is no other implementation.
func UsePortable() (restore func()) { return func() {} }

func useNarrow() (restore func()) { return func() {} }

func gemmAVX2(m, n, k int, a Matrix, b []float32, ldb int, c []float32, ldc int, bias []float32) {}
func transposeAVX2(n int, src *float32, lds int, dst *float32, ldd int)                          {}
func tanhAVX2(x *float32, n int)                                                                 {}
func tanhGradAVX2(d, h *float32, n int)                                                          {}
func addScaledAVX2(y, x *float32, n int, v float32)                                              {}
func softmaxAVX2(x, e *float32, n int) (sum, dot float32)                                        { return 0, 0 }
func softmaxGradAVX2(e, z *float32, n int, a, f, mean float32)                                   {}
func sumSquaresAVX2(x *float32, n int) float64                                                   { return 0 }
func adamAVX2(p, m, v, d *float32, n int, s *AdamStep)                                           {}
