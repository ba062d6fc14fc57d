package card_test

import (
	"fmt"

	"github.com/meshbench/meshbench/lab/card"
	"github.com/meshbench/meshbench/lab/load"
)

// A card says what an artefact is, and where it must not be used.
func ExampleCard_Markdown() {
	c := card.Card{
		What: card.Policy, Scenario: "shop", Mesh: "shop on a,b; p11 p12", Services: []string{"shop"}, Loads: load.Ranges{{Min: 5, Max: 20}},
		Data:      card.Data{Title: "local testbed", Rows: 6000, Licence: "MIT"},
		Objective: "useful", Setting: "best", Seed: 1,
		Scores: []card.Score{{Name: "ANR", Value: .97, Of: "on the testbed, five runs", Trivial: .81}},
		Limits: []string{"Loads above 20 requests/s."},
	}
	fmt.Printf("%s", c.Markdown())
	// Output:
	// # Card of a policy for scenario shop
	//
	// |                     |                      |
	// |---------------------|----------------------|
	// | mesh and knobs      | shop on a,b; p11 p12 |
	// | load of shop        | 5 to 20 requests/s   |
	// | learned from        | local testbed        |
	// | rows                | 6000                 |
	// | licence of the data | MIT                  |
	// | objective           | useful               |
	// | setting             | best                 |
	// | seed                | 1                    |
	//
	// ## How good
	//
	// | score | value | the best single action | measured                  |
	// |-------|-------|------------------------|---------------------------|
	// | ANR   | 0.97  | 0.81                   | on the testbed, five runs |
	//
	// ## Where it must not be used
	//
	// - Loads above 20 requests/s.
}
