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
	// load: unknown pattern "sinus"; accepted: random, uniform, sinusoidal, constant, step, flashcrowd, constant:RATE, constant:RATE,RATE..., replay:FILE
}

// The requests of service 0 in step 3 at 2 requests/s.
func ExampleArrivals() {
	fmt.Printf("%.3f\n", load.Arrivals(nil, 2, 2, 1, 3, 0))
	// Output: [0.071 0.966]
}
