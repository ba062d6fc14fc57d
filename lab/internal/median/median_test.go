package median

import (
	"math"
	"slices"
	"testing"
)

func TestOf(t *testing.T) {
	for _, tt := range []struct {
		v    []float64
		want float64
	}{
		{[]float64{3}, 3},
		{[]float64{9, 1, 2}, 2},
		{[]float64{4, 1, 9, 2}, 3},
	} {
		before := slices.Clone(tt.v)
		if got := Of(tt.v); got != tt.want || !slices.Equal(tt.v, before) {
			t.Errorf("median of %v: %v, want %v; then %v", before, got, tt.want, tt.v)
		}
	}
	if got := Of(nil); !math.IsNaN(got) {
		t.Errorf("median of nothing: %v, want NaN", got)
	}
}
