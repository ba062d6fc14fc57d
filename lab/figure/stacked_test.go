package figure_test

import (
	"log"
	"math"
	"testing"

	"github.com/meshbench/meshbench/lab/figure"
)

func ExampleStacked() {
	f, err := figure.Stacked(figure.Axes{Y: "cost per hour"}, []string{"machines", "violations"},
		figure.Stack{Name: "static", Parts: []float64{8, 1.2}},
		figure.Stack{Name: "threshold", Parts: []float64{4.1, 5.5}},
		figure.Stack{Name: "learned", Parts: []float64{4.6, .7}})
	if err != nil {
		log.Fatal(err)
	}
	if err := f.Save("figures", "stacked"); err != nil {
		log.Fatal(err)
	}
}

func TestStacked(t *testing.T) {
	example(t, "stacked", ExampleStacked)
	f, err := figure.Stacked(figure.Axes{Y: "saved"}, []string{"a", "b", "c"},
		figure.Stack{Name: "gains and losses", Parts: []float64{3, -2, -1.5}}, figure.Stack{Name: "a part missing", Parts: []float64{2, math.NaN(), 1}},
		figure.Stack{Name: "nothing", Parts: []float64{0, 0, 0}}, figure.Stack{Name: "unknown", Parts: []float64{math.NaN(), math.NaN(), math.NaN()}})
	golden(t, "stacked-negative", f, err)
	for name, draw := range map[string]func() (figure.Figure, error){
		"no bar": func() (figure.Figure, error) { return figure.Stacked(figure.Axes{}, []string{"a"}) },
		"another number of parts": func() (figure.Figure, error) {
			return figure.Stacked(figure.Axes{}, []string{"a"}, figure.Stack{Parts: []float64{1, 2}})
		},
		"logarithm": func() (figure.Figure, error) {
			return figure.Stacked(figure.Axes{LogY: true}, []string{"a"}, figure.Stack{Parts: []float64{1}})
		},
	} {
		if _, err := draw(); err == nil {
			t.Errorf("%s: drawn", name)
		}
	}
}
