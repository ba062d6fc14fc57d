package controller

import (
	"maps"
	"math"
	"slices"
	"time"

	"github.com/meshbench/meshbench/lab/mesh"
)

// Status is how a run is going.
type Status struct {
	Names    Names  `json:"-"`
	Policy   string `json:"policy"`
	Fallback string `json:"fallback"`
	Shadow   bool   `json:"shadow,omitempty"`
	Leading  bool   `json:"leading"`
	Owner    string `json:"owner,omitempty"` // of the lease, where another has it
	Step     int    `json:"step"`            // the next
	Charge   string `json:"charge"`          // who decides the next step
	Trusted  bool   `json:"trusted"`         // nothing speaks against the policy
	Why      string `json:"why"`             // what spoke against it last
	Calm     int    `json:"calm"`            // steps since, of Wait that bring the policy back
	Wait     int    `json:"wait"`
	Checks   []CheckState
	Recent   []Entry  `json:"recent"` // the last one last
	Switches []Switch `json:"switches"`

	Steps    map[string]int `json:"steps"`    // by who was in charge
	Switched map[string]int `json:"switched"` // by to whom
	Failed   int            `json:"failed"`   // steps that were not made or not measured
	Missed   int            `json:"missed"`   // steps in which a goal was missed
	Limited  int            `json:"limited"`  // steps in which the policy got less than it wanted
	Changes  int            `json:"changes"`  // steps in which what was asked for changed
	Compared int            `json:"compared"` // steps in which the policy's decision and what was in force are known
	Agreed   int            `json:"agreed"`   // of those, in which they were the same
	// Worth and Would are sums over Valued steps: what the actions in force pay by
	// the model, and what the policy's would.
	Valued int    `json:"valued"`
	Worth  Number `json:"worth"`
	Would  Number `json:"would"`
}

// CheckState is a check after the last step.
type CheckState struct {
	Name      string `json:"name"`
	State     string `json:"state"`
	Objection string `json:"objection,omitempty"`
	Statistic Number `json:"statistic,omitempty"`
}

// keptSwitches bounds those that a status has.
const keptSwitches = 50

// add takes a step in; the lock is held.
func (s *Status) add(e Entry, space *mesh.Space, change *Switch) {
	s.Step = e.Step + 1
	s.Steps[e.Charge]++
	if e.Asked != nil && len(s.Recent) > 0 && !slices.Equal(e.Asked, s.Recent[len(s.Recent)-1].Asked) {
		s.Changes++
	}
	switch {
	case e.InForce == nil:
		s.Failed++
	case e.Decided != nil:
		s.Compared++
		if same(space, e.Decided, e.InForce) {
			s.Agreed++
		}
	}
	if e.Limited {
		s.Limited++
	}
	for i, d := range e.Delay {
		if i < len(s.Names.Goals) && float64(d) > s.Names.Goals[i] {
			s.Missed++
			break
		}
	}
	if !math.IsNaN(float64(e.Worth)) && !math.IsNaN(float64(e.Would)) {
		s.Valued++
		s.Worth += e.Worth
		s.Would += e.Would
	}
	s.Recent = append(s.Recent, e)
	s.Recent = s.Recent[max(0, len(s.Recent)-kept):]
	if change != nil {
		s.Switched[change.To]++
		s.Switches = append(s.Switches, *change)
		s.Switches = s.Switches[max(0, len(s.Switches)-keptSwitches):]
	}
}

// same reports whether two actions are at the same points.
func same(space *mesh.Space, a, b mesh.Action) bool {
	return slices.Equal(space.Nearest(a), space.Nearest(b))
}

func (s Status) clone() Status {
	s.Recent, s.Switches, s.Checks = slices.Clone(s.Recent), slices.Clone(s.Switches), slices.Clone(s.Checks)
	s.Steps, s.Switched = maps.Clone(s.Steps), maps.Clone(s.Switched)
	return s
}

// last is the last step, ok false before the first.
func (s Status) last() (e Entry, ok bool) {
	if len(s.Recent) == 0 {
		return e, false
	}
	return s.Recent[len(s.Recent)-1], true
}

// age is the time since the last step that was measured.
func (s Status) age(now time.Time) (time.Duration, bool) {
	for k := len(s.Recent) - 1; k >= 0; k-- {
		if s.Recent[k].InForce != nil {
			return now.Sub(s.Recent[k].Time), true
		}
	}
	return 0, false
}
