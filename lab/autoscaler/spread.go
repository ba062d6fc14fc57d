package autoscaler

import "github.com/meshbench/meshbench/lab/mesh"

// Spread routes each call to its nodes in proportion to what they can do: their
// speed times the replicas that serve. Other knobs stay as they are without
// control. It is a base for policies that set replicas, whose nodes do not stay
// alike.
type Spread struct {
	Space *mesh.Space
	Label string // its name; default "spread"

	frame frame
}

// Name is the label.
func (p *Spread) Name() string { return or(p.Label, "spread") }

// Reset does nothing.
func (p *Spread) Reset(uint64) {}

// Act routes. Where no node of a call has a replica that serves, it is as without
// control.
func (p *Spread) Act(s mesh.State) (mesh.Action, error) {
	if err := p.frame.begin(p.Space, nil, s); err != nil {
		return nil, err
	}
	inForce := s.InForce
	if inForce == nil {
		inForce = p.frame.action
	}
	for h := range p.Space.Knobs() {
		k := &p.Space.Knobs()[h]
		if k.Kind != mesh.Route {
			continue
		}
		shares, total := make([]float64, k.Width()), 0.0
		for n, j := range p.Space.Layout().Calls[k.Of].Nodes {
			shares[n] = speed(p.Space, inForce, j) * p.Space.Value(inForce, mesh.Replicas, j, 1)
			total += float64(shares[n])
		}
		if total > 0 {
			for n := range shares {
				shares[n] /= total
			}
			p.frame.move(h, k.Nearest(shares))
		}
	}
	return p.frame.done(), nil
}
