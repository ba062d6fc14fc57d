package sim

import (
	"fmt"
	"math"

	"github.com/meshbench/meshbench/lab/forest"
	"github.com/meshbench/meshbench/lab/mesh"
	"github.com/meshbench/meshbench/lab/objective"
)

// RewardsConfig holds the settings of NewRewards.
type RewardsConfig struct {
	// Expected values a step by its expected reward, rather than by the reward
	// of the mean delay. With a model of structure PerNode it is the mean of the
	// objective over the distribution of the delays and of the carried loads
	// that go with them, for any objective. With Joint it takes E[r_i(d_i)] over
	// the leaves of the forest of d_i and the mean carried load; it needs kind
	// Measured and an objective with request-weighted delays.
	Expected bool
}

// Rewards is what an objective pays for every (load, action) of a model, and
// the optimum by enumeration of the action space. It is safe for concurrent
// use; tables are computed at first use and kept, up to 8,192 of them.
type Rewards struct {
	model     *Model
	objective objective.Objective
	expected  bool
	utilities []*forest.Forest // E[r_i(d_i)] for every service, when expected of a joint model

	tables tables[*RewardTable]
}

// RewardTable holds the rewards of all actions at one load.
type RewardTable struct {
	Reward []float64 // per action of the space
	Best   float64   // the optimal reward
	Action []int     // all actions that reach it, to within rounding, ascending
}

// NewRewards values model m by objective o.
func NewRewards(m *Model, o objective.Objective, cfg RewardsConfig) (*Rewards, error) {
	e, err := o.Bind(m.mesh)
	if err != nil {
		return nil, err
	}
	r := &Rewards{model: m, objective: o, expected: cfg.Expected}
	if !cfg.Expected || m.nodes != nil {
		return r, nil
	}
	if m.kind != Measured || o.Delay != objective.RequestWeighted {
		return nil, fmt.Errorf("sim: expected rewards need a model of kind %q and delays by %q; here %q and %q",
			Measured, objective.RequestWeighted, m.kind, o.Delay)
	}
	for i := range m.mesh.M() {
		target, ok := e.Target(i)
		if !ok {
			r.utilities = append(r.utilities, nil)
			continue
		}
		f, err := m.forests[m.mesh.M()*m.mesh.N()+i].Transform(
			func(dst, y []float64) { dst[0] = target.Utility(y[0]) }, []string{"utility of " + m.mesh.ServiceNames()[i]})
		if err != nil {
			return nil, fmt.Errorf("sim: expected utility of %s: %w", m.mesh.ServiceNames()[i], err)
		}
		r.utilities = append(r.utilities, f)
	}
	return r, nil
}

// Model is the model that is valued.
func (r *Rewards) Model() *Model { return r.model }

// Objective is what values it.
func (r *Rewards) Objective() objective.Objective { return r.objective }

// At returns the rewards at the given load.
func (r *Rewards) At(load mesh.Load) (*RewardTable, error) {
	var buf [64]byte
	key := loadKey(buf[:0], load)
	return r.tables.get(key, func() (*RewardTable, error) { return r.compute(append(mesh.Load(nil), load...)) })
}

// at returns what the actions of the space are worth at a load, by number.
func (r *Rewards) at(load mesh.Load) (func(k int) (float64, error), error) {
	m := r.model
	if err := m.check(load); err != nil {
		return nil, err
	}
	e, err := r.objective.Bind(m.mesh)
	if err != nil {
		return nil, err
	}
	utility, err := r.expectedUtilities(load)
	if err != nil {
		return nil, err
	}
	x := mesh.NewMeasurement(m.mesh)
	value := func(k int, a mesh.Action) (float64, error) {
		y, err := m.row(load, k, a)
		if err != nil {
			return 0, err
		}
		m.measurement(&x, y, load, a)
		if utility != nil {
			return e.Expected(load, a, x, utility[k]), nil
		}
		return e.Reward(load, a, x), nil
	}
	if r.expected && m.nodes != nil {
		o := m.nodes.outlook(load)
		value = func(_ int, a mesh.Action) (v float64, err error) {
			o.set(a)
			for s := range points {
				o.point(s, &x)
				v += e.Reward(load, a, x) / points
			}
			return v, nil
		}
	}
	return func(k int) (float64, error) {
		a := m.space.At(k)
		v, err := value(k, a)
		if err == nil && math.IsNaN(v) {
			err = fmt.Errorf("sim: objective %q gives no number for load %v and action %s", r.objective.Name, load, m.mesh.FormatAction(a))
		}
		return v, err
	}, nil
}

// one returns the reward of action k: of the table, but where a table is dear
// and the load may not come again.
func (r *Rewards) one(load mesh.Load, k int) (float64, error) {
	var buf [64]byte
	if r.model.nodes != nil && !r.tables.worth(loadKey(buf[:0], load)) {
		value, err := r.at(load)
		if err != nil {
			return 0, err
		}
		return value(k)
	}
	t, err := r.At(load)
	if err != nil {
		return 0, err
	}
	return t.Reward[k], nil
}

func (r *Rewards) compute(load mesh.Load) (*RewardTable, error) {
	m := r.model
	value, err := r.at(load)
	if err != nil {
		return nil, err
	}
	out := &RewardTable{Reward: make([]float64, m.space.Len()), Best: math.Inf(-1)}
	for k := range out.Reward {
		if out.Reward[k], err = value(k); err != nil {
			return nil, err
		}
		out.Best = max(out.Best, out.Reward[k])
	}
	tie := 1e-9 * max(1, math.Abs(out.Best))
	for k, v := range out.Reward {
		if v >= out.Best-tie {
			out.Action = append(out.Action, k)
		}
	}
	return out, nil
}

// expectedUtilities is actions x services of E[r_i(d_i)], nil when rewards are
// those of the mean delays.
func (r *Rewards) expectedUtilities(load mesh.Load) ([][]float64, error) {
	if r.utilities == nil {
		return nil, nil
	}
	m := r.model
	flat := make([]float64, m.space.Len()*m.mesh.M())
	rows := make([][]float64, m.space.Len())
	for k := range rows {
		rows[k] = flat[k*m.mesh.M() : (k+1)*m.mesh.M()]
	}
	for i, f := range r.utilities {
		if f == nil {
			continue
		}
		y, err := m.grid(f, load)
		if err != nil {
			return nil, err
		}
		for k := range rows {
			if a := m.space.At(k); load[i] > 0 && a.Block[i] < 1 {
				rows[k][i] = y.At(k, 0)
			}
		}
	}
	return rows, nil
}
