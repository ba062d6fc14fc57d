//go:build amd64 && !purego

#include "go_asm.h"
#include "textflag.h"

// func descendAVX2(p *block, nodes *node, from, end, to int) (next, leaves int)
//
// DI block, R8 nodes, SI and R9 the levels, R10 and R11 the leaves, R12 sides;
// BX from, DX to, R15 leaves.
TEXT ·descendAVX2(SB), NOSPLIT, $0-56
	MOVQ p+0(FP), DI
	MOVQ nodes+8(FP), R8
	MOVQ (block_level+queue_at)(DI), SI
	MOVQ (block_level+queue_box)(DI), R9
	MOVQ (block_leaves+queue_at)(DI), R10
	MOVQ (block_leaves+queue_box)(DI), R11
	MOVQ block_sides(DI), R12
	MOVQ from+16(FP), BX
	MOVQ to+32(FP), DX
	XORQ R15, R15
	MOVQ BX, CX
	ADDQ $32, CX

first:                                  // nodes whose turn comes at once
	MOVL    (SI)(BX*4), AX
	PREFETCHT0 (R8)(AX*8)
	INCQ    BX
	CMPQ    BX, CX
	JNE     first
	SUBQ    $32, BX

next:
	MOVL    128(SI)(BX*4), AX       // a node that comes later
	PREFETCHT0 (R8)(AX*8)
	MOVL    (SI)(BX*4), AX
	MOVQ    (R9)(BX*8), R13         // box
	MOVQ    (R8)(AX*8), AX          // node
	INCQ    BX
	MOVL    AX, CX                  // left child, or value
	MOVL    CX, (SI)(DX*4)
	MOVL    CX, (R10)(R15*4)
	MOVQ    R13, (R11)(R15*8)
	INCL    CX
	SHRQ    $32, AX
	MOVBLZX AX, R14                 // feature
	SHRQ    $8, AX                  // rank
	ADDQ    block_base(DI)(R14*8), AX
	CMPL    R14, $255               // leafMark
	SBBQ    $-1, R15
	SHLQ    $4, AX
	ADDQ    R12, AX
	MOVQ    sides_right(AX), R14
	MOVQ    sides_left(AX), AX
	ANDQ    R13, R14
	ANDQ    R13, AX
	XORQ    R14, R13                // without what goes right
	MOVQ    R13, (R9)(DX*8)
	XORQ    R14, R13
	XORQ    AX, R13                 // without what goes left
	NEGQ    AX
	ADCQ    $0, DX
	MOVL    CX, (SI)(DX*4)
	MOVQ    R13, (R9)(DX*8)
	NEGQ    R14
	ADCQ    $0, DX
	CMPQ    BX, end+24(FP)
	JL      next
	MOVQ    DX, next+40(FP)
	MOVQ    R15, leaves+48(FP)
	RET

// func spreadAVX2(p *block, value *uint32, leaves int, values *float64)
//
// DI block, SI and R9 the leaves, R8 value; BX the leaf, DX their end.
TEXT ·spreadAVX2(SB), NOSPLIT, $0-32
	MOVQ p+0(FP), DI
	MOVQ value+8(FP), R8
	MOVQ leaves+16(FP), DX
	MOVQ (block_leaves+queue_at)(DI), SI
	MOVQ (block_leaves+queue_box)(DI), R9
	MOVQ block_groups(DI), R10
	MOVQ (block_groups+8)(DI), R11
	IMULQ $group__size, R11
	ADDQ R10, R11                   // end of the groups
	XORQ BX, BX
	JMP  test

leaf:
	MOVQ (R9)(BX*8), R13            // box
	XORQ R12, R12                   // ends
	MOVQ R10, R14
	CMPQ R14, R11
	JE   looked

look:
	MOVQ  group_shift(R14), CX
	MOVQ  group_ends(R14), R15
	SHRXQ CX, R13, AX
	ANDQ  group_mask(R14), AX
	ADDQ  $group__size, R14
	ADDL  (R15)(AX*4), R12
	CMPQ  R14, R11
	JNE   look

looked:
	MOVL  (SI)(BX*4), CX
	MOVQ  CX, AX
	SHLQ  $5, AX
	MOVQ  values+24(FP), R15
	PREFETCHT1 (R15)(AX*1)          // add need not wait for it
	MOVWLZX R12, AX
	MOVL  CX, (R8)(AX*4)
	SHRL  $16, R12
	MOVL  CX, (R8)(R12*4)
	POPCNTQ R13, R12
	MOVQ  R13, AX
	SUBQ  block_lowest(DI), AX
	ANDQ  R13, AX
	TZCNTQ AX, AX
	SHLQ  $4, AX
	LEAQ  block_levels(DI)(AX*1), AX
	MOVQ  sides_right(AX), R14
	MOVQ  sides_left(AX), AX
	ANDNQ R13, R14, R14
	ANDNQ R13, AX, AX
	MOVL  CX, (SI)(DX*4)
	MOVL  CX, 4(SI)(DX*4)
	MOVQ  R14, (R9)(DX*8)
	MOVQ  AX, 8(R9)(DX*8)
	CMPQ  R12, block_several(DI)
	SBBQ  AX, AX                    // -1 where there are no more
	LEAQ  2(DX)(AX*2), DX
	INCQ  BX

test:
	CMPQ BX, DX
	JL   leaf
	RET

// func addLeavesAVX2(p *block, n int, values *float64)
//
// DI block, SI values, R8 sums, R9 the number of a combination, R10 their end;
// BX to DX the trees' parts of value.
TEXT ·addLeavesAVX2(SB), NOSPLIT, $0-24
	MOVQ p+0(FP), DI
	MOVQ n+8(FP), DX
	MOVQ values+16(FP), SI
	MOVQ block_sums(DI), R8
	MOVQ block_cells(DI), R10
	LEAQ block_value(DI), R11
	LEAQ (DX)(DX*2), DX
	LEAQ (R11)(DX*8), DX
	XORQ R9, R9

combination:
	VMOVUPD (R8), Y0
	MOVQ R11, BX

tree:
	MOVQ (BX), AX
	ADDQ $24, BX                    // a slice
	MOVL (AX)(R9*4), AX
	SHLQ $5, AX
	VADDPD (SI)(AX*1), Y0, Y0
	CMPQ BX, DX
	JNE  tree
	VMOVUPD Y0, (R8)
	ADDQ $32, R8
	INCQ R9
	CMPQ R9, R10
	JNE  combination
	VZEROUPPER
	RET
