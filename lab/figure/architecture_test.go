package figure_test

import (
	"log"
	"testing"

	"github.com/meshbench/meshbench/lab/figure"
)

func ExampleArchitecture() {
	f, err := figure.Architecture(figure.Deployment{
		Generators: []string{"load of service 1", "load of service 2"},
		Nodes:      []string{"node 1", "node 2", "node 3"},
		Databases:  []string{"database"},
	})
	if err != nil {
		log.Fatal(err)
	}
	if err := f.Save("figures", "architecture"); err != nil {
		log.Fatal(err)
	}
}

func TestArchitecture(t *testing.T) {
	example(t, "architecture", ExampleArchitecture)
	f, err := figure.Architecture(figure.Deployment{Nodes: []string{"one node"}, Front: "ingress gateway", Proxy: "Envoy", Control: "Istio", Weights: "weights"})
	golden(t, "architecture-one", f, err)
	f, err = figure.Architecture(figure.Deployment{Nodes: []string{"a", "b", "c", "d"}, Databases: []string{"a's", "b's", "c's", "d's"}})
	golden(t, "architecture-four", f, err)
	for _, d := range []figure.Deployment{{}, {Nodes: []string{"a", "b", "c"}, Databases: []string{"x", "y"}}} {
		if _, err := figure.Architecture(d); err == nil {
			t.Errorf("%v is drawn", d)
		}
	}
}
