//go:build !amd64 || purego

package forest

// useAVX2 is never set: there is no assembly for this machine.
var useAVX2 = false

func addAVX2(*bins, *item, *uint32, int, uint64) { panic("forest: no AVX2") }

func addSetAVX2(*bins, *item, uint64, uint64, uint64) { panic("forest: no AVX2") }

func subAVX2(_, _ *bins, _ int) { panic("forest: no AVX2") }

func bestAVX2(*bins, *search) { panic("forest: no AVX2") }

func descendAVX2(*block, *node, int, int, int) (next, leaves int) { panic("forest: no AVX2") }

func spreadAVX2(*block, *uint32, int, *float64) { panic("forest: no AVX2") }

func addLeavesAVX2(*block, int, *float64) { panic("forest: no AVX2") }
