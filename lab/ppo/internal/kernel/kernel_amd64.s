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

// Tiles of eight rows, for which the 32 registers of AVX-512 are needed; on
// processors that add and multiply in units of 256 bits, wider ones gain nothing.

// PRODUCT24 is PRODUCT16 with the row of B in Y24, Y25, Y26.
#define PRODUCT24(mem, lo, mid, hi) \
	VBROADCASTSS mem, Y27      \
	VMULPS       Y24, Y27, Y28 \
	VADDPS       Y28, lo, lo   \
	VMULPS       Y25, Y27, Y29 \
	VADDPS       Y29, mid, mid \
	VMULPS       Y26, Y27, Y30 \
	VADDPS       Y30, hi, hi

// func gemm8x24(k int, a *float32, row, col int, b *float32, ldb int, c *float32, ldc int, bias *float32)
// Y0…Y23: the tile, 3 registers per row.
TEXT ·gemm8x24(SB), NOSPLIT, $0-72
	ARGUMENTS4
	LEAQ (SI)(R8*4), R13

	VXORPS  Y0, Y0, Y0
	VXORPS  Y1, Y1, Y1
	VXORPS  Y2, Y2, Y2
	TESTQ   BX, BX
	JZ      start
	VMOVUPS (BX), Y0
	VMOVUPS 32(BX), Y1
	VMOVUPS 64(BX), Y2

start:
	VMOVAPS Y0, Y3
	VMOVAPS Y1, Y4
	VMOVAPS Y2, Y5
	VMOVAPS Y0, Y6
	VMOVAPS Y1, Y7
	VMOVAPS Y2, Y8
	VMOVAPS Y0, Y9
	VMOVAPS Y1, Y10
	VMOVAPS Y2, Y11
	VMOVAPS Y0, Y12
	VMOVAPS Y1, Y13
	VMOVAPS Y2, Y14
	VMOVAPS Y0, Y15
	VMOVAPS Y1, Y16
	VMOVAPS Y2, Y17
	VMOVAPS Y0, Y18
	VMOVAPS Y1, Y19
	VMOVAPS Y2, Y20
	VMOVAPS Y0, Y21
	VMOVAPS Y1, Y22
	VMOVAPS Y2, Y23

loop:
	VMOVUPS (DI), Y24
	VMOVUPS 32(DI), Y25
	VMOVUPS 64(DI), Y26
	PRODUCT24((SI), Y0, Y1, Y2)
	PRODUCT24((SI)(R8*1), Y3, Y4, Y5)
	PRODUCT24((SI)(R8*2), Y6, Y7, Y8)
	PRODUCT24((SI)(R12*1), Y9, Y10, Y11)
	PRODUCT24((R13), Y12, Y13, Y14)
	PRODUCT24((R13)(R8*1), Y15, Y16, Y17)
	PRODUCT24((R13)(R8*2), Y18, Y19, Y20)
	PRODUCT24((R13)(R12*1), Y21, Y22, Y23)
	ADDQ    R9, SI
	ADDQ    R9, R13
	ADDQ    R10, DI
	DECQ    CX
	JNZ     loop

	VMOVUPS Y0, (DX)
	VMOVUPS Y1, 32(DX)
	VMOVUPS Y2, 64(DX)
	ADDQ    R11, DX
	VMOVUPS Y3, (DX)
	VMOVUPS Y4, 32(DX)
	VMOVUPS Y5, 64(DX)
	ADDQ    R11, DX
	VMOVUPS Y6, (DX)
	VMOVUPS Y7, 32(DX)
	VMOVUPS Y8, 64(DX)
	ADDQ    R11, DX
	VMOVUPS Y9, (DX)
	VMOVUPS Y10, 32(DX)
	VMOVUPS Y11, 64(DX)
	ADDQ    R11, DX
	VMOVUPS Y12, (DX)
	VMOVUPS Y13, 32(DX)
	VMOVUPS Y14, 64(DX)
	ADDQ    R11, DX
	VMOVUPS Y15, (DX)
	VMOVUPS Y16, 32(DX)
	VMOVUPS Y17, 64(DX)
	ADDQ    R11, DX
	VMOVUPS Y18, (DX)
	VMOVUPS Y19, 32(DX)
	VMOVUPS Y20, 64(DX)
	ADDQ    R11, DX
	VMOVUPS Y21, (DX)
	VMOVUPS Y22, 32(DX)
	VMOVUPS Y23, 64(DX)
	VZEROUPPER
	RET

// PRODUCT16V is PRODUCT16 with the row of B in Y16, Y17.
#define PRODUCT16V(mem, lo, hi) \
	VBROADCASTSS mem, Y18      \
	VMULPS       Y16, Y18, Y19 \
	VADDPS       Y19, lo, lo   \
	VMULPS       Y17, Y18, Y20 \
	VADDPS       Y20, hi, hi

// func gemm8x16(k int, a *float32, row, col int, b *float32, ldb int, c *float32, ldc int, bias *float32)
// Y0…Y15: the tile, 2 registers per row.
TEXT ·gemm8x16(SB), NOSPLIT, $0-72
	ARGUMENTS4
	LEAQ (SI)(R8*4), R13

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
	VMOVAPS Y0, Y8
	VMOVAPS Y1, Y9
	VMOVAPS Y0, Y10
	VMOVAPS Y1, Y11
	VMOVAPS Y0, Y12
	VMOVAPS Y1, Y13
	VMOVAPS Y0, Y14
	VMOVAPS Y1, Y15

loop:
	VMOVUPS (DI), Y16
	VMOVUPS 32(DI), Y17
	PRODUCT16V((SI), Y0, Y1)
	PRODUCT16V((SI)(R8*1), Y2, Y3)
	PRODUCT16V((SI)(R8*2), Y4, Y5)
	PRODUCT16V((SI)(R12*1), Y6, Y7)
	PRODUCT16V((R13), Y8, Y9)
	PRODUCT16V((R13)(R8*1), Y10, Y11)
	PRODUCT16V((R13)(R8*2), Y12, Y13)
	PRODUCT16V((R13)(R12*1), Y14, Y15)
	ADDQ    R9, SI
	ADDQ    R9, R13
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
	ADDQ    R11, DX
	VMOVUPS Y8, (DX)
	VMOVUPS Y9, 32(DX)
	ADDQ    R11, DX
	VMOVUPS Y10, (DX)
	VMOVUPS Y11, 32(DX)
	ADDQ    R11, DX
	VMOVUPS Y12, (DX)
	VMOVUPS Y13, 32(DX)
	ADDQ    R11, DX
	VMOVUPS Y14, (DX)
	VMOVUPS Y15, 32(DX)
	VZEROUPPER
	RET

// func pack(k, n int, b *float32, ldb int, to *float32)
TEXT ·pack(SB), NOSPLIT, $0-40
	MOVQ k+0(FP), CX
	MOVQ n+8(FP), R8
	MOVQ b+16(FP), SI
	MOVQ ldb+24(FP), R9
	MOVQ to+32(FP), DI
	SHLQ $2, R8
	SHLQ $2, R9

row:
	XORQ AX, AX

columns:
	VMOVUPS (SI)(AX*1), Y0
	VMOVUPS Y0, (DI)(AX*1)
	ADDQ    $32, AX
	CMPQ    AX, R8
	JB      columns
	ADDQ    R9, SI
	ADDQ    R8, DI
	DECQ    CX
	JNZ     row
	VZEROUPPER
	RET

// PAIRS interleaves rows a and b by single values, in each half of a register, and
// QUADS does by pairs of them.
#define PAIRS(a, b, lo, hi) \
	VUNPCKLPS b, a, lo \
	VUNPCKHPS b, a, hi

#define QUADS(a, b, lo, hi) \
	VUNPCKLPD b, a, lo \
	VUNPCKHPD b, a, hi

// HALVES writes the columns that a and b have the upper and lower rows of, four
// apart, the first at DX.
#define HALVES(a, b) \
	VPERM2F128 $0x20, b, a, Y8      \
	VPERM2F128 $0x31, b, a, Y9      \
	VMOVUPS    Y8, (DX)             \
	VMOVUPS    Y9, (DX)(R9*4)       \
	ADDQ       R9, DX

// func transposeAVX2(n int, src *float32, lds int, dst *float32, ldd int)
TEXT ·transposeAVX2(SB), NOSPLIT, $0-40
	MOVQ n+0(FP), CX
	MOVQ src+8(FP), SI
	MOVQ lds+16(FP), R8
	MOVQ dst+24(FP), DI
	MOVQ ldd+32(FP), R9
	SHLQ $2, R8
	SHLQ $2, R9
	LEAQ (R8)(R8*2), R12

block:
	LEAQ    (SI)(R8*4), BX
	VMOVUPS (SI), Y0
	VMOVUPS (SI)(R8*1), Y1
	VMOVUPS (SI)(R8*2), Y2
	VMOVUPS (SI)(R12*1), Y3
	VMOVUPS (BX), Y4
	VMOVUPS (BX)(R8*1), Y5
	VMOVUPS (BX)(R8*2), Y6
	VMOVUPS (BX)(R12*1), Y7
	PAIRS(Y0, Y1, Y8, Y9)
	PAIRS(Y2, Y3, Y10, Y11)
	PAIRS(Y4, Y5, Y12, Y13)
	PAIRS(Y6, Y7, Y14, Y15)
	QUADS(Y8, Y10, Y0, Y1)
	QUADS(Y9, Y11, Y2, Y3)
	QUADS(Y12, Y14, Y4, Y5)
	QUADS(Y13, Y15, Y6, Y7)
	MOVQ DI, DX
	HALVES(Y0, Y4)
	HALVES(Y1, Y5)
	HALVES(Y2, Y6)
	HALVES(Y3, Y7)
	ADDQ $32, SI
	LEAQ (DI)(R9*8), DI
	DECQ CX
	JNZ  block
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
