//go:build amd64 && !purego

#include "go_asm.h"
#include "textflag.h"

// func spreadAVX2(b *box, nodes *node, first, end uint32, values *float64)
//
// R8 first node, R11 its number, DX the node's from there on, up to R15; R10
// sets, R12 where the next leaf goes, DI base, SI place, BX masks, R9 values.
TEXT ·spreadAVX2(SB), NOSPLIT, $0-32
	MOVQ b+0(FP), DI
	MOVQ nodes+8(FP), R8
	MOVL first+16(FP), AX
	MOVL end+20(FP), R15
	MOVQ values+24(FP), R9
	LEAQ (R8)(AX*8), R8
	MOVQ box_set(DI), R10
	MOVQ box_leaf(DI), R12
	MOVQ box_place(DI), SI
	MOVQ box_mask(DI), BX
	LEAQ box_base(DI), DI
	SUBQ AX, R15
	MOVL AX, R11
	XORQ DX, DX

node:
	MOVQ    (R8)(DX*8), AX
	MOVL    DX, (R12)
	MOVL    AX, R13
	MOVL    AX, R14
	SHLQ    $5, R13          // a leaf's value
	SUBQ    R11, R14         // the left child
	SHRQ    $32, AX
	MOVBLZX AX, CX           // feature
	SHRQ    $8, AX           // rank
	ADDQ    (DI)(CX*8), AX
	MOVL    (SI)(AX*4), AX
	MOVQ    (BX)(AX*8), AX   // combinations that go left
	CMPL    CX, $255         // leafMark
	CMOVQEQ R15, R14         // sets that nobody reads
	CMOVQNE DX, R13          // an address that does no harm
	SETEQ   CX
	PREFETCHT0 (R9)(R13*1)   // sumLeaves need not wait for it
	MOVBLZX CX, CX
	LEAQ    (R12)(CX*4), R12
	MOVQ    (R10)(DX*8), CX
	ANDNQ   CX, AX, R13
	ANDQ    CX, AX
	MOVQ    AX, (R10)(R14*8)
	MOVQ    R13, 8(R10)(R14*8)
	INCQ    DX
	CMPQ    DX, R15
	JNE     node
	RET

// func sumLeavesAVX2(b *box, nodes *node, first uint32, n int, values, sums *float64)
//
// A leaf that no combination reaches is added to the row that nobody reads.
TEXT ·sumLeavesAVX2(SB), NOSPLIT, $0-48
	MOVQ b+0(FP), R8
	MOVQ nodes+8(FP), DI
	MOVL first+16(FP), AX
	LEAQ (DI)(AX*8), DI
	MOVQ n+24(FP), R9
	MOVQ values+32(FP), SI
	MOVQ sums+40(FP), BX
	MOVQ box_set(R8), R10
	MOVQ box_leaf(R8), R11

leaf:
	MOVL    (R11), AX
	ADDQ    $4, R11
	MOVQ    (R10)(AX*8), DX
	MOVL    (DI)(AX*8), AX   // the value
	SHLQ    $5, AX
	VMOVUPD (SI)(AX*1), Y0

combination:
	TZCNTQ  DX, CX
	MOVQ    box_offset(R8)(CX*8), CX
	VADDPD  (BX)(CX*8), Y0, Y1
	VMOVUPD Y1, (BX)(CX*8)
	BLSRQ   DX, DX
	JNZ     combination
	DECQ    R9
	JNZ     leaf
	VZEROUPPER
	RET
