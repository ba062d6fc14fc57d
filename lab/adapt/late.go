package adapt

import (
	"github.com/meshbench/meshbench/lab/control"
	"github.com/meshbench/meshbench/lab/mesh"
)

// lateness measures how much later than the space says higher values of knobs come
// into force, as it is seen at the ends of steps.
type lateness struct {
	space   *mesh.Space
	seconds float64 // of a step
	begin   float64 // time of the present step, s
	since   []wait  // per knob
	late    []float64
}

// wait is a value that was asked for and is not in force yet; none where value is 0.
type wait struct{ value, since float64 }

// tolerance is how late a value may be, in steps, and count as in time: it is seen
// at the ends of steps only.
const tolerance = 1.5

func newLateness(space *mesh.Space, seconds float64) *lateness {
	return &lateness{space: space, seconds: seconds, since: make([]wait, len(space.Knobs())), late: make([]float64, len(space.Knobs()))}
}

// observe takes a step and reports the first knob that is later than it was known
// to be, or in time again; -1 for none.
func (w *lateness) observe(x control.Step) int {
	changed := -1
	for h := range w.space.Knobs() {
		k := &w.space.Knobs()[h]
		if !(k.Up > 0) || k.Width() != 1 || x.Next.InForce == nil {
			continue
		}
		asked, inForce := k.Values(x.Asked)[0], k.Values(x.Next.InForce)[0]
		s := &w.since[h]
		if s.value > 0 && asked < s.value {
			if s.value = asked; asked <= inForce {
				*s = wait{} // given up
			}
		}
		if s.value == 0 && asked > inForce {
			*s = wait{asked, w.begin}
		}
		if s.value == 0 {
			continue
		}
		// It has been late for at least so long: at the end of this step it is not there,
		// or it was not at its beginning.
		there := inForce >= s.value
		over := x.Next.Time - s.since - k.Up
		if there {
			over = w.begin - s.since - k.Up
			*s = wait{}
		}
		switch {
		case over > w.late[h]+float64(tolerance*w.seconds):
			// While it is not there, it may take as long again as half of its time.
			if w.late[h], changed = over+w.seconds/2, h; !there {
				w.late[h] = over + k.Up/2
			}
		case there && w.late[h] > 0 && over < w.late[h]-float64(tolerance*w.seconds):
			if w.late[h], changed = over+w.seconds/2, h; over < tolerance*w.seconds {
				w.late[h] = 0
			}
		}
	}
	w.begin = x.Next.Time
	return changed
}

// waiting is for how long the present value of knob h has been waited for beyond
// what the space says, s; 0 where it is in time.
func (w *lateness) waiting(h int, now float64) float64 {
	if w.since[h].value == 0 {
		return 0
	}
	return max(0, now-w.since[h].since-w.space.Knobs()[h].Up)
}

// reset begins a run.
func (w *lateness) reset() {
	clear(w.since)
	clear(w.late)
	w.begin = 0
}
