package figure_test

import (
	"fmt"
	"log"
	"testing"

	"github.com/meshbench/meshbench/lab/figure"
)

func ExampleCallGraph() {
	profile := figure.GraphCall{Microservice: "profile", Nodes: []string{"node1", "node2"}}
	f, err := figure.CallGraph("front node",
		figure.GraphService{Name: "search", Stages: [][]figure.GraphCall{
			{{Microservice: "geo", Nodes: []string{"node1", "node2"}}, {Microservice: "rate", Nodes: []string{"node2", "node3"}}},
			{profile}}},
		figure.GraphService{Name: "recommend", Stages: [][]figure.GraphCall{{{Microservice: "recommendation", Nodes: []string{"node3"}}}, {profile}}},
		figure.GraphService{Name: "reserve", Stages: [][]figure.GraphCall{
			{{Microservice: "user", Nodes: []string{"node1"}}}, {{Microservice: "reservation", Nodes: []string{"node1", "node2", "node3"}}}}})
	if err != nil {
		log.Fatal(err)
	}
	if err := f.Save("figures", "callgraph"); err != nil {
		log.Fatal(err)
	}
}

func TestCallGraph(t *testing.T) {
	example(t, "callgraph", ExampleCallGraph)
	var nodes []string
	for k := range 9 {
		nodes = append(nodes, fmt.Sprintf("node%d", k+1))
	}
	call := func(name string) figure.GraphCall { return figure.GraphCall{Microservice: name, Nodes: nodes} }
	f, err := figure.CallGraph("ingress",
		figure.GraphService{Name: "a service with a long name", Stages: [][]figure.GraphCall{{call("one")}, {}, {call("two"), call("a microservice of many words")}, {call("three")}, {call("four")}, {call("five")}, {call("six")}}},
		figure.GraphService{Name: "no call"})
	golden(t, "callgraph-long", f, err)
	if _, err := figure.CallGraph("front"); err == nil {
		t.Error("no service is drawn")
	}
}
