package mdp

import (
	"fmt"
	"math"

	"github.com/meshbench/meshbench/lab/mesh"
	"github.com/meshbench/meshbench/lab/objective"
	"github.com/meshbench/meshbench/lab/trace"
)

// Configurations is a process whose states are the actions of a small space, and
// whose choices are to stay or to move every knob by its increments: what a step
// pays is the reward of the configuration that it goes to.
type Configurations struct {
	Table
	Space *mesh.Space
}

// NewConfigurations makes one of the reward of each action of a space.
func NewConfigurations(space *mesh.Space, reward []float64) (*Configurations, error) {
	const most = 10_000
	if space.Len() > most || len(reward) != space.Len() {
		return nil, fmt.Errorf("mdp: %d rewards for the %s actions of %s; accepted: one for each of at most %d", len(reward), space.Size(), space, most)
	}
	c := &Configurations{make(Table, space.Len()), space}
	var choice []int
	for s := range c.Table {
		allowed := space.AllowedIn(mesh.State{InForce: space.At(s)})
		for to := range c.Table {
			choice = space.Choice(choice, to)
			if allowed.Has(choice) {
				c.Table[s] = append(c.Table[s], Choice{reward[to], []Next{{to, 1}}})
			}
		}
	}
	return c, nil
}

// CellRewards are the rewards of the mean delay of each action of a trace at one
// load, delays rounded to ms; 0 for those over a limit. It is an error where the
// trace does not have another.
func CellRewards(t *trace.Table, o objective.Objective, load mesh.Load) ([]float64, error) {
	space := t.Space()
	e, err := o.Bind(space)
	if err != nil {
		return nil, fmt.Errorf("mdp: %w", err)
	}
	m := space.Mesh().M()
	sum, n := make([]float64, space.Len()*m), make([]float64, space.Len()*m)
	for r := range t.Len() {
		row := t.Row(r)
		k, ok := space.Index(row.Action)
		for i, l := range load {
			ok = ok && row.Load[i] == l
		}
		for i := range m {
			if d := row.Measurement.Service[i].Mean; ok && !math.IsNaN(d) {
				sum[k*m+i] += d
				n[k*m+i]++
			}
		}
	}
	out := make([]float64, space.Len())
	x := mesh.NewMeasurement(space.Layout())
	for _, k := range space.Numbers() {
		for i := range m {
			if n[k*m+i] == 0 {
				return nil, fmt.Errorf("mdp: the trace has no row of %s at load %v", space.Format(space.At(k)), load)
			}
			x.Carried[i], x.Service[i].Mean = load[i], math.Round(sum[k*m+i]/n[k*m+i]*1000)/1000
		}
		out[k] = e.Reward(objective.Steady(space, load, space.At(k), x))
	}
	return out, nil
}
