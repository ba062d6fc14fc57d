package forest_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"gonum.org/v1/gonum/mat"

	"github.com/meshbench/meshbench/lab/forest"
)

// measurements are delays at some loads and blocking rates: the delay grows with
// the load that is let in, with two measurements each.
func measurements() (x, y *mat.Dense) {
	x, y = mat.NewDense(40, 2, nil), mat.NewDense(40, 1, nil)
	for r := range 40 {
		load, blocked := float64(5*(1+r/2%5)), float64(r/10)/4
		x.SetRow(r, []float64{load, blocked})
		y.Set(r, 0, 10+load*(1-blocked)+float64(r%2))
	}
	return x, y
}

func ExampleFit() {
	x, y := measurements()
	f, err := forest.Fit(context.Background(), x, y, forest.Config{
		Trees:        50,
		Seed:         1,
		FeatureNames: []string{"load", "blocked"},
		OutputNames:  []string{"delay"},
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s from %s\n", f.Outputs(), f.Features())
	fmt.Printf("load 20, none blocked: %.1f\n", f.Predict(nil, []float64{20, 0}))
	fmt.Printf("load 20, half blocked: %.1f\n", f.Predict(nil, []float64{20, .5}))
	score, err := f.OutOfBagScore()
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("out of bag: R2 %.2f on %d rows\n", score.R2, score.Rows)
	// Output:
	// [delay] from [load blocked]
	// load 20, none blocked: [29.9]
	// load 20, half blocked: [20.4]
	// out of bag: R2 [0.96] on 40 rows
}

func ExampleForest_Quantile() {
	x, y := measurements()
	f, err := forest.Fit(context.Background(), x, y, forest.Config{Trees: 50, MinLeaf: 4, Seed: 1})
	if err != nil {
		log.Fatal(err)
	}
	q := f.Quantile([]float64{20, 0}, .1, .5, .9)[0]
	fmt.Printf("one in ten below %.0f, half below %.0f, nine in ten below %.0f\n", q[0], q[1], q[2])
	// Output:
	// one in ten below 21, half below 29, nine in ten below 36
}

func ExampleForest_Save() {
	x, y := measurements()
	f, err := forest.Fit(context.Background(), x, y, forest.Config{Trees: 50})
	if err != nil {
		log.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "delays.forest")
	f.Meta["trace"] = "measurements of an example"
	if err := f.Save(path); err != nil {
		log.Fatal(err)
	}
	g, err := forest.Load(path)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(g.Trees(), "trees of", g.Meta["trace"])
	fmt.Println("the same:", mat.Equal(f.PredictMatrix(x), g.PredictMatrix(x)))
	// Output:
	// 50 trees of measurements of an example
	// the same: true
}

func ExampleForest_PredictGrid() {
	x, y := measurements()
	f, err := forest.Fit(context.Background(), x, y, forest.Config{Trees: 50})
	if err != nil {
		log.Fatal(err)
	}
	loads, blocked := []float64{10, 20}, []float64{0, .25, .5}
	table, err := f.PredictGrid(nil, [][]float64{loads, blocked})
	if err != nil {
		log.Fatal(err)
	}
	for k, load := range loads {
		fmt.Printf("load %.0f:", load)
		for l, b := range blocked {
			fmt.Printf("  %.0f %% blocked %.1f", 100*b, table.At(k*len(blocked)+l, 0))
		}
		fmt.Println()
	}
	// Output:
	// load 10:  0 % blocked 20.4  25 % blocked 18.1  50 % blocked 15.5
	// load 20:  0 % blocked 30.1  25 % blocked 25.9  50 % blocked 20.5
}
