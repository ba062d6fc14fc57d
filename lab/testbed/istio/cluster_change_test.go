package istio

import (
	"context"
	"testing"

	"github.com/meshbench/meshbench/lab/change"
)

// A node whose cores are cut by the API works the longer for each request, serves
// on, and is itself again after Reset.
func TestClusterChange(t *testing.T) {
	bed := scaledBed(t)
	a := even(1, 1, 2, 2)
	work := func() float64 { // busy time for each request that node1 answered
		busy, answered := 0.0, 0.0
		for range 4 {
			x := calm(t, bed, a)
			wantNoneFailed(t, x)
			busy += x.Busy[0] * bed.Timing().Step
			for e, at := range bed.Space().Layout().Endpoints {
				if at.Node == 0 {
					answered += x.Endpoint[e].Count
				}
			}
		}
		return busy / answered
	}
	calm(t, bed, a)
	before := work()
	c := change.As(bed.Space().Layout())
	c.Speed[0] = .5
	if err := bed.Change(context.Background(), c); err != nil {
		t.Fatal(err)
	}
	calm(t, bed, a) // the node looks at its limit every now and then
	after := work()
	if ratio := after / before; ratio < 1.5 || ratio > 2.6 {
		t.Errorf("with half of its cores node1 works %.2f times as long for a request", ratio)
	}
	wantInForce(t, bed, a, 0)
	if err := bed.Reset(context.Background(), 1); err != nil {
		t.Fatal(err)
	}
	calm(t, bed, a)
	if ratio := work() / before; ratio < .75 || ratio > 1.35 {
		t.Errorf("after Reset it works %.2f times as long", ratio)
	}
}
