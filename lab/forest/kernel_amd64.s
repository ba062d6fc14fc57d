//go:build amd64 && !purego

#include "go_asm.h"
#include "textflag.h"

// Products and sums are separate instructions, never fused, and sums run in
// the order of the portable code: both give the same bytes. A sum is five
// words: its index times five, times eight, is its offset.

// func totalAVX2(items uint64, keys *uint64, sums, total *sum) (differ uint64)
TEXT ·totalAVX2(SB), NOSPLIT, $0-40
	MOVQ   items+0(FP), DX
	MOVQ   keys+8(FP), R8
	MOVQ   sums+16(FP), DI
	MOVQ   total+24(FP), SI
	VXORPD Y0, Y0, Y0
	XORQ   R9, R9                // n
	XORQ   R10, R10              // differ
	TZCNTQ DX, AX
	MOVQ   (R8)(AX*8), R11       // first key

total:
	TZCNTQ DX, AX
	BLSRQ  DX, DX
	MOVQ   (R8)(AX*8), BX
	XORQ   R11, BX
	ORQ    BX, R10
	LEAQ   (AX)(AX*4), AX
	VADDPD (DI)(AX*8), Y0, Y0
	ADDQ   sum_n(DI)(AX*8), R9
	TESTQ  DX, DX
	JNZ    total

	VMOVUPD Y0, (SI)
	MOVQ    R9, sum_n(SI)
	MOVQ    R10, differ+32(FP)
	VZEROUPPER
	RET

// GAIN turns the left sum in Y1 with count R14 into its gain in X4. Y2 holds
// the node's mean, BX reciprocals, R15 the node's count, which R14 is taken
// from.
#define GAIN \
	VCVTSI2SDQ   R14, X5, X3         \
	VBROADCASTSD X3, Y3              \
	VMULPD       Y2, Y3, Y3          \
	VSUBPD       Y3, Y1, Y3          \
	VMULPD       Y3, Y3, Y3          \
	VEXTRACTF128 $1, Y3, X4          \
	VADDPD       X4, X3, X3          \
	VUNPCKHPD    X3, X3, X4          \
	VADDSD       X4, X3, X3          \
	VMOVSD       (BX)(R14*8), X4     \
	NEGQ         R14                 \
	ADDQ         R15, R14            \
	VADDSD       (BX)(R14*8), X4, X4 \
	VMULSD       X3, X4, X4

// func scanAVX2(n *smallNode, keys *uint64, differ uint64, found *candidate) int
//
// R8 keys, DI sums, SI bins, R9 items of bins, BX reciprocals, R15 count.
TEXT ·scanAVX2(SB), NOSPLIT, $0-40
	MOVQ    n+0(FP), AX
	MOVQ    keys+8(FP), R8
	MOVQ    found+24(FP), R12
	MOVQ    smallNode_sums(AX), DI
	MOVQ    smallNode_bins(AX), SI
	MOVQ    smallNode_in(AX), R9
	MOVQ    smallNode_reciprocal(AX), BX
	MOVQ    smallNode_count(AX), R15
	VMOVUPD smallNode_mean(AX), Y2
	VXORPD  Y5, Y5, Y5

feature:
	MOVQ   differ+16(FP), AX
	TZCNTQ AX, CX
	ANDQ   $-8, CX
	MOVL   $0xff, DX
	SHLXQ  CX, DX, DX
	ANDNQ  AX, DX, AX
	MOVQ   AX, differ+16(FP)

	// The sum and the items of each bin. R10: codes that are present.
	MOVQ n+0(FP), AX
	MOVQ smallNode_items(AX), DX
	XORQ R10, R10

row:
	TZCNTQ  DX, AX
	BLSIQ   DX, R13
	BLSRQ   DX, DX
	SHRXQ   CX, (R8)(AX*8), R11
	ANDL    $63, R11
	BTSQ    R11, R10
	ORQ     R13, (R9)(R11*8)
	LEAQ    (AX)(AX*4), AX
	LEAQ    (R11)(R11*4), R11
	VMOVUPD (DI)(AX*8), Y0
	VADDPD  (SI)(R11*8), Y0, Y0
	VMOVUPD Y0, (SI)(R11*8)
	MOVQ    sum_n(DI)(AX*8), AX
	ADDQ    AX, sum_n(SI)(R11*8)
	TESTQ   DX, DX
	JNZ     row

	// The gain of each split. CX and R13: the left side's items and sum_n.
	// Best so far: X6 the gain, DX its items, and at R12 its codes.
	SHRQ    $3, CX
	MOVQ    CX, candidate_feature(R12)
	MOVQ    $-1, DX
	VCVTSI2SDQ DX, X5, X6
	XORQ    DX, DX
	XORQ    CX, CX
	XORQ    R13, R13
	VXORPD  Y1, Y1, Y1

bin:
	TZCNTQ  R10, AX
	ORQ     (R9)(AX*8), CX
	MOVQ    $0, (R9)(AX*8)
	LEAQ    (AX)(AX*4), R11
	VADDPD  (SI)(R11*8), Y1, Y1
	ADDQ    sum_n(SI)(R11*8), R13
	VMOVUPD Y5, (SI)(R11*8)
	MOVQ    $0, sum_n(SI)(R11*8)
	BLSRQ   R10, R10
	JZ      done
	MOVQ    R13, R14
	SHRQ    $32, R14
	GAIN
	VUCOMISD X6, X4
	JBE     bin

	// Better, if each side has rows enough.
	MOVQ    n+0(FP), R11
	MOVL    R13, R14
	SUBQ    smallNode_minLeaf(R11), R14
	CMPQ    R14, smallNode_slack(R11)
	JHI     bin
	VMOVAPD X4, X6
	MOVQ    CX, DX
	MOVL    AX, candidate_lo(R12)
	TZCNTQ  R10, R14
	MOVL    R14, candidate_hi(R12)
	JMP     bin

done:
	VMOVSD X6, candidate_gain(R12)
	MOVQ   DX, candidate_left(R12)
	ADDQ   $candidate__size, R12
	MOVQ   differ+16(FP), AX
	TESTQ  AX, AX
	JNZ    feature
	SUBQ   found+24(FP), R12
	SHRQ   $5, R12
	MOVQ   R12, ret+32(FP)
	VZEROUPPER
	RET

// func fillAVX2(bins, sums *sum, items *uint32, n int, codes *uint32, stride int, features *int, active int, base *int)
//
// SI bins, DI sums, R8 items up to R9, R10 codes, R11 stride, R12 features,
// R13 base.
TEXT ·fillAVX2(SB), NOSPLIT, $0-72
	MOVQ bins+0(FP), SI
	MOVQ sums+8(FP), DI
	MOVQ items+16(FP), R8
	MOVQ n+24(FP), R9
	LEAQ (R8)(R9*4), R9
	MOVQ codes+32(FP), R10
	MOVQ stride+40(FP), R11
	MOVQ features+48(FP), R12
	MOVQ base+64(FP), R13

item:
	MOVL    (R8), AX
	ADDQ    $4, R8
	MOVQ    AX, BX
	IMULQ   R11, BX
	LEAQ    (R10)(BX*4), BX
	LEAQ    (AX)(AX*4), AX
	VMOVUPD (DI)(AX*8), Y0
	MOVQ    sum_n(DI)(AX*8), AX
	MOVQ    active+56(FP), CX

feature:
	MOVQ    -8(R12)(CX*8), DX
	MOVL    (BX)(DX*4), R14
	ADDQ    (R13)(DX*8), R14
	LEAQ    (R14)(R14*4), R14
	VADDPD  (SI)(R14*8), Y0, Y1
	VMOVUPD Y1, (SI)(R14*8)
	ADDQ    AX, sum_n(SI)(R14*8)
	DECQ    CX
	JNZ     feature
	CMPQ    R8, R9
	JNE     item
	VZEROUPPER
	RET

// func gainsAVX2(bins *sum, n int, total *sum, mean *centre, reciprocal, gains *float64)
TEXT ·gainsAVX2(SB), NOSPLIT, $0-48
	MOVQ    bins+0(FP), SI
	MOVQ    n+8(FP), DX
	MOVQ    total+16(FP), AX
	MOVQ    sum_n(AX), R15
	SHRQ    $32, R15
	MOVQ    mean+24(FP), AX
	VMOVUPD (AX), Y2
	MOVQ    reciprocal+32(FP), BX
	MOVQ    gains+40(FP), DI
	VXORPD  Y1, Y1, Y1
	VXORPD  Y5, Y5, Y5
	XORQ    R13, R13

next:
	VADDPD (SI), Y1, Y1
	ADDQ   sum_n(SI), R13
	MOVQ   R13, R14
	SHRQ   $32, R14
	GAIN
	VMOVSD X4, (DI)
	ADDQ   $sum__size, SI
	ADDQ   $8, DI
	DECQ   DX
	JNZ    next
	VZEROUPPER
	RET
