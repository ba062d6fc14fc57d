package request_test

import (
	"fmt"
	"log"

	"go.yaml.in/yaml/v3"

	"github.com/meshbench/meshbench/lab/load/request"
)

// A mix of two kinds of requests, one of which is a session. The same number
// draws the same requests.
func Example() {
	var mix request.Mix
	err := yaml.Unmarshal([]byte(`
- path: /product/{id}
  weight: 2
  values: {id: {min: 1, max: 500}}
- values: {user: [anna, bob]}
  session:
    - {method: POST, path: "/cart/{user}", expect: [201]}
    - {path: "/checkout/{user}"}
`), &mix)
	if err != nil {
		log.Fatal(err)
	}
	plan, err := request.Compile(mix)
	if err != nil {
		log.Fatal(err)
	}
	for draw := range uint64(4) {
		calls, _ := plan.Draw(draw)
		for _, c := range calls {
			fmt.Println(draw, c.Method, c.Path, c.Expect)
		}
	}
	fmt.Printf("%.3f requests to an arrival\n", plan.Length())
	// Output:
	// 0 POST /cart/anna [201]
	// 0 GET /checkout/anna [200]
	// 1 GET /product/71 [200]
	// 2 GET /product/419 [200]
	// 3 GET /product/376 [200]
	// 1.333 requests to an arrival
}
