package figure_test

import (
	"log"
	"testing"

	"github.com/meshbench/meshbench/lab/figure"
)

func ExampleDotPanels() {
	var panels []figure.DotPanel
	for k, objective := range []string{"MO1", "MO2"} {
		p := figure.DotPanel{Axes: figure.Axes{Title: objective, Y: "ANR"}}
		for n, policy := range []string{"static", "proportional", "greedy", "learned"} {
			for l, load := range []string{"random", "sinusoidal", "bursts of requests"} {
				v := .7 + .08*float64(n) - .05*float64(k) - .03*float64(l)
				p.Bars = append(p.Bars, figure.Bar{Group: load, Name: policy, Value: v, Lo: v - .04, Hi: v + .02})
			}
		}
		panels = append(panels, p)
	}
	f, err := figure.DotPanels(2, panels...)
	if err != nil {
		log.Fatal(err)
	}
	if err := f.Save("figures", "dotpanels"); err != nil {
		log.Fatal(err)
	}
}

func TestDotPanels(t *testing.T) {
	example(t, "dotpanels", ExampleDotPanels)
	// Ten policies under six loads, with long names.
	var bars []figure.Bar
	for l, load := range []string{"random", "sinusoidal", "bursts of requests", "flash crowd", "recorded trace of a large provider", "constant"} {
		for n, policy := range []string{"static", "proportional", "greedy", "threshold", "round robin", "least outstanding requests", "learned, one seed", "learned, mean of five seeds", "model predictive control with a forest", "random"} {
			v := .95 - .05*float64(n) - .02*float64(l)
			bars = append(bars, figure.Bar{Group: load, Name: policy, Value: v, Lo: v - .03, Hi: v + .02})
		}
	}
	f, err := figure.Dots(figure.Axes{X: "load", Y: "ANR", Min: 0, Max: 1.05}, bars...)
	golden(t, "dots-many", f, err)
	for _, columns := range []int{0, -1} {
		if _, err := figure.DotPanels(columns, figure.DotPanel{Bars: bars}); err == nil {
			t.Errorf("drawn in %d columns", columns)
		}
	}
	if _, err := figure.DotPanels(1); err == nil {
		t.Error("no panel is drawn")
	}
}
