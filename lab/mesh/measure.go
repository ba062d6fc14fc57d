package mesh

import "math"

// Load is the offered load l_i of each service in requests/s, length m.
type Load []float64

// State is what a policy sees before it acts (paper, Section II): the response
// times of the step before, the load that is offered now and before, and, where
// knobs take their time or move by increments, how they are set.
type State struct {
	Delay   []float64 // d_i in s, length m; NaN where no request was answered
	Load    Load
	Past    []Load    // of the steps before, the last one first; as many as the environment was told to keep
	InForce Action    // the action in force; nil before the first step
	Pending []Pending // knobs that are on their way, in the order of the space
	Time    float64   // s since the run began
	// Last is what the step before gave; nil before the first.
	Last *Measurement
}

// Pending is a knob that was set and is not in force yet.
type Pending struct {
	Knob  int     // number in the space
	Point int     // that it goes to
	Left  float64 // s until it is in force
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
	Late      []float64 // answered requests whose response time was above the goal, length m; NaN when unknown
	Service   []Delay   // d_i of whole paths, length m
	Endpoint  []Delay   // d_ij of single calls, one for each of the layout's endpoints
	Busy      []float64 // mean number of servers at work, length n; NaN when unknown
	Platform  []float64 // what the platform measured beside, in the order that a trace names; NaN for what is missing, nil for nothing
	Mark      string    // what disturbed the step, "" for a sound one
}

// NewMeasurement returns a measurement in which everything is missing.
func NewMeasurement(l *Layout) Measurement {
	m := l.Mesh.M()
	x := Measurement{
		Generated: make([]float64, m),
		Carried:   make([]float64, m),
		Blocked:   make([]float64, m),
		Failed:    make([]float64, m),
		Late:      make([]float64, m),
		Service:   make([]Delay, m),
		Endpoint:  make([]Delay, len(l.Endpoints)),
		Busy:      make([]float64, l.Mesh.N()),
	}
	for j := range x.Busy {
		x.Busy[j] = math.NaN()
	}
	for i := range x.Service {
		x.Generated[i], x.Carried[i] = math.NaN(), math.NaN()
		x.Blocked[i], x.Failed[i], x.Late[i] = math.NaN(), math.NaN(), math.NaN()
		x.Service[i] = NoDelay()
	}
	for k := range x.Endpoint {
		x.Endpoint[k] = NoDelay()
	}
	return x
}

// Clone returns a copy that shares nothing with x.
func (x Measurement) Clone() Measurement {
	for _, v := range []*[]float64{&x.Generated, &x.Carried, &x.Blocked, &x.Failed, &x.Late, &x.Busy, &x.Platform} {
		*v = append([]float64(nil), *v...)
	}
	x.Service = append([]Delay(nil), x.Service...)
	x.Endpoint = append([]Delay(nil), x.Endpoint...)
	return x
}
