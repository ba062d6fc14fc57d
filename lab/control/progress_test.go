package control_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/meshbench/meshbench/lab/control"
	"github.com/meshbench/meshbench/lab/internal/modeltest"
	"github.com/meshbench/meshbench/lab/load"
	"github.com/meshbench/meshbench/lab/mesh"
	"github.com/meshbench/meshbench/lab/objective"
)

// What is asked for step by step, 5 s a step, and what is in force and on its
// way after each.
func TestProgress(t *testing.T) {
	for _, tt := range []struct {
		name string
		knob mesh.Knob
		ask  []float64
		want string // "in force: on its way@left ..." after each step
	}{
		{"up after its time", mesh.Knob{Up: 10}, []float64{3, 3, 3}, "1: 3@5|3:|3:"},
		{"at once without a time", mesh.Knob{Up: -1}, []float64{3, 2}, "3:|2:"},
		{"down at once", mesh.Knob{Up: 5}, []float64{5, 2}, "5:|2:"},
		{"down after its time", mesh.Knob{Up: -1, Down: 10}, []float64{5, 2, 2}, "5:|5: 2@5|2:"},
		{"one after the other", mesh.Knob{Up: 15}, []float64{2, 3, 4, 4, 4}, "1: 2@10|1: 2@5 3@10|2: 3@5 4@10|3: 4@5|4:"},
		{"given up", mesh.Knob{Up: 15}, []float64{4, 1, 1}, "1: 4@10|1:|1:"},
		{"given up in part", mesh.Knob{Up: 15}, []float64{4, 3, 3}, "1: 4@10|1: 3@5|3:"},
		{"the later ones given up", mesh.Knob{Up: 15}, []float64{2, 4, 2, 2}, "1: 2@10|1: 2@5 4@10|2:|2:"},
		{"below what is in force", mesh.Knob{Up: 10}, []float64{3, 3, 5, 2, 2}, "1: 3@5|3:|3: 5@5|2:|2:"},
		{"between points", mesh.Knob{Up: 5}, []float64{2.4}, "2:"},
		{"increments", mesh.Knob{Step: 1, Up: -1}, []float64{5, 5, 1}, "2:|3:|2:"},
		{"increments that take their time", mesh.Knob{Step: 1, Up: 10}, []float64{5, 5, 5, 1, 1}, "1: 2@5|2: 3@5|3: 4@5|3:|2:"},
	} {
		tt.knob.Kind, tt.knob.Min, tt.knob.Max = mesh.Replicas, 1, 5
		space, err := mesh.NewSpace(mesh.New(1, 1), tt.knob)
		if err != nil {
			t.Fatal(err)
		}
		p := control.NewProgress(space)
		var got []string
		for _, v := range tt.ask {
			p.Ask(mesh.Action{v})
			p.Advance(5)
			now, pending := p.InForce()
			s := fmt.Sprint(now[0], ":")
			for _, x := range pending {
				s += fmt.Sprintf(" %v@%g", space.Knobs()[0].Points[x.Point][0], x.Left)
			}
			got = append(got, strings.Replace(s, " :", ":", 1))
		}
		if text := strings.Join(got, "|"); text != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, text, tt.want)
		}
	}
}

// What comes or goes in the first half of a step is in force in it.
func TestProgressStep(t *testing.T) {
	space, err := mesh.NewSpace(mesh.New(1, 1), mesh.Knob{Kind: mesh.Replicas, Min: 1, Max: 5, Up: 7, Down: 1, Cost: 1})
	if err != nil {
		t.Fatal(err)
	}
	p := control.NewProgress(space)
	var got []string
	for _, v := range []float64{3, 3, 3, 1} {
		s := p.Step(mesh.Action{v}, 5)
		got = append(got, fmt.Sprint(s.Action[0], s.Asked[0], s.Before[0], s.Cost))
	}
	if text := strings.Join(got, " | "); text != "1 3 1 3 | 3 3 3 3 | 3 3 3 3 | 1 1 3 1" {
		t.Errorf("in force, asked, before, paid: %s", text)
	}
}

// A replica is paid from when it is asked for and serves when it is there; the
// state says how far it is.
func TestSimulatorOfSlowKnobs(t *testing.T) {
	space, err := mesh.NewSpace(mesh.New(1, 1), mesh.Knob{Kind: mesh.Replicas, Min: 1, Max: 4, Up: 10, Cost: 2})
	if err != nil {
		t.Fatal(err)
	}
	o := objective.Objective{Name: "o", Targets: []objective.Target{{Goal: .5}}, Terms: []objective.Term{
		{Product: []objective.Factor{{Of: objective.Met, Service: "service1"}}},
		{Weight: -.1, Product: []objective.Factor{{Of: objective.Cost}}},
		{Weight: -.01, Product: []objective.Factor{{Of: objective.Changed}}},
	}}
	s := control.NewSimulator(modeltest.Pool{Of: space}, control.Timing{Step: 5, Settle: -1})
	e, err := control.NewEnv(s, load.Constant{Load: mesh.Load{1}}, o, control.Config{Seconds: 5})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := e.Reset(context.Background(), 1); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, replicas := range []float64{1, 2, 2, 2, 1} {
		x, err := e.Step(context.Background(), mesh.Action{replicas})
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, fmt.Sprintf("%v %.2f %v %v %.0f %v", x.Action[0], x.Reward, x.Cost, x.Missed, x.Next.Time, x.Next.Pending))
	}
	want := []string{"1 -0.20 2 true 5 []", "1 -0.41 4 true 10 [{0 1 5}]", "1 -0.40 4 true 15 []", "2 0.60 4 false 20 []", "1 -0.21 2 true 25 []"}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("steps\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}
