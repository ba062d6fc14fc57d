package load_test

import (
	"fmt"

	"github.com/meshbench/meshbench/lab/load"
)

// The paper's two load patterns.
func Example() {
	loads := load.Ranges{{Min: 5, Max: 20}, {Min: 5, Max: 20}}
	for _, p := range []load.Pattern{load.Random{Ranges: loads}, load.Sinusoidal{Ranges: loads}} {
		fmt.Print(p.Name(), ":")
		for t := 0; t < 400; t += 100 {
			fmt.Print(" ", p.At(nil, 1, t))
		}
		fmt.Println()
	}
	// Output:
	// random: [20 10] [5 10] [10 10] [15 20]
	// sinusoidal: [12.5 19] [19 12.5] [19 6] [12.5 6]
}

func ExampleParse() {
	loads := load.Ranges{{Min: 5, Max: 20}, {Min: 1, Max: 4}}
	p, err := load.Parse("constant:20,5", loads)
	fmt.Println(p.At(nil, 0, 0), err)
	_, err = load.Parse("sinus", loads)
	fmt.Println(err)
	// Output:
	// [20 5] <nil>
	// load: unknown pattern "sinus"; accepted: random, uniform, sinusoidal, diurnal, bursty, ramp, step, flashcrowd, constant, constant:RATE, constant:RATE,RATE..., replay:FILE, NAME:OPTION=VALUE,..., mixed:NAME+NAME..., switching:NAME+NAME...
}

// The requests of service 0 in step 3 at 2 requests/s.
func ExampleArrivals() {
	fmt.Printf("%.3f\n", load.Arrivals(nil, 2, 2, 1, 3, 0))
	// Output: [0.071 0.966]
}

// A policy is trained on loads of one seed and tested on loads of the same kind
// that another seed draws.
func ExampleDiurnal() {
	loads := load.Ranges{{Min: 10, Max: 100, Quantum: 1}}
	day := load.Diurnal{Ranges: loads, Period: 24, Correlation: 2, Jitter: .1}
	for _, seed := range []uint64{1, 2} {
		var every2 []float64
		for t := 0; t < 24; t += 2 {
			every2 = append(every2, day.At(nil, seed, t)...)
		}
		fmt.Println(every2)
	}
	// Output:
	// [10 20 45 60 66 54 55 77 94 92 61 22]
	// [11 21 45 65 65 62 62 79 95 88 60 24]
}

// Bursts of 5 steps in the mean, every now and then higher ones.
func ExampleBursty() {
	bursts := load.Bursty{Ranges: load.Ranges{{Min: 0, Max: 9}}, Regimes: []load.Regime{
		{Level: 0, Sojourn: 8, Weight: 2}, {Level: .5, Sojourn: 5, Weight: 2}, {Level: 1, Sojourn: 5},
	}}
	for t := range 60 {
		fmt.Print(bursts.At(nil, 3, t)[0], " ")
	}
	fmt.Println()
	// Output:
	// 4.5 4.5 4.5 4.5 4.5 4.5 4.5 4.5 0 0 0 0 0 0 0 0 0 0 0 0 4.5 4.5 0 4.5 4.5 4.5 4.5 4.5 0 0 0 0 0 4.5 4.5 4.5 9 9 9 4.5 4.5 0 0 0 0 0 0 0 0 0 4.5 4.5 4.5 4.5 4.5 4.5 0 0 0 4.5
}
