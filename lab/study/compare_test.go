package study

import (
	"math"
	"testing"
)

// The stored scores are those that the published trace is known to give: NMAE
// .1029 .1022 .0805 .0805 over five splits by row, sd about .001.
func TestScikitLearn(t *testing.T) {
	r, err := ScikitLearn()
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]float64{"d11": .1029, "d12": .1022, "d21": .0805, "d22": .0805}
	rows := 0
	for _, s := range r.Scores {
		if s.Split != "row" {
			continue
		}
		rows++
		if math.Abs(s.NMAE-want[s.Target]) > .002 {
			t.Errorf("%s: NMAE %v, want about %v", s.Target, s.NMAE, want[s.Target])
		}
	}
	if rows != 4 || len(r.Scores) != 8 {
		t.Errorf("%d scores, %d of them by row; want 8 and 4", len(r.Scores), rows)
	}
}
