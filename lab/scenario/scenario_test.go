package scenario_test

import (
	"fmt"
	"testing"

	"github.com/meshbench/meshbench/lab/scenario"
	"github.com/meshbench/meshbench/lab/service/item"
)

func TestBuiltin(t *testing.T) {
	for _, name := range scenario.List() {
		s, err := scenario.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		space := s.MustSpace()
		t.Logf("%s: %s, %s actions; %v", name, s.Title, space.Size(), s.Objectives)
		if s.Name != name {
			t.Errorf("%s has name %q", name, s.Name)
		}
		if _, err := item.NewCatalogue(s.Kinds(), 0); err != nil {
			t.Error(err)
		}
	}
}

func ExamplePaper() {
	s := scenario.Paper()
	fmt.Println(s.Mesh)
	for _, o := range s.Objectives {
		fmt.Println(o)
	}
	for _, k := range s.Kinds() {
		fmt.Printf("%d items of %.0f bytes, shape %.4g\n", k.Items, k.MeanBytes, k.Shape)
	}
	// Output:
	// service1,service2 on node1,node2
	// MO1: carried(service1) utility(service1) + carried(service2) utility(service2)
	// MO2: carried(service1) utility(service1) + 5 carried(service2) utility(service2)
	// MO3: carried(service2) min-load(service1, 5) + carried(service2) utility(service2)
	// 1000 items of 1200 bytes, shape 0.5
	// 2000 items of 3600 bytes, shape 16
}
