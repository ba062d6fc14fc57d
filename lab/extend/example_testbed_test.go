package extend_test

import (
	"context"
	"fmt"
	"time"

	"github.com/meshbench/meshbench/lab/control"
	"github.com/meshbench/meshbench/lab/mesh"
	"github.com/meshbench/meshbench/lab/scenario"
	"github.com/meshbench/meshbench/lab/testbed"
	"github.com/meshbench/meshbench/lab/trace"
)

// ideal is a testbed without queues: every call takes its service time.
type ideal struct {
	scenario scenario.Scenario
	space    *mesh.Space
}

var _ testbed.Testbed = ideal{}

func (ideal) Name() string                        { return "ideal" }
func (b ideal) Space() *mesh.Space                { return b.space }
func (b ideal) Timing() control.Timing            { return b.scenario.Timing }
func (ideal) TimeScale() float64                  { return 1 }
func (ideal) Now() time.Time                      { return time.Time{} }
func (ideal) Close() error                        { return nil }
func (ideal) Reset(context.Context, uint64) error { return nil }

func (b ideal) Measure(_ context.Context, load mesh.Load, a mesh.Action) (mesh.Measurement, error) {
	if err := control.CheckStep(b.space, load, a); err != nil {
		return mesh.Measurement{}, err
	}
	l := b.space.Layout()
	x := mesh.NewMeasurement(l)
	times := b.scenario.ServiceTimes()
	for i := range load {
		x.Generated[i], x.Carried[i] = load[i], load[i]*(1-b.space.BlockOf(a, i))
		x.Blocked[i], x.Failed[i] = 0, 0
		if x.Carried[i] > 0 {
			x.Service[i].Mean = times[i]
		}
	}
	for e, at := range l.Endpoints {
		if b.space.Reaches(load, a, e) {
			x.Endpoint[e].Mean = b.scenario.Work[l.Calls[at.Call].Microservice].Time
		}
	}
	return x, nil
}

// A testbed: what it controls and one step. Collections, evaluations and all
// policies run on it then.
func Example_testbed() {
	s := scenario.Paper()
	bed := ideal{s, s.MustSpace()}
	c := testbed.Collection{Scenario: s, Steps: 200, Seed: 1}
	meta, err := c.Meta(bed)
	if err != nil {
		fmt.Println(err)
		return
	}
	t := trace.New(meta)
	err = testbed.Collect(context.Background(), bed, t, c)
	fmt.Println(t.Len(), "rows of testbed", t.Meta().Testbed, err)
	fmt.Printf("d1 is %g s\n", t.Row(0).Measurement.Service[0].Mean)
	// Output:
	// 200 rows of testbed ideal <nil>
	// d1 is 0.024 s
}
