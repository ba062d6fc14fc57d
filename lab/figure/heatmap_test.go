package figure_test

import (
	"fmt"
	"log"
	"math"
	"testing"

	"github.com/meshbench/meshbench/lab/figure"
)

func ExampleHeatMap() {
	f, err := figure.HeatMap(figure.Matrix{
		RowLabel: "trained on", ColumnLabel: "deployed on",
		RowNames:    []string{"random", "sinusoidal", "bursts"},
		ColumnNames: []string{"random", "sinusoidal", "bursts", "flash crowd"},
		Values:      [][]float64{{.993, .981, .952, .71}, {.902, .996, .871, .64}, {.941, .93, .985, math.NaN()}},
		Decimals:    3,
	})
	if err != nil {
		log.Fatal(err)
	}
	if err := f.Save("figures", "heatmap"); err != nil {
		log.Fatal(err)
	}
}

func TestHeatMap(t *testing.T) {
	example(t, "heatmap", ExampleHeatMap)
	gains := figure.Matrix{Title: "gain over the best static policy (%)", Diverging: true, Decimals: 1}
	for r := range 12 {
		gains.RowNames = append(gains.RowNames, fmt.Sprintf("application %d with a long name", r+1))
		var row []float64
		for c := range 14 {
			row = append(row, float64((r*7+c*5)%23)-9)
		}
		row[r] = math.NaN()
		gains.Values = append(gains.Values, row)
	}
	for c := range 14 {
		gains.ColumnNames = append(gains.ColumnNames, fmt.Sprintf("policy %d", c+1))
	}
	f, err := figure.HeatMap(gains)
	golden(t, "heatmap-diverging", f, err)
	for _, m := range []figure.Matrix{{}, {RowNames: []string{"a"}, ColumnNames: []string{"b"}}, {RowNames: []string{"a"}, ColumnNames: []string{"b"}, Values: [][]float64{{1, 2}}}} {
		if _, err := figure.HeatMap(m); err == nil {
			t.Errorf("%v is drawn", m)
		}
	}
}
