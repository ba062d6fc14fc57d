package study

import (
	"context"
	"testing"

	"github.com/meshbench/meshbench/lab/control"
	"github.com/meshbench/meshbench/lab/mesh"
	"github.com/meshbench/meshbench/lab/policy"
	"github.com/meshbench/meshbench/lab/testbed/virtual"
)

// Watch's chart stays calm on the testbed that the model was learned from, and
// raises its alarm within a few steps on one whose network is slower.
func TestWatch(t *testing.T) {
	ctx := context.Background()
	source, err := Virtual(ctx, paper, 3000, 3)
	if err != nil {
		t.Fatal(err)
	}
	model, calm, err := source.Watch(ctx, 1)
	if err != nil {
		t.Fatal(err)
	}
	simulator := control.NewSimulator(model, control.Timing{})
	pattern := TrialPatterns(paper, 1)[0].Pattern
	slow := paper
	watch := func(link float64) (highest float64, alarm int) {
		slow.Link = link
		bed, err := virtual.New(virtual.Config{Scenario: slow})
		if err != nil {
			t.Fatal(err)
		}
		defer bed.Close()
		chart := *calm
		p := policy.Random{Space: model.Space()}
		p.Reset(7)
		alarm = -1
		for step := range 60 {
			l := pattern.At(nil, 7, step)
			a, err := p.Act(mesh.State{Load: l})
			if err != nil {
				t.Fatal(err)
			}
			x, err := bed.Measure(ctx, l, a)
			if err != nil {
				t.Fatal(err)
			}
			measured := Delays(x)
			y, err := simulator.Measure(ctx, l, a)
			if err != nil {
				t.Fatal(err)
			}
			if v := chart.Add(measured, Delays(y)); v > highest {
				highest = v
				if v >= 1 && alarm < 0 {
					alarm = step
				}
			}
		}
		return highest, alarm
	}
	if highest, _ := watch(paper.Link); highest >= 1 {
		t.Errorf("the testbed as it was: the statistic rises to %.2f, an alarm", highest)
	}
	if highest, alarm := watch(.025); alarm < 0 || alarm > 40 {
		t.Errorf("a network 20 ms slower: alarm at step %d, statistic at most %.2f", alarm, highest)
	}
}
