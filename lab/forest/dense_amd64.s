//go:build amd64 && !purego

#include "go_asm.h"
#include "textflag.h"

// Products and sums are separate instructions, never fused, and sums
// run in the order of the portable code. A bin's offset among the words of
// bins.n is a quarter of its offset in bins.y.

// ADD adds the targets in Y0 and the n in BX of the item at AX to the bins at SI
// of the features in CX, at least one.
#define ADD(feature) \
feature:                                  \
	TZCNTQ  CX, DX                    \
	MOVWLZX item_bin(AX)(DX*2), R12   \
	VADDPD  (SI)(R12*4), Y0, Y1       \
	VMOVUPD Y1, (SI)(R12*4)           \
	ADDQ    BX, bins_n(SI)(R12*1)     \
	BLSRQ   CX, CX                    \
	JNZ     feature

// func addAVX2(h *bins, items *item, list *uint32, n int, features uint64)
TEXT ·addAVX2(SB), NOSPLIT, $0-40
	MOVQ h+0(FP), SI
	MOVQ items+8(FP), DI
	MOVQ list+16(FP), R8
	MOVQ n+24(FP), R9
	LEAQ (R8)(R9*4), R9
	MOVQ features+32(FP), R10

item:
	MOVL    (R8), AX
	ADDQ    $4, R8
	SHLQ    $6, AX            // 64 bytes an item
	ADDQ    DI, AX
	VMOVUPD (AX), Y0
	MOVQ    item_n(AX), BX
	MOVQ    R10, CX
	ADD(feature)
	CMPQ    R8, R9
	JNE     item
	VZEROUPPER
	RET

// func addSetAVX2(h *bins, items *item, set, features, negate uint64)
TEXT ·addSetAVX2(SB), NOSPLIT, $0-40
	MOVQ         h+0(FP), SI
	MOVQ         items+8(FP), DI
	MOVQ         set+16(FP), R8
	MOVQ         features+24(FP), R10
	MOVQ         negate+32(FP), R11
	VMOVQ        R11, X2
	VPSLLQ       $63, X2, X2
	VBROADCASTSD X2, Y2       // the sign to flip

item:
	TZCNTQ R8, AX
	SHLQ   $6, AX
	ADDQ   DI, AX
	VXORPD (AX), Y2, Y0
	MOVQ   item_n(AX), BX
	XORQ   R11, BX
	SUBQ   R11, BX
	MOVQ   R10, CX
	ADD(feature)
	BLSRQ  R8, R8
	JNZ    item
	VZEROUPPER
	RET

// func subAVX2(h, s *bins, n int)
TEXT ·subAVX2(SB), NOSPLIT, $0-24
	MOVQ h+0(FP), SI
	MOVQ s+8(FP), DI
	MOVQ n+16(FP), CX
	XORQ AX, AX

bin:
	VMOVUPD (SI)(AX*4), Y0
	VSUBPD  (DI)(AX*4), Y0, Y0
	VMOVUPD Y0, (SI)(AX*4)
	MOVQ    bins_n(DI)(AX*1), DX
	SUBQ    DX, bins_n(SI)(AX*1)
	ADDQ    $8, AX
	DECQ    CX
	JNZ     bin
	VZEROUPPER
	RET

// func bestAVX2(h *bins, s *search)
//
// SI bins, R9 minLeaf, R10 slack, BX reciprocals, R15 the node's count, Y2 its
// mean, DI features, AX the bin's offset; of a feature, X6 the best gain and CX
// its bin's offset.
TEXT ·bestAVX2(SB), NOSPLIT, $0-16
	MOVQ h+0(FP), SI
	MOVQ s+8(FP), R8
	MOVQ search_layout(R8), R14
	MOVQ search_minLeaf(R8), R9
	MOVQ search_reciprocal(R8), BX
	MOVQ search_features(R8), DI
	MOVQ $0, search_features(R8)

	// The total, from the bins of any feature.
	TZCNTQ DI, CX
	MOVQ   layout_first(R14)(CX*8), AX
	SHLQ   $3, AX
	MOVQ   layout_count(R14)(CX*8), DX
	VXORPD Y0, Y0, Y0
	XORQ   R11, R11

total:
	VADDPD (SI)(AX*4), Y0, Y0
	ADDQ   bins_n(SI)(AX*1), R11
	ADDQ   $8, AX
	DECQ   DX
	JNZ    total

	MOVL         R11, R10
	SUBQ         R9, R10
	SUBQ         R9, R10
	JLT          none
	MOVQ         R11, R15
	SHRQ         $32, R15
	VXORPD       X5, X5, X5
	VCVTSI2SDQ   R15, X5, X3
	VBROADCASTSD X3, Y3
	VDIVPD       Y3, Y0, Y2
	MOVQ         $-1, CX
	VCVTSI2SDQ   CX, X5, X7        // the gain of no split

	MOVQ         $32, R12

feature:
	MOVQ    s+8(FP), R8
	MOVQ    search_layout(R8), R14
	TZCNTQ  DI, CX
	MOVQ    layout_first(R14)(CX*8), AX
	SHLQ    $3, AX
	MOVQ    layout_count(R14)(CX*8), DX
	DECQ    DX
	JZ      next
	VXORPD  Y1, Y1, Y1
	XORQ    R11, R11               // sum.n of the left side
	XORQ    R8, R8
	MOVQ    $-1, CX
	VMOVAPD X7, X6

bin:
	VADDPD       (SI)(AX*4), Y1, Y1
	ADDQ         bins_n(SI)(AX*1), R11
	SHRXQ        R12, R11, R13
	VCVTSI2SDQ   R13, X5, X3
	VBROADCASTSD X3, Y3
	VMULPD       Y2, Y3, Y3
	VSUBPD       Y3, Y1, Y3
	VMULPD       Y3, Y3, Y3
	VEXTRACTF128 $1, Y3, X4
	VADDPD       X4, X3, X3
	VUNPCKHPD    X3, X3, X4
	VADDSD       X4, X3, X3

	// With too few rows on a side the gain is that of nothing on a side, NaN,
	// which is not better: there is no branch to mispredict.
	MOVL     R11, R14
	SUBQ     R9, R14
	CMPQ     R14, R10
	CMOVQHI  R8, R13
	VMOVSD   (BX)(R13*8), X4
	NEGQ     R13
	ADDQ     R15, R13
	VADDSD   (BX)(R13*8), X4, X4
	VMULSD   X3, X4, X4
	VUCOMISD X6, X4
	CMOVQHI  AX, CX
	VMAXSD   X6, X4, X6            // X6 if X4 is NaN
	ADDQ     $8, AX
	DECQ     DX
	JNZ      bin

	TESTQ  CX, CX
	JLT    next
	MOVQ   s+8(FP), R8
	TZCNTQ DI, DX
	SHRQ   $3, CX
	MOVQ   CX, search_bin(R8)(DX*8)
	VMOVSD X6, search_gain(R8)(DX*8)
	BLSIQ  DI, DX
	ORQ    DX, search_features(R8)

next:
	BLSRQ DI, DI
	JNZ   feature

none:
	VZEROUPPER
	RET
