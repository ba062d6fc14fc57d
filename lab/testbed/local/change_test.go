package local_test

import (
	"context"
	"math"
	"testing"

	"github.com/meshbench/meshbench/lab/change"
	"github.com/meshbench/meshbench/lab/mesh"
	"github.com/meshbench/meshbench/lab/testbed/local"
)

// Under a condition the servers have as much to do as it says, a lost node answers
// nothing, and Reset undoes all of it.
func TestChange(t *testing.T) {
	s := open(t, "two-pools")
	s.Work[0].Items = 50
	s.Knobs[1].Up, s.Knobs[2].Up = -1, -1
	b := start(t, local.Config{Scenario: s, TimeScale: 10.0 / slower, Timeout: 400})
	ctx := context.Background()
	l := b.Space().Layout()
	a := mesh.Action{.6, .4, 2, 1}
	const load = 10.
	work := func(c change.Condition) (busy [2]float64, x mesh.Measurement) {
		t.Helper()
		if err := b.Change(ctx, c); err != nil {
			t.Fatal(err)
		}
		const steps = 4
		for range steps {
			var err error
			if x, err = b.Measure(ctx, mesh.Load{load}, a); err != nil {
				t.Fatal(err)
			}
			for j := range busy {
				busy[j] += x.Busy[j] / steps
			}
		}
		return busy, x
	}
	about := func(what string, got, want float64) {
		t.Helper()
		if math.Abs(math.Log(got/want)) > .4 {
			t.Errorf("%s: %.3f servers at work, want about %.3f", what, got, want)
		}
	}
	as, _ := work(change.As(l))
	near, far := as[0], as[1]
	about("near", near, load*.6*.07)
	about("far", far, load*.4*.07/.8)
	c := change.As(l)
	c.Speed[0] = .5
	slow, _ := work(c)
	about("near at half of its speed", slow[0], 2*near)
	about("far beside it", slow[1], far)
	c.Work[0] = 1.5
	heavy, _ := work(c)
	about("near at half of its speed with more work", heavy[0], 3*near)
	c = change.As(l)
	c.Speed[1] = 0
	if _, x := work(c); x.Endpoint[1].Count > 0 || x.Failed[0] == 0 || x.Endpoint[0].Count == 0 {
		t.Errorf("with far lost: %v answered there, %v at near, %v failed", x.Endpoint[1].Count, x.Endpoint[0].Count, x.Failed[0])
	}
	if err := b.Reset(ctx, 1); err != nil {
		t.Fatal(err)
	}
	x, err := b.Measure(ctx, mesh.Load{load}, a)
	if err != nil || x.Failed[0] > 0 || x.Endpoint[1].Count == 0 {
		t.Errorf("after Reset %v failed, %v answered at far (%v)", x.Failed[0], x.Endpoint[1].Count, err)
	}
	if err := b.Change(ctx, change.Condition{}); err == nil {
		t.Error("a condition of no mesh was accepted")
	}
}
