package mesh

import (
	"fmt"
	"math"
)

// Action is one setting of the controls. For the paper's mesh it is
// (p11, p21, b1, b2), with p_i2 = 1 - p_i1.
type Action struct {
	Route []float64 // routing weights, m x n row by row: Route[i*n+j] = p_ij; each row sums to 1
	Block []float64 // blocking rates b_i in [0, 1], length m
}

// Clone returns a copy that shares nothing with a.
func (a Action) Clone() Action {
	return Action{
		Route: append([]float64(nil), a.Route...),
		Block: append([]float64(nil), a.Block...),
	}
}

// weightTolerance allows for decimal fractions that do not sum exactly.
const weightTolerance = 1e-6

// Even is the action that blocks nothing and spreads the requests of every
// service evenly over the nodes.
func Even(m Mesh) Action {
	a := Action{Route: make([]float64, m.M()*m.N()), Block: make([]float64, m.M())}
	for k := range a.Route {
		a.Route[k] = 1 / float64(m.N())
	}
	return a
}

// Validate reports the first weight or blocking rate that is outside [0, 1],
// a row of weights that does not sum to 1, or a wrong number of either.
func (a Action) Validate(m Mesh) error {
	if len(a.Route) != m.M()*m.N() || len(a.Block) != m.M() {
		return fmt.Errorf("mesh: action with %d weights and %d blocking rates; %s takes %d and %d",
			len(a.Route), len(a.Block), m, m.M()*m.N(), m.M())
	}
	for i := range a.Block {
		sum := 0.0
		for j := range m.N() {
			p := a.Route[i*m.N()+j]
			if !(p >= 0 && p <= 1) {
				return fmt.Errorf("mesh: action: %s is %v, outside [0, 1]", m.RouteName(i, j), p)
			}
			sum += p
		}
		if math.Abs(sum-1) > weightTolerance {
			return fmt.Errorf("mesh: action: the weights of %s sum to %v, not 1", m.ServiceNames()[i], sum)
		}
		if b := a.Block[i]; !(b >= 0 && b <= 1) {
			return fmt.Errorf("mesh: action: %s is %v, outside [0, 1]", m.BlockName(i), b)
		}
	}
	return nil
}

// FormatAction prints the free components in the paper's order, for two nodes
// "p11=0.4 p21=0 b1=0 b2=0.2".
func (m Mesh) FormatAction(a Action) string {
	s := ""
	for i := range m.M() {
		for j := range m.freeWeights() {
			s += fmt.Sprintf("%s=%.4g ", m.RouteName(i, j), a.Route[i*m.N()+j])
		}
	}
	for i := range m.M() {
		s += fmt.Sprintf("%s=%.4g ", m.BlockName(i), a.Block[i])
	}
	return s[:len(s)-1]
}

// freeWeights is the number of weights of one service that determine the rest.
func (m Mesh) freeWeights() int {
	if m.N() == 1 {
		return 0
	}
	return m.N() - 1
}

// Space is the discrete action space (paper, Section IV): every routing weight
// and blocking rate takes Levels evenly spaced values in [0, 1], weights of a
// service summing to 1. It is a product of heads, one for the routing of each
// service and then one for the blocking of each, and is enumerated with the
// last head running fastest: [0,0,0,0], [0,0,0,0.2], ... . For the paper's mesh
// that is 6^4 = 1296 actions.
type Space struct {
	mesh    Mesh
	levels  int
	routes  [][]float64 // the points of the weight simplex, each of length n
	lookup  map[int]int // simplex point, coded by its level numbers -> index in routes
	heads   []int
	size    int
	actions []Action // all of them, where there are at most maxEnumerated
}

const maxEnumerated = 1 << 20

// NewSpace returns the space of mesh m with the given number of levels; 0
// means the paper's 6. It panics for 1 level or for more than 2^62 actions.
func NewSpace(m Mesh, levels int) *Space {
	if levels == 0 {
		levels = 6
	}
	if levels < 2 {
		panic(fmt.Sprintf("mesh: NewSpace with %d levels: at least 2", levels))
	}
	s := &Space{mesh: m, levels: levels, lookup: map[int]int{}, size: 1}
	s.compose(make([]int, 0, m.N()), levels-1)
	for range m.M() {
		s.heads = append(s.heads, len(s.routes))
	}
	for range m.M() {
		s.heads = append(s.heads, levels)
	}
	for _, h := range s.heads {
		if s.size > math.MaxInt64/2/h {
			panic(fmt.Sprintf("mesh: the action space of %s with %d levels has more than 2^62 actions", m, levels))
		}
		s.size *= h
	}
	if s.size <= maxEnumerated {
		s.actions = make([]Action, s.size)
		for k := range s.actions {
			s.actions[k] = s.build(k)
		}
	}
	return s
}

// compose adds every way to share the units left among the remaining nodes,
// first weights ascending.
func (s *Space) compose(units []int, left int) {
	n := s.mesh.N()
	if len(units) == n-1 {
		point := make([]float64, n)
		for j, u := range append(units, left) {
			point[j] = s.level(u)
		}
		s.lookup[s.code(point)] = len(s.routes)
		s.routes = append(s.routes, point)
		return
	}
	for u := 0; u <= left; u++ {
		s.compose(append(units, u), left-u)
	}
}

func (s *Space) level(u int) float64 { return float64(u) / float64(s.levels-1) }

// code numbers a point of the simplex by its level numbers, -1 off the grid.
func (s *Space) code(point []float64) int {
	code := 0
	for _, p := range point {
		u := s.unit(p)
		if u < 0 {
			return -1
		}
		code = code*s.levels + u
	}
	return code
}

// unit is the level number of value v, or -1 off the grid.
func (s *Space) unit(v float64) int {
	u := math.Round(v * float64(s.levels-1))
	if !(u >= 0 && u <= float64(s.levels-1)) || math.Abs(v-s.level(int(u))) > weightTolerance {
		return -1
	}
	return int(u)
}

// Mesh is the mesh that the actions control.
func (s *Space) Mesh() Mesh { return s.mesh }

// Levels is the number of values of one component.
func (s *Space) Levels() int { return s.levels }

// Len is the number of actions.
func (s *Space) Len() int { return s.size }

// Heads returns the number of choices of each head, the shape of a
// MultiDiscrete action: the routing heads of services 1..m, then their
// blocking heads. [6 6 6 6] for the paper's mesh.
func (s *Space) Heads() []int { return s.heads }

// At returns action k of the enumeration; it is shared and must not be changed.
// It panics when k is out of range.
func (s *Space) At(k int) Action {
	if k < 0 || k >= s.size {
		panic(fmt.Sprintf("mesh: action %d of a space of %d", k, s.size))
	}
	if s.actions != nil {
		return s.actions[k]
	}
	return s.build(k)
}

func (s *Space) build(k int) Action {
	m, n := s.mesh.M(), s.mesh.N()
	choice := s.Choice(nil, k)
	a := Action{Route: make([]float64, 0, m*n), Block: make([]float64, m)}
	for i := range m {
		a.Route = append(a.Route, s.routes[choice[i]]...)
		a.Block[i] = s.level(choice[m+i])
	}
	return a
}

// Choice writes the choice of each head in action k to dst, which is
// allocated when nil.
func (s *Space) Choice(dst []int, k int) []int {
	if dst == nil {
		dst = make([]int, len(s.heads))
	}
	for h := len(s.heads) - 1; h >= 0; h-- {
		dst[h] = k % s.heads[h]
		k /= s.heads[h]
	}
	return dst
}

// FromChoice returns the number of the action with the given choice of each
// head. It panics when a choice is out of range.
func (s *Space) FromChoice(choice []int) int {
	if len(choice) != len(s.heads) {
		panic(fmt.Sprintf("mesh: %d choices for %d heads", len(choice), len(s.heads)))
	}
	k := 0
	for h, c := range choice {
		if c < 0 || c >= s.heads[h] {
			panic(fmt.Sprintf("mesh: choice %d of head %d, which has %d", c, h, s.heads[h]))
		}
		k = k*s.heads[h] + c
	}
	return k
}

// Index returns the number of action a, and false when a is not on the grid.
func (s *Space) Index(a Action) (int, bool) {
	m, n := s.mesh.M(), s.mesh.N()
	if len(a.Route) != m*n || len(a.Block) != m {
		return 0, false
	}
	k := 0
	for i := range m {
		r, ok := s.route(a.Route[i*n : i*n+n])
		if !ok {
			return 0, false
		}
		k = k*len(s.routes) + r
	}
	for _, b := range a.Block {
		u := s.unit(b)
		if u < 0 {
			return 0, false
		}
		k = k*s.levels + u
	}
	return k, true
}

func (s *Space) route(point []float64) (int, bool) {
	if len(point) == 2 { // the enumeration of two nodes is the first weight's level
		u := s.unit(point[0])
		return u, u >= 0 && s.unit(point[1]) == s.levels-1-u
	}
	r, ok := s.lookup[s.code(point)]
	return r, ok
}

// Nearest returns the number of the grid action closest to a: each service's
// weights by largest remainder, each blocking rate rounded. It panics for an
// action that is not valid.
func (s *Space) Nearest(a Action) int {
	if err := a.Validate(s.mesh); err != nil {
		panic(err.Error())
	}
	m, n := s.mesh.M(), s.mesh.N()
	k := 0
	for i := range m {
		k = k*len(s.routes) + s.lookup[s.code(s.roundWeights(a.Route[i*n:i*n+n]))]
	}
	for _, b := range a.Block {
		k = k*s.levels + int(math.Round(b*float64(s.levels-1)))
	}
	return k
}

// roundWeights rounds weights to whole units that keep their sum.
func (s *Space) roundWeights(p []float64) []float64 {
	total := s.levels - 1
	units := make([]float64, len(p))
	rest := float64(total)
	for j, w := range p {
		units[j] = math.Floor(w*float64(total) + weightTolerance)
		rest -= units[j]
	}
	for ; rest > 0; rest-- {
		best := 0
		for j := range p {
			if p[j]*float64(total)-units[j] > p[best]*float64(total)-units[best]+weightTolerance {
				best = j
			}
		}
		units[best]++
	}
	for j := range units {
		units[j] /= float64(total)
	}
	return units
}
