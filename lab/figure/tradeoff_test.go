package figure_test

import (
	"fmt"
	"log"
	"testing"

	"github.com/meshbench/meshbench/lab/figure"
)

func ExampleTradeoffs() {
	f, err := figure.Tradeoffs(figure.Axes{X: "cost per hour", Y: "violations (%)"},
		figure.Tradeoff{Name: "static", X: 8, XLo: 7.9, XHi: 8.1, Y: 1.1, YLo: .8, YHi: 1.5},
		figure.Tradeoff{Name: "threshold", X: 4.1, XLo: 3.8, XHi: 4.6, Y: 6.5, YLo: 5.2, YHi: 7.8},
		figure.Tradeoff{Name: "proportional", X: 4.4, XLo: 4.1, XHi: 4.6, Y: 2.4, YLo: 1.9, YHi: 3},
		figure.Tradeoff{Name: "learned, one seed", X: 4.6, XLo: 4.3, XHi: 4.8, Y: 2.1, YLo: 1.2, YHi: 2.6},
		figure.Tradeoff{Name: "learned, the mean of five", X: 4.6, XLo: 4.5, XHi: 4.7, Y: 1.9, YLo: 1.7, YHi: 2.1})
	if err != nil {
		log.Fatal(err)
	}
	if err := f.Save("figures", "tradeoff"); err != nil {
		log.Fatal(err)
	}
}

func TestTradeoffs(t *testing.T) {
	example(t, "tradeoff", ExampleTradeoffs)
	// All at one place, as baselines that do the same are.
	var same []figure.Tradeoff
	for k := range 11 {
		same = append(same, figure.Tradeoff{Name: fmt.Sprintf("policy number %d", k+1), X: 1, Y: 1})
	}
	f, err := figure.Tradeoffs(figure.Axes{X: "cost", Y: "violations"}, same...)
	golden(t, "tradeoff-same", f, err)
	if _, err := figure.Tradeoffs(figure.Axes{}); err == nil {
		t.Error("no point is drawn")
	}
}
