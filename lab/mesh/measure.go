package mesh

import "math"

// Load is the offered load l_i of each service in requests/s, length m.
type Load []float64

// State is what a policy sees before it acts (paper, Section II): the response
// times of the step before and the load that is offered now.
type State struct {
	Delay []float64 // d_i in s, length m; NaN where no request was answered
	Load  Load
}

// Delay summarises the response times of the requests of one step, in seconds.
// Where there were none, Count is 0 and the rest NaN.
type Delay struct {
	Count         float64 // answered requests; 0 also where only a mean is known to be missing
	Mean          float64
	P50, P95, P99 float64 // NaN where a source gives means only
}

// NoDelay is the summary of no request at all.
func NoDelay() Delay {
	nan := math.NaN()
	return Delay{Mean: nan, P50: nan, P95: nan, P99: nan}
}

// Measurement is what one control step gave. A simulator fills Carried and the
// means; a testbed fills all of it.
type Measurement struct {
	Generated []float64 // load as the generator sent it, requests/s, length m; NaN when unknown
	Carried   []float64 // load that the front let through, requests/s, length m
	Blocked   []float64 // requests turned away at the front, length m; NaN when unknown
	Failed    []float64 // requests without a good answer, length m; NaN when unknown
	Service   []Delay   // d_i, length m
	Node      []Delay   // d_ij, m x n row by row
	Mark      string    // what disturbed the step, "" for a sound one
}

// NewMeasurement returns a measurement for mesh m in which everything is
// missing.
func NewMeasurement(m Mesh) Measurement {
	x := Measurement{
		Generated: make([]float64, m.M()),
		Carried:   make([]float64, m.M()),
		Blocked:   make([]float64, m.M()),
		Failed:    make([]float64, m.M()),
		Service:   make([]Delay, m.M()),
		Node:      make([]Delay, m.M()*m.N()),
	}
	for i := range x.Service {
		x.Generated[i], x.Carried[i] = math.NaN(), math.NaN()
		x.Blocked[i], x.Failed[i] = math.NaN(), math.NaN()
		x.Service[i] = NoDelay()
	}
	for k := range x.Node {
		x.Node[k] = NoDelay()
	}
	return x
}

// FeatureNames lists the inputs of the system model (paper, Eq. 5) in their
// order: l_1..l_m, the free weights p_i1..p_i(n-1) of each service, b_1..b_m.
// For the paper's mesh: l1 l2 p11 p21 b1 b2.
func (m Mesh) FeatureNames() []string {
	var names []string
	for i := range m.M() {
		names = append(names, m.LoadName(i))
	}
	for i := range m.M() {
		for j := range m.freeWeights() {
			names = append(names, m.RouteName(i, j))
		}
	}
	for i := range m.M() {
		names = append(names, m.BlockName(i))
	}
	return names
}

// Features appends the inputs of the system model for (load, a) to dst, in the
// order of FeatureNames.
func (m Mesh) Features(dst []float64, load Load, a Action) []float64 {
	dst = append(dst, load...)
	for i := range m.M() {
		dst = append(dst, a.Route[i*m.N():i*m.N()+m.freeWeights()]...)
	}
	return append(dst, a.Block...)
}

// Reaches reports whether (load, a) sends any request of service i to node j.
func (m Mesh) Reaches(load Load, a Action, i, j int) bool {
	return load[i] > 0 && a.Block[i] < 1 && a.Route[i*m.N()+j] > 0
}
