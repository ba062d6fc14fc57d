package model

import (
	"slices"
	"testing"

	"github.com/meshbench/meshbench/lab/mesh"
	"github.com/meshbench/meshbench/lab/trace"
)

// What a full queue turns away at one stage does not reach the next: rows of it
// count with what did.
func TestPassed(t *testing.T) {
	call := func(name string, nodes ...string) mesh.Call { return mesh.Call{Microservice: name, Nodes: nodes} }
	m := mesh.Mesh{Nodes: []mesh.Node{{Name: "a"}, {Name: "b"}}, Services: []mesh.Service{{Name: "s", Stages: []mesh.Stage{{call("x", "a")}, {call("y", "b")}, {call("z", "a", "b")}}}}}
	space := mesh.Grid(m, 3)
	p := newPerNode(space, 5)
	row := trace.Row{Measurement: mesh.NewMeasurement(space.Layout())}
	got := make([]float64, 3)
	if p.passed(got, row); !slices.Equal(got, []float64{1, 1, 1}) {
		t.Errorf("without counts %v", got)
	}
	row.Measurement.Carried[0] = 20 // 100 requests
	row.Measurement.Endpoint[0].Count, row.Measurement.Endpoint[1].Count = 60, 30
	if p.passed(got, row); !slices.Equal(got, []float64{1, .6, .3}) {
		t.Errorf("60 of 100 answered at the first stage, 30 at the second: %v", got)
	}
}
