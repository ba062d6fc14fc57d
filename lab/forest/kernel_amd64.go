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

//go:noescape
func totalAVX2(items uint64, keys *uint64, sums, total *sum) (differ uint64)

// scanAVX2 is scanSmall for each feature whose byte of differ is not 0, at
// least one; it returns their number.
//
//go:noescape
func scanAVX2(n *smallNode, keys *uint64, differ uint64, found *candidate) int

// fillAVX2 is fill of n > 0 items, by at least one active
// feature, for one plane.
//
//go:noescape
func fillAVX2(bins, sums *sum, items *uint32, n int, codes *uint32, stride int, features *int, active int, base *int)

// gainsAVX2 writes the gain of a split after each of n > 0 bins. Where a side
// is empty it means nothing.
//
//go:noescape
func gainsAVX2(bins *sum, n int, total *sum, mean *centre, reciprocal, gains *float64)

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
