package figure_test

import (
	"log"
	"math"
	"testing"

	"github.com/meshbench/meshbench/lab/figure"
)

func ExampleRatios() {
	f, err := figure.Ratios(figure.Axes{X: "times as fast as the other library"},
		figure.Ratio{Name: "fit of a forest", Value: 5.2, Lo: 4.7, Hi: 5.9},
		figure.Ratio{Name: "prediction, one row", Value: 41, Lo: 36, Hi: 44},
		figure.Ratio{Name: "PPO update", Value: 1.3, Lo: 1.2, Hi: 1.35},
		figure.Ratio{Name: "environment step", Value: .62, Lo: .55, Hi: .7},
		figure.Ratio{Name: "not measured yet", Value: math.NaN()})
	if err != nil {
		log.Fatal(err)
	}
	if err := f.Save("figures", "ratios"); err != nil {
		log.Fatal(err)
	}
}

func TestRatios(t *testing.T) {
	example(t, "ratios", ExampleRatios)
	if _, err := figure.Ratios(figure.Axes{}); err == nil {
		t.Error("no ratio is drawn")
	}
}
