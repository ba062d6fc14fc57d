//go:build amd64 && !purego

package forest

import (
	"unsafe"

	"golang.org/x/sys/cpu"
)

// The assembly shifts by 6 to step over items.
var _ [64]byte = [unsafe.Sizeof(item{})]byte{}

// useAVX2 chooses the assembly, which gives the same bytes as the portable
// code. Tests switch it.
var useAVX2 = cpu.X86.HasAVX2 && cpu.X86.HasBMI1 && cpu.X86.HasBMI2 && cpu.X86.HasPOPCNT

// addAVX2 is addAll of n > 0 items.
//
//go:noescape
func addAVX2(h *bins, items *item, list *uint32, n int, features uint64)

// addSetAVX2 is addSet; negate is 0 to add and ^0 to subtract.
//
//go:noescape
func addSetAVX2(h *bins, items *item, set, features, negate uint64)

// subAVX2 is sub of n > 0 bins.
//
//go:noescape
func subAVX2(h, s *bins, n int)

// bestAVX2 is best.
//
//go:noescape
func bestAVX2(h *bins, s *search)

// descendAVX2 is descend. It fetches nodes into the cache ahead of their turn.
//
//go:noescape
func descendAVX2(p *block, nodes *node, from, end, to int) (next, leaves int)

// spreadAVX2 is spread. It fetches the leaves' values into the cache.
//
//go:noescape
func spreadAVX2(p *block, value *uint32, leaves int, values *float64)

// addLeavesAVX2 is add of n > 0 trees, for four outputs.
//
//go:noescape
func addLeavesAVX2(p *block, n int, values *float64)
