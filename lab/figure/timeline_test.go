package figure_test

import (
	"fmt"
	"log"
	"math"
	"testing"

	"github.com/meshbench/meshbench/lab/figure"
)

func ExampleTimelines() {
	greedy, learned := figure.Series{Name: "greedy"}, figure.Series{Name: "learned"}
	for t := range 60 {
		y := 1.
		if t >= 20 && t < 32 {
			y = .4
		}
		greedy.X, greedy.Y = append(greedy.X, float64(t)), append(greedy.Y, y)
		z := .97 - .3*math.Exp(-math.Abs(float64(t)-20)/6)
		learned.X, learned.Y = append(learned.X, float64(t)), append(learned.Y, z)
		learned.Lo, learned.Hi = append(learned.Lo, z-.06), append(learned.Hi, z+.03)
	}
	f, err := figure.Timelines(figure.TimelinePanel{
		Axes:   figure.Axes{X: "step", Y: "reward"},
		Series: []figure.Series{greedy, learned},
		Events: []figure.Event{{Name: "node 2 slowed down", From: 20, To: 32}, {Name: "new weights", From: 41}},
	})
	if err != nil {
		log.Fatal(err)
	}
	if err := f.Save("figures", "timeline"); err != nil {
		log.Fatal(err)
	}
}

func TestTimelines(t *testing.T) {
	example(t, "timeline", ExampleTimelines)
	var many []figure.Event
	for k := range 14 {
		many = append(many, figure.Event{Name: fmt.Sprintf("change %d of the deployment", k+1), From: float64(4 * k)})
	}
	s := figure.Series{Name: "policy", X: []float64{0, 10, 30, 50}, Y: []float64{-3, .5, math.NaN(), .7}}
	f, err := figure.Timelines(figure.TimelinePanel{Axes: figure.Axes{Title: "many events", Y: "reward"}, Series: []figure.Series{s}, Events: many},
		figure.TimelinePanel{Axes: figure.Axes{Title: "nothing yet", X: "minutes", Y: "reward"}, Events: []figure.Event{{Name: "unknown", From: math.NaN()}}})
	golden(t, "timeline-many", f, err)
	if _, err := figure.Timelines(); err == nil {
		t.Error("no panel is drawn")
	}
}
