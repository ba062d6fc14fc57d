package model

import (
	"fmt"
	"math"
	"slices"

	"github.com/meshbench/meshbench/lab/control"
	"github.com/meshbench/meshbench/lab/mesh"
	"github.com/meshbench/meshbench/lab/objective"
)

// Slower is a model that foresees the same mesh when its nodes work slower.
//
// A first-come-first-served node of which all service times are f times as long
// is the same node in slow motion: under load l its delays are f times those that
// it had under f l. So the delays of a mesh that has slowed down are known without
// a measurement of it, given by how much, as far as the model knows loads as high
// as that. Where the work of one microservice of several on a node grows, it is
// right for the node's utilisation and an approximation for delays.
type Slower interface {
	control.Model
	// Slower returns the model under factors of service times, nodes x the layout's
	// microservices, compared with the mesh that was learned: 2 for half as fast,
	// +Inf for a node that is lost and fails what comes to it. nil is the model
	// itself. It shares what it has learned.
	Slower(factor [][]float64) (control.Model, error)
}

var (
	_ Slower = (*PerNode)(nil)
	_ Slower = (*Joint)(nil)
)

func checkSlower(l *mesh.Layout, factor [][]float64) error {
	wrong := len(factor) != l.Mesh.N()
	for _, row := range factor {
		wrong = wrong || len(row) != len(l.Microservices) || slices.ContainsFunc(row, func(f float64) bool { return !(f > 0) })
	}
	if wrong {
		return fmt.Errorf("model: factors %v of service times; accepted: above 0, for %d nodes and %d microservices", factor, l.Mesh.N(), len(l.Microservices))
	}
	return nil
}

// Slower is described at the interface.
func (p *PerNode) Slower(factor [][]float64) (control.Model, error) {
	if factor == nil {
		return p, nil
	}
	if err := checkSlower(p.layout, factor); err != nil {
		return nil, err
	}
	q := *p
	q.slower = make([][]float64, len(p.hosts))
	for j := range p.hosts {
		for _, u := range p.hosts[j].microservices {
			q.slower[j] = append(q.slower[j], factor[j][u])
		}
	}
	return &q, nil
}

// slowness is the factor of the service times of a node's microservice.
func (p *PerNode) slowness(j, slot int) float64 {
	if p.slower == nil {
		return 1
	}
	return p.slower[j][slot]
}

// equivalent are the rates at which node j as it was learned is as busy as it is
// now at the given ones; a lost node is not asked.
func (p *PerNode) equivalent(dst []float64, j int, rates []float64) []float64 {
	if p.slower == nil {
		return rates
	}
	for k, r := range rates {
		if dst[k] = 0; !math.IsInf(p.slower[j][k], 1) {
			dst[k] = r * p.slower[j][k]
		}
	}
	return dst
}

// failed writes the requests of service i that fail, those of its share that come
// to lost nodes.
func (p *PerNode) failed(x *mesh.Measurement, i int, share float64) {
	sent := x.Carried[i] * p.seconds
	x.Failed[i], x.Service[i].Count = share*sent, (1-share)*sent
}

// Slower is described at the interface; all nodes must be slower by one factor,
// since a joint model does not tell them apart.
func (m *Joint) Slower(factor [][]float64) (control.Model, error) {
	if factor == nil {
		return m, nil
	}
	l := m.space.Layout()
	if err := checkSlower(l, factor); err != nil {
		return nil, err
	}
	f := factor[0][0]
	for _, row := range factor {
		for _, v := range row {
			if v != f || math.IsInf(v, 1) {
				return nil, fmt.Errorf("model: factors %v of service times in a joint model; accepted: one finite factor for all", factor)
			}
		}
	}
	return &slowJoint{m, f}, nil
}

// slowJoint is a joint model of a mesh that is slower by a factor.
type slowJoint struct {
	*Joint
	factor float64
}

// At foresees a step.
func (m *slowJoint) At(s mesh.State) (control.Forecast, error) {
	equivalent := mesh.State{Load: make(mesh.Load, len(s.Load))}
	for i, l := range s.Load {
		equivalent.Load[i] = l * m.factor
	}
	f, err := m.Joint.At(equivalent)
	if err != nil {
		return nil, err
	}
	return &slowForecast{f.(*jointForecast), m.factor}, nil
}

type slowForecast struct {
	*jointForecast
	factor float64
}

func (f *slowForecast) Mean(x *mesh.Measurement) {
	f.jointForecast.Mean(x)
	f.slow(x)
}

func (f *slowForecast) Draw(k int, x *mesh.Measurement) {
	f.jointForecast.Draw(k, x)
	f.slow(x)
}

func (f *slowForecast) MeanSample() objective.Sample { return f.slowAll(f.jointForecast.MeanSample()) }

func (f *slowForecast) Sample(stride int) objective.Sample {
	return f.slowAll(f.jointForecast.Sample(stride))
}

// slowAll is slow of draws.
func (f *slowForecast) slowAll(s objective.Sample) objective.Sample {
	for i := range s.Delay {
		for k := range s.Delay[i] {
			s.Delay[i][k] *= f.factor
			s.Carried[i][k] /= f.factor
		}
	}
	return s
}

// slow turns a measurement of the mesh as it was under more load into one of now.
func (f *slowForecast) slow(x *mesh.Measurement) {
	for _, list := range [][]mesh.Delay{x.Service, x.Endpoint} {
		for k := range list {
			d := &list[k]
			for _, v := range []*float64{&d.Mean, &d.P50, &d.P95, &d.P99} {
				*v *= f.factor
			}
			d.Count /= f.factor
		}
	}
	for i := range x.Carried {
		x.Carried[i] /= f.factor
		x.Failed[i] /= f.factor
	}
}
