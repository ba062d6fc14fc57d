package model

import (
	"math"

	"github.com/meshbench/meshbench/lab/control"
	"github.com/meshbench/meshbench/lab/mesh"
	"github.com/meshbench/meshbench/lab/scenario"
	"github.com/meshbench/meshbench/lab/service/item"
)

// Queueing is a model that needs no trace: every node is an M/G/1 queue whose
// service times are the scenario's, with the mean wait of Pollaczek and
// Khinchine, at most that of a full queue. Of calls in parallel the slowest
// mean counts. It has means only: one draw.
type Queueing struct {
	space  *mesh.Space
	layout *mesh.Layout
	time   []float64 // of each microservice on a node of speed 1: mean, s
	square []float64 // and mean square, s²
	queue  float64   // requests that wait at most
	link   float64
}

var _ control.Model = (*Queueing)(nil)

// NewQueueing returns the queueing model of a scenario, from the sizes of its
// items.
func NewQueueing(s scenario.Scenario) (*Queueing, error) {
	s = s.Defaults()
	if err := s.Validate(); err != nil {
		return nil, err
	}
	space, err := s.Space()
	if err != nil {
		return nil, err
	}
	items, err := item.NewCatalogue(s.Kinds(), 0)
	if err != nil {
		return nil, err
	}
	q := &Queueing{space: space, layout: space.Layout(), queue: float64(s.Queue), link: max(s.Link, 0)}
	for u := range q.layout.Microservices {
		mean, square := 0.0, 0.0
		for k := range items.Len(u) {
			t := item.ServiceTime(items.Size(u, k))
			mean += t / float64(items.Len(u))
			square += t * t / float64(items.Len(u))
		}
		q.time, q.square = append(q.time, mean), append(q.square, square)
	}
	return q, nil
}

// Name is "queueing".
func (q *Queueing) Name() string { return "queueing" }

// Space is the scenario's.
func (q *Queueing) Space() *mesh.Space { return q.space }

// At foresees a step.
func (q *Queueing) At(s mesh.State) (control.Forecast, error) {
	if err := checkLoad(q.space, s.Load); err != nil {
		return nil, err
	}
	return &queueForecast{q: q, load: s.Load, x: mesh.NewMeasurement(q.layout)}, nil
}

type queueForecast struct {
	q    *Queueing
	load mesh.Load
	x    mesh.Measurement // under the action that was set
}

func (f *queueForecast) Set(a mesh.Action) error {
	q, l := f.q, f.q.layout
	n := q.space.Mesh().N()
	rho, second, rate := make([]float64, n), make([]float64, n), make([]float64, n)
	speed := make([]float64, n)
	for j := range speed {
		speed[j] = q.space.Mesh().Speed(j) * q.space.Value(a, mesh.CPU, j, 1)
	}
	carried := make([]float64, len(f.load))
	for i := range carried {
		carried[i] = f.load[i] * (1 - q.space.BlockOf(a, i))
	}
	for c, call := range l.Calls {
		for k, share := range q.space.RouteOf(a, c) {
			j := call.Nodes[k]
			r := carried[call.Service] * share
			rate[j] += r
			rho[j] += r * q.time[call.Microservice] / speed[j]
			second[j] += r * q.square[call.Microservice] / (speed[j] * speed[j])
		}
	}
	for e, at := range l.Endpoints {
		call := l.Calls[at.Call]
		f.x.Endpoint[e] = mesh.NoDelay()
		if !q.space.Reaches(f.load, a, e) {
			continue
		}
		j := at.Node
		servers := max(1, q.space.Value(a, mesh.Replicas, j, 1))
		f.x.Endpoint[e].Mean = q.wait(rate[j]/servers, rho[j]/servers, second[j]/servers) + q.time[call.Microservice]/speed[j] + q.link
	}
	delays := make([]float64, len(f.x.Endpoint))
	for e := range delays {
		delays[e] = f.x.Endpoint[e].Mean
	}
	for i := range carried {
		d := pathMean(q.space, a, i, delays)
		if !(carried[i] > 0) {
			d = math.NaN()
		}
		f.x.Service[i].Mean, f.x.Carried[i] = d, carried[i]
	}
	return nil
}

// wait is the mean time in a queue, s: at most that of one that is full.
func (q *Queueing) wait(rate, rho, second float64) float64 {
	if rate == 0 {
		return 0
	}
	full := q.queue * rho / rate
	if rho >= 1 {
		return full
	}
	return min(second/(2*(1-rho)), full)
}

func (f *queueForecast) Mean(x *mesh.Measurement) {
	copy(x.Endpoint, f.x.Endpoint)
	copy(x.Service, f.x.Service)
	copy(x.Carried, f.x.Carried)
}

func (f *queueForecast) Draws() int { return 1 }

func (f *queueForecast) Draw(_ int, x *mesh.Measurement) { f.Mean(x) }
