package split

import (
	"fmt"
	"math"
	"slices"
	"testing"
)

func deal(s *Splitter, n int) []int {
	parts := make([]int, n)
	for k := range parts {
		parts[k] = s.Next()
	}
	return parts
}

// After every block the counts are within one of weight x decisions, also for
// weights that do not divide a block.
func TestSplitterIsExact(t *testing.T) {
	for _, weight := range [][]float64{{.8, .2}, {1, 0}, {0, 1}, {.63, .37}, {1. / 3, 1. / 3, 1. / 3}, {.01, .01, .98}} {
		t.Run(fmt.Sprint(weight), func(t *testing.T) {
			s := New(len(weight), 1)
			s.Set(weight...)
			count := make([]float64, len(weight))
			for n := 1; n <= 10_000; n++ {
				count[s.Next()]++
				for j, w := range weight {
					if w == 0 && count[j] > 0 {
						t.Fatalf("part %d of weight 0 was given", j)
					}
					if n%block == 0 && math.Abs(count[j]-w*float64(n)) > 1 {
						t.Fatalf("part %d has %v of %d decisions", j, count[j], n)
					}
				}
			}
		})
	}
}

// Within a block the order is random: a part follows itself about as often as
// in independent draws. A rotation would never let the parts of (.5, .5) do so.
func TestSplitterIsRandom(t *testing.T) {
	s := New(2, 1)
	s.Set(.5, .5)
	parts := deal(s, 10_000)
	repeats := 0
	for k := 1; k < len(parts); k++ {
		if parts[k] == parts[k-1] {
			repeats++
		}
	}
	// Drawn without replacement, 9 of the other 19 of a block are the same; of the
	// pairs that lie across two blocks, one in 20, half are.
	if want := 9999 * (.95*9./19 + .05*.5); math.Abs(float64(repeats)-want) > 4*math.Sqrt(9999*.25) {
		t.Errorf("%d of 9999 decisions repeat the one before, want about %.0f", repeats, want)
	}
}

func TestSplitterSeed(t *testing.T) {
	order := func(seed uint64) []int {
		s := New(2, 99)
		s.Set(.5, .5)
		deal(s, 7)
		s.Reset(seed)
		return deal(s, 100)
	}
	if a, b := order(1), order(1); !slices.Equal(a, b) {
		t.Error("one seed gave two orders")
	}
	if a, b := order(1), order(2); slices.Equal(a, b) {
		t.Error("two seeds gave one order")
	}
}

// New weights hold from the next request; weights that are already set leave
// the block as it is.
func TestSplitterSet(t *testing.T) {
	s := New(2, 1)
	if got := deal(s, 5); !slices.Equal(got, []int{0, 0, 0, 0, 0}) {
		t.Errorf("a new splitter gives %v", got)
	}
	s.Set(0, 1)
	if got := deal(s, 5); !slices.Equal(got, []int{1, 1, 1, 1, 1}) {
		t.Errorf("after a change: %v", got)
	}
	s.Set(.9, .1)
	ones := 0
	for range block {
		s.Set(.9, .1)
		ones += s.Next()
	}
	if ones != 2 {
		t.Errorf("weight .1, set before each of %d requests, was given to %d", block, ones)
	}
}
