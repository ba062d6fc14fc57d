package extend_test

import (
	"context"
	"fmt"

	"github.com/meshbench/meshbench/lab/control"
	"github.com/meshbench/meshbench/lab/mesh"
)

// linear is a model in which a request takes a node 10 ms, and 1 ms more for
// every request/s that the node gets; a node's cache, if it has one, halves that
// at most.
type linear struct{ space *mesh.Space }

var _ control.Model = linear{}

func (linear) Name() string         { return "linear" }
func (m linear) Space() *mesh.Space { return m.space }

func (m linear) At(s mesh.State) (control.Forecast, error) {
	return &linearForecast{space: m.space, load: s.Load}, nil
}

// linearForecast is of one load, under the action that was set.
type linearForecast struct {
	space  *mesh.Space
	load   mesh.Load
	action mesh.Action
}

func (f *linearForecast) Set(a mesh.Action) error {
	f.action = append(f.action[:0], a...)
	return nil
}

func (f *linearForecast) Mean(x *mesh.Measurement) {
	l := f.space.Layout()
	rate := make([]float64, l.Mesh.N())
	for c, call := range l.Calls {
		x.Carried[call.Service] = f.load[call.Service] * (1 - f.space.BlockOf(f.action, call.Service))
		for k, share := range f.space.RouteOf(f.action, c) {
			rate[call.Nodes[k]] += share * x.Carried[call.Service]
		}
	}
	for i := range x.Service {
		x.Service[i].Mean = 0
	}
	for c, call := range l.Calls {
		for k, share := range f.space.RouteOf(f.action, c) {
			j := call.Nodes[k]
			d := (.010 + .001*rate[j]) * (1 - f.space.Value(f.action, "cache", j, 0)/2)
			x.Endpoint[call.First+k].Mean = d
			x.Service[call.Service].Mean += share * d
		}
	}
}

func (f *linearForecast) Draws() int                      { return 1 }
func (f *linearForecast) Draw(_ int, x *mesh.Measurement) { f.Mean(x) }

// A model of one's own is simulated like any other.
func ExampleModel() {
	space := mesh.Grid(mesh.New(2, 2), 6)
	simulator := control.NewSimulator(linear{space}, control.Timing{})
	x, err := simulator.Measure(context.Background(), mesh.Load{10, 20}, mesh.Action{1, 0, .5, .5, 0, .2})
	if err != nil {
		fmt.Println(err)
		return
	}
	for i, d := range x.Service {
		fmt.Printf("service %d: %.1f ms, %.0f requests/s carried\n", i+1, 1000*d.Mean, x.Carried[i])
	}
	// Output:
	// service 1: 28.0 ms, 10 requests/s carried
	// service 2: 23.0 ms, 16 requests/s carried
}
