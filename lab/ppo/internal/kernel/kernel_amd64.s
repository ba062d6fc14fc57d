//go:build amd64 && !purego

#include "textflag.h"

// Products and sums are separate instructions, never fused, and sums run in
// the order of the portable code: both give the same bytes.

// ---- matrix product ----

// Arguments of the micro kernels of four rows: CX products, A at SI with strides
// R8 (row), 3·R8 = R12 and R9 (column), B at DI with R10, C at DX with R11, bias
// at BX. Strides become bytes.
#define ARGUMENTS4 \
	MOVQ k+0(FP), CX     \
	MOVQ a+8(FP), SI     \
	MOVQ row+16(FP), R8  \
	MOVQ col+24(FP), R9  \
	MOVQ b+32(FP), DI    \
	MOVQ ldb+40(FP), R10 \
	MOVQ c+48(FP), DX    \
	MOVQ ldc+56(FP), R11 \
	MOVQ bias+64(FP), BX \
	SHLQ $2, R8          \
	SHLQ $2, R9          \
	SHLQ $2, R10         \
	SHLQ $2, R11         \
	LEAQ (R8)(R8*2), R12

// The same for one row.
#define ARGUMENTS1 \
	MOVQ k+0(FP), CX     \
	MOVQ a+8(FP), SI     \
	MOVQ col+16(FP), R9  \
	MOVQ b+24(FP), DI    \
	MOVQ ldb+32(FP), R10 \
	MOVQ c+40(FP), DX    \
	MOVQ bias+48(FP), BX \
	SHLQ $2, R9          \
	SHLQ $2, R10

// PRODUCT16 adds the product of the broadcast A element at mem and the row of
// B in Y8, Y9 to the accumulators lo, hi.
#define PRODUCT16(mem, lo, hi) \
	VBROADCASTSS mem, Y10     \
	VMULPS       Y8, Y10, Y11 \
	VADDPS       Y11, lo, lo  \
	VMULPS       Y9, Y10, Y12 \
	VADDPS       Y12, hi, hi

// func gemm4x16(k int, a *float32, row, col int, b *float32, ldb int, c *float32, ldc int, bias *float32)
// Y0…Y7: the tile, two registers per row.
TEXT ·gemm4x16(SB), NOSPLIT, $0-72
	ARGUMENTS4

	VXORPS  Y0, Y0, Y0
	VXORPS  Y1, Y1, Y1
	TESTQ   BX, BX
	JZ      start
	VMOVUPS (BX), Y0
	VMOVUPS 32(BX), Y1

start:
	VMOVAPS Y0, Y2
	VMOVAPS Y1, Y3
	VMOVAPS Y0, Y4
	VMOVAPS Y1, Y5
	VMOVAPS Y0, Y6
	VMOVAPS Y1, Y7

loop:
	VMOVUPS (DI), Y8
	VMOVUPS 32(DI), Y9
	PRODUCT16((SI), Y0, Y1)
	PRODUCT16((SI)(R8*1), Y2, Y3)
	PRODUCT16((SI)(R8*2), Y4, Y5)
	PRODUCT16((SI)(R12*1), Y6, Y7)
	ADDQ    R9, SI
	ADDQ    R10, DI
	DECQ    CX
	JNZ     loop

	VMOVUPS Y0, (DX)
	VMOVUPS Y1, 32(DX)
	ADDQ    R11, DX
	VMOVUPS Y2, (DX)
	VMOVUPS Y3, 32(DX)
	ADDQ    R11, DX
	VMOVUPS Y4, (DX)
	VMOVUPS Y5, 32(DX)
	ADDQ    R11, DX
	VMOVUPS Y6, (DX)
	VMOVUPS Y7, 32(DX)
	VZEROUPPER
	RET

#define PRODUCT8(mem, acc, tmp) \
	VBROADCASTSS mem, tmp     \
	VMULPS       Y8, tmp, tmp \
	VADDPS       tmp, acc, acc

// func gemm4x8(k int, a *float32, row, col int, b *float32, ldb int, c *float32, ldc int, bias *float32)
TEXT ·gemm4x8(SB), NOSPLIT, $0-72
	ARGUMENTS4

	VXORPS  Y0, Y0, Y0
	TESTQ   BX, BX
	JZ      start
	VMOVUPS (BX), Y0

start:
	VMOVAPS Y0, Y1
	VMOVAPS Y0, Y2
	VMOVAPS Y0, Y3

loop:
	VMOVUPS (DI), Y8
	PRODUCT8((SI), Y0, Y10)
	PRODUCT8((SI)(R8*1), Y1, Y11)
	PRODUCT8((SI)(R8*2), Y2, Y12)
	PRODUCT8((SI)(R12*1), Y3, Y13)
	ADDQ    R9, SI
	ADDQ    R10, DI
	DECQ    CX
	JNZ     loop

	VMOVUPS Y0, (DX)
	ADDQ    R11, DX
	VMOVUPS Y1, (DX)
	ADDQ    R11, DX
	VMOVUPS Y2, (DX)
	ADDQ    R11, DX
	VMOVUPS Y3, (DX)
	VZEROUPPER
	RET

// func gemm1x32(k int, a *float32, col int, b *float32, ldb int, c *float32, bias *float32)
TEXT ·gemm1x32(SB), NOSPLIT, $0-56
	ARGUMENTS1

	VXORPS  Y0, Y0, Y0
	VXORPS  Y1, Y1, Y1
	VXORPS  Y2, Y2, Y2
	VXORPS  Y3, Y3, Y3
	TESTQ   BX, BX
	JZ      loop
	VMOVUPS (BX), Y0
	VMOVUPS 32(BX), Y1
	VMOVUPS 64(BX), Y2
	VMOVUPS 96(BX), Y3

loop:
	VBROADCASTSS (SI), Y8
	VMULPS       (DI), Y8, Y10
	VADDPS       Y10, Y0, Y0
	VMULPS       32(DI), Y8, Y11
	VADDPS       Y11, Y1, Y1
	VMULPS       64(DI), Y8, Y12
	VADDPS       Y12, Y2, Y2
	VMULPS       96(DI), Y8, Y13
	VADDPS       Y13, Y3, Y3
	ADDQ         R9, SI
	ADDQ         R10, DI
	DECQ         CX
	JNZ          loop

	VMOVUPS Y0, (DX)
	VMOVUPS Y1, 32(DX)
	VMOVUPS Y2, 64(DX)
	VMOVUPS Y3, 96(DX)
	VZEROUPPER
	RET

// func gemm1x8(k int, a *float32, col int, b *float32, ldb int, c *float32, bias *float32)
TEXT ·gemm1x8(SB), NOSPLIT, $0-56
	ARGUMENTS1

	VXORPS  Y0, Y0, Y0
	TESTQ   BX, BX
	JZ      loop
	VMOVUPS (BX), Y0

loop:
	VBROADCASTSS (SI), Y8
	VMULPS       (DI), Y8, Y8
	VADDPS       Y8, Y0, Y0
	ADDQ         R9, SI
	ADDQ         R10, DI
	DECQ         CX
	JNZ          loop

	VMOVUPS Y0, (DX)
	VZEROUPPER
	RET

// PRODUCT32 is PRODUCT16 with rows of B in Z16, Z17.
#define PRODUCT32(mem, lo, hi) \
	VBROADCASTSS mem, Z18      \
	VMULPS       Z16, Z18, Z19 \
	VADDPS       Z19, lo, lo   \
	VMULPS       Z17, Z18, Z20 \
	VADDPS       Z20, hi, hi

// func gemm8x32(k int, a *float32, row, col int, b *float32, ldb int, c *float32, ldc int, bias *float32)
// Z0…Z15: the tile, two registers per row.
TEXT ·gemm8x32(SB), NOSPLIT, $0-72
	ARGUMENTS4
	LEAQ (SI)(R8*4), R13

	VPXORQ  Z0, Z0, Z0
	VPXORQ  Z1, Z1, Z1
	TESTQ   BX, BX
	JZ      start
	VMOVUPS (BX), Z0
	VMOVUPS 64(BX), Z1

start:
	VMOVAPS Z0, Z2
	VMOVAPS Z1, Z3
	VMOVAPS Z0, Z4
	VMOVAPS Z1, Z5
	VMOVAPS Z0, Z6
	VMOVAPS Z1, Z7
	VMOVAPS Z0, Z8
	VMOVAPS Z1, Z9
	VMOVAPS Z0, Z10
	VMOVAPS Z1, Z11
	VMOVAPS Z0, Z12
	VMOVAPS Z1, Z13
	VMOVAPS Z0, Z14
	VMOVAPS Z1, Z15

loop:
	VMOVUPS (DI), Z16
	VMOVUPS 64(DI), Z17
	PRODUCT32((SI), Z0, Z1)
	PRODUCT32((SI)(R8*1), Z2, Z3)
	PRODUCT32((SI)(R8*2), Z4, Z5)
	PRODUCT32((SI)(R12*1), Z6, Z7)
	PRODUCT32((R13), Z8, Z9)
	PRODUCT32((R13)(R8*1), Z10, Z11)
	PRODUCT32((R13)(R8*2), Z12, Z13)
	PRODUCT32((R13)(R12*1), Z14, Z15)
	ADDQ    R9, SI
	ADDQ    R9, R13
	ADDQ    R10, DI
	DECQ    CX
	JNZ     loop

	VMOVUPS Z0, (DX)
	VMOVUPS Z1, 64(DX)
	ADDQ    R11, DX
	VMOVUPS Z2, (DX)
	VMOVUPS Z3, 64(DX)
	ADDQ    R11, DX
	VMOVUPS Z4, (DX)
	VMOVUPS Z5, 64(DX)
	ADDQ    R11, DX
	VMOVUPS Z6, (DX)
	VMOVUPS Z7, 64(DX)
	ADDQ    R11, DX
	VMOVUPS Z8, (DX)
	VMOVUPS Z9, 64(DX)
	ADDQ    R11, DX
	VMOVUPS Z10, (DX)
	VMOVUPS Z11, 64(DX)
	ADDQ    R11, DX
	VMOVUPS Z12, (DX)
	VMOVUPS Z13, 64(DX)
	ADDQ    R11, DX
	VMOVUPS Z14, (DX)
	VMOVUPS Z15, 64(DX)
	VZEROUPPER
	RET

// func gemm8x16(k int, a *float32, row, col int, b *float32, ldb int, c *float32, ldc int, bias *float32)
// Z0…Z7: the tile, one register per row.
TEXT ·gemm8x16(SB), NOSPLIT, $0-72
	ARGUMENTS4
	LEAQ (SI)(R8*4), R13

	VPXORQ  Z0, Z0, Z0
	TESTQ   BX, BX
	JZ      start
	VMOVUPS (BX), Z0

start:
	VMOVAPS Z0, Z1
	VMOVAPS Z0, Z2
	VMOVAPS Z0, Z3
	VMOVAPS Z0, Z4
	VMOVAPS Z0, Z5
	VMOVAPS Z0, Z6
	VMOVAPS Z0, Z7

loop:
	VMOVUPS (DI), Z16
	VMULPS.BCST (SI), Z16, Z18
	VADDPS  Z18, Z0, Z0
	VMULPS.BCST (SI)(R8*1), Z16, Z19
	VADDPS  Z19, Z1, Z1
	VMULPS.BCST (SI)(R8*2), Z16, Z20
	VADDPS  Z20, Z2, Z2
	VMULPS.BCST (SI)(R12*1), Z16, Z21
	VADDPS  Z21, Z3, Z3
	VMULPS.BCST (R13), Z16, Z22
	VADDPS  Z22, Z4, Z4
	VMULPS.BCST (R13)(R8*1), Z16, Z23
	VADDPS  Z23, Z5, Z5
	VMULPS.BCST (R13)(R8*2), Z16, Z24
	VADDPS  Z24, Z6, Z6
	VMULPS.BCST (R13)(R12*1), Z16, Z25
	VADDPS  Z25, Z7, Z7
	ADDQ    R9, SI
	ADDQ    R9, R13
	ADDQ    R10, DI
	DECQ    CX
	JNZ     loop

	VMOVUPS Z0, (DX)
	ADDQ    R11, DX
	VMOVUPS Z1, (DX)
	ADDQ    R11, DX
	VMOVUPS Z2, (DX)
	ADDQ    R11, DX
	VMOVUPS Z3, (DX)
	ADDQ    R11, DX
	VMOVUPS Z4, (DX)
	ADDQ    R11, DX
	VMOVUPS Z5, (DX)
	ADDQ    R11, DX
	VMOVUPS Z6, (DX)
	ADDQ    R11, DX
	VMOVUPS Z7, (DX)
	VZEROUPPER
	RET

// ---- elementwise functions ----

// POLY: acc = x·acc + coefficient.
#define POLY(x, acc, coefficient, tmp) \
	VBROADCASTSS coefficient, tmp \
	VMULPS       x, acc, acc      \
	VADDPS       tmp, acc, acc

// func tanhAVX2(x *float32, n int)
TEXT ·tanhAVX2(SB), NOSPLIT, $0-16
	MOVQ         x+0(FP), SI
	MOVQ         n+8(FP), CX
	VBROADCASTSS ·tanhTable+48(SB), Y14
	VBROADCASTSS ·tanhTable+44(SB), Y15
	VBROADCASTSS ·tanhTable+56(SB), Y12
	VBROADCASTSS ·tanhTable+52(SB), Y13

loop:
	VMOVUPS      (SI), Y0
	VMAXPS       Y15, Y0, Y0
	VMINPS       Y14, Y0, Y0
	VMULPS       Y0, Y0, Y1           // s = v²
	VBROADCASTSS ·tanhTable+0(SB), Y2
	VBROADCASTSS ·tanhTable+28(SB), Y3
	POLY(Y1, Y2, ·tanhTable+4(SB), Y4)
	POLY(Y1, Y3, ·tanhTable+32(SB), Y5)
	POLY(Y1, Y2, ·tanhTable+8(SB), Y4)
	POLY(Y1, Y3, ·tanhTable+36(SB), Y5)
	POLY(Y1, Y2, ·tanhTable+12(SB), Y4)
	POLY(Y1, Y3, ·tanhTable+40(SB), Y5)
	POLY(Y1, Y2, ·tanhTable+16(SB), Y4)
	POLY(Y1, Y2, ·tanhTable+20(SB), Y4)
	POLY(Y1, Y2, ·tanhTable+24(SB), Y4)
	VMULPS       Y0, Y2, Y2
	VDIVPS       Y3, Y2, Y2
	VMAXPS       Y13, Y2, Y2
	VMINPS       Y12, Y2, Y2
	VMOVUPS      Y2, (SI)
	ADDQ         $32, SI
	SUBQ         $8, CX
	JNZ          loop
	VZEROUPPER
	RET

// func tanhGradAVX2(d, h *float32, n int)
TEXT ·tanhGradAVX2(SB), NOSPLIT, $0-24
	MOVQ         d+0(FP), DI
	MOVQ         h+8(FP), SI
	MOVQ         n+16(FP), CX
	VBROADCASTSS ·tanhTable+56(SB), Y2

loop:
	VMOVUPS (SI), Y0
	VMULPS  Y0, Y0, Y0
	VSUBPS  Y0, Y2, Y0    // 1 - h²
	VMULPS  (DI), Y0, Y0
	VMOVUPS Y0, (DI)
	ADDQ    $32, SI
	ADDQ    $32, DI
	SUBQ    $8, CX
	JNZ     loop
	VZEROUPPER
	RET

// EXP: Y3 = exp(Y0) for Y0 <= 0, exactly 0 below expMin, with the constants of
// EXPCONSTANTS; uses Y0…Y5 and Y8.
#define EXPCONSTANTS \
	VBROADCASTSS ·expTable+24(SB), Y15 \
	VBROADCASTSS ·expTable+28(SB), Y13 \
	VBROADCASTSS ·expTable+32(SB), Y12 \
	VBROADCASTSS ·expTable+36(SB), Y11 \
	VBROADCASTSS ·expTable+40(SB), Y10

#define EXP \
	VCMPPS       $5, Y15, Y0, Y8    /* all ones where x is not less than expMin */ \
	VMAXPS       Y15, Y0, Y0        /* keeps n below in range */                   \
	VMULPS       Y13, Y0, Y1        \
	VROUNDPS     $8, Y1, Y1         /* n = round to even */                        \
	VMULPS       Y12, Y1, Y2        \
	VSUBPS       Y2, Y0, Y0         \
	VMULPS       Y11, Y1, Y2        \
	VSUBPS       Y2, Y0, Y0         /* r */                                        \
	VBROADCASTSS ·expTable+0(SB), Y3 \
	POLY(Y0, Y3, ·expTable+4(SB), Y4)  \
	POLY(Y0, Y3, ·expTable+8(SB), Y4)  \
	POLY(Y0, Y3, ·expTable+12(SB), Y4) \
	POLY(Y0, Y3, ·expTable+16(SB), Y4) \
	POLY(Y0, Y3, ·expTable+20(SB), Y4) \
	VMULPS       Y0, Y0, Y5         \
	VMULPS       Y3, Y5, Y3         \
	VADDPS       Y0, Y3, Y3         \
	VADDPS       Y10, Y3, Y3        \
	VCVTPS2DQ    Y1, Y1             \
	VPSLLD       $23, Y1, Y1        \
	VPADDD       Y10, Y1, Y1        /* bits of 2^n; those of 1 are 127<<23 */      \
	VMULPS       Y1, Y3, Y3         \
	VANDPS       Y8, Y3, Y3

// TAIL: Y9 has all ones in the first AX lanes, 0 < AX < 8; uses BX.
#define TAIL \
	NEGQ    AX                 \
	LEAQ    ·tailTable+32(SB), BX \
	VMOVUPS (BX)(AX*4), Y9

// func softmaxAVX2(x, e *float32, n int) (sum, dot float32)
TEXT ·softmaxAVX2(SB), NOSPLIT, $0-32
	MOVQ         x+0(FP), SI
	MOVQ         e+8(FP), DI
	MOVQ         n+16(FP), DX
	MOVQ         DX, AX
	ANDQ         $7, AX
	ANDQ         $~7, DX
	VBROADCASTSS ·expTable+44(SB), Y14 // -Inf
	XORQ         CX, CX
	TESTQ        AX, AX
	JZ           most
	TAIL
	VMASKMOVPS   (SI)(DX*4), Y9, Y0
	VBLENDVPS    Y9, Y0, Y14, Y7       // the rest of the row, -Inf beyond it

most:
	CMPQ    CX, DX
	JGE     mostDone
	VMOVUPS (SI)(CX*4), Y0
	VMAXPS  Y14, Y0, Y14
	ADDQ    $8, CX
	JMP     most

mostDone:
	TESTQ        AX, AX
	JZ           reduce
	VMAXPS       Y14, Y7, Y14

reduce:
	VEXTRACTF128 $1, Y14, X1
	VMAXPS       X14, X1, X1
	VPERMILPS    $0x4e, X1, X2         // lanes 2, 3, 0, 1
	VMAXPS       X1, X2, X1
	VPERMILPS    $0xb1, X1, X2         // lanes 1, 0, 3, 2
	VMAXPS       X1, X2, X1
	VBROADCASTSS X1, Y14
	EXPCONSTANTS
	VXORPS       Y6, Y6, Y6
	VXORPS       Y7, Y7, Y7
	XORQ         CX, CX

loop:
	CMPQ    CX, DX
	JGE     tail
	VMOVUPS (SI)(CX*4), Y0
	VSUBPS  Y14, Y0, Y0
	VMOVUPS Y0, (SI)(CX*4)
	EXP
	VMOVUPS Y3, (DI)(CX*4)
	VADDPS  Y3, Y6, Y6
	VMULPS  (SI)(CX*4), Y3, Y3
	VADDPS  Y3, Y7, Y7
	ADDQ    $8, CX
	JMP     loop

tail:
	TESTQ      AX, AX
	JZ         done
	VMASKMOVPS (SI)(DX*4), Y9, Y0
	VSUBPS     Y14, Y0, Y0
	VANDPS     Y9, Y0, Y0
	VMASKMOVPS Y0, Y9, (SI)(DX*4)
	EXP
	VANDPS     Y9, Y3, Y3
	VMASKMOVPS Y3, Y9, (DI)(DX*4)
	VADDPS     Y3, Y6, Y6
	VMASKMOVPS (SI)(DX*4), Y9, Y0
	VMULPS     Y0, Y3, Y3
	VADDPS     Y3, Y7, Y7

done:
	VEXTRACTF128 $1, Y6, X0
	VEXTRACTF128 $1, Y7, X1
	VADDPS       X0, X6, X6            // lanes 0+4, 1+5, 2+6, 3+7
	VADDPS       X1, X7, X7
	VPERMILPS    $0x4e, X6, X0
	VPERMILPS    $0x4e, X7, X1
	VADDPS       X0, X6, X6
	VADDPS       X1, X7, X7
	VPERMILPS    $0xb1, X6, X0
	VPERMILPS    $0xb1, X7, X1
	VADDSS       X0, X6, X6
	VADDSS       X1, X7, X7
	VMOVSS       X6, sum+24(FP)
	VMOVSS       X7, dot+28(FP)
	VZEROUPPER
	RET

// func softmaxGradAVX2(e, z *float32, n int, a, f, mean float32)
TEXT ·softmaxGradAVX2(SB), NOSPLIT, $0-36
	MOVQ         e+0(FP), DI
	MOVQ         z+8(FP), SI
	MOVQ         n+16(FP), DX
	MOVQ         DX, AX
	ANDQ         $7, AX
	ANDQ         $~7, DX
	VBROADCASTSS a+24(FP), Y13
	VBROADCASTSS f+28(FP), Y14
	VBROADCASTSS mean+32(FP), Y15
	XORQ         CX, CX

loop:
	CMPQ    CX, DX
	JGE     tail
	VMOVUPS (SI)(CX*4), Y0
	VSUBPS  Y15, Y0, Y0
	VMULPS  Y14, Y0, Y0
	VADDPS  Y13, Y0, Y0
	VMULPS  (DI)(CX*4), Y0, Y0
	VMOVUPS Y0, (DI)(CX*4)
	ADDQ    $8, CX
	JMP     loop

tail:
	TESTQ      AX, AX
	JZ         done
	TAIL
	VMASKMOVPS (SI)(DX*4), Y9, Y0
	VSUBPS     Y15, Y0, Y0
	VMULPS     Y14, Y0, Y0
	VADDPS     Y13, Y0, Y0
	VMASKMOVPS (DI)(DX*4), Y9, Y1
	VMULPS     Y1, Y0, Y0
	VMASKMOVPS Y0, Y9, (DI)(DX*4)

done:
	VZEROUPPER
	RET

// func addScaledAVX2(y, x *float32, n int, v float32)
TEXT ·addScaledAVX2(SB), NOSPLIT, $0-28
	MOVQ         y+0(FP), DI
	MOVQ         x+8(FP), SI
	MOVQ         n+16(FP), CX
	VBROADCASTSS v+24(FP), Y15

loop:
	VMULPS  (SI), Y15, Y0
	VADDPS  (DI), Y0, Y0
	VMOVUPS Y0, (DI)
	ADDQ    $32, SI
	ADDQ    $32, DI
	SUBQ    $8, CX
	JNZ     loop
	VZEROUPPER
	RET

// func sumSquaresAVX2(x *float32, n int) float64
// Eight sums in float64, one per lane of Y0 and Y1.
TEXT ·sumSquaresAVX2(SB), NOSPLIT, $0-24
	MOVQ   x+0(FP), SI
	MOVQ   n+8(FP), CX
	VXORPD Y0, Y0, Y0
	VXORPD Y1, Y1, Y1

loop:
	VCVTPS2PD    (SI), Y2
	VCVTPS2PD    16(SI), Y3
	VMULPD       Y2, Y2, Y2
	VMULPD       Y3, Y3, Y3
	VADDPD       Y2, Y0, Y0
	VADDPD       Y3, Y1, Y1
	ADDQ         $32, SI
	SUBQ         $8, CX
	JNZ          loop
	VADDPD       Y1, Y0, Y0    // lanes 0…3
	VEXTRACTF128 $1, Y0, X1
	VADDPD       X1, X0, X0    // lanes 0+2, 1+3
	VUNPCKHPD    X0, X0, X1
	VADDSD       X1, X0, X0
	VMOVSD       X0, ret+16(FP)
	VZEROUPPER
	RET

// func adamAVX2(p, m, v, d *float32, n int, s *AdamStep)
TEXT ·adamAVX2(SB), NOSPLIT, $0-48
	MOVQ         p+0(FP), DI
	MOVQ         m+8(FP), R8
	MOVQ         v+16(FP), R9
	MOVQ         d+24(FP), SI
	MOVQ         n+32(FP), CX
	MOVQ         s+40(FP), BX
	VBROADCASTSS 0(BX), Y9     // GradScale
	VBROADCASTSS 4(BX), Y10    // Beta1Rest
	VBROADCASTSS 8(BX), Y11    // Beta2
	VBROADCASTSS 12(BX), Y12   // Beta2Rest
	VBROADCASTSS 16(BX), Y13   // InvSqrtBias
	VBROADCASTSS 20(BX), Y14   // Eps
	VBROADCASTSS 24(BX), Y15   // Rate
	XORQ         AX, AX

loop:
	VMULPS  (SI)(AX*4), Y9, Y0 // g'
	VMOVUPS (R8)(AX*4), Y1
	VSUBPS  Y1, Y0, Y2
	VMULPS  Y10, Y2, Y2
	VADDPS  Y2, Y1, Y1
	VMOVUPS Y1, (R8)(AX*4)     // m
	VMULPS  Y0, Y0, Y3
	VMULPS  Y12, Y3, Y3
	VMULPS  (R9)(AX*4), Y11, Y4
	VADDPS  Y3, Y4, Y4
	VMOVUPS Y4, (R9)(AX*4)     // v
	VSQRTPS Y4, Y4
	VMULPS  Y13, Y4, Y4
	VADDPS  Y14, Y4, Y4
	VMULPS  Y15, Y1, Y1
	VDIVPS  Y4, Y1, Y1
	VMOVUPS (DI)(AX*4), Y5
	VSUBPS  Y1, Y5, Y5
	VMOVUPS Y5, (DI)(AX*4)     // p
	ADDQ    $8, AX
	CMPQ    AX, CX
	JL      loop
	VZEROUPPER
	RET
