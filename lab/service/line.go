package service

import (
	"sync"
	"time"
)

// WorkedPath is where the pod of a node says, outside of the mesh, for how many s
// it has worked.
const WorkedPath = "/worked"

// Line is the queue of a processing node: calls wait, first come, first served,
// for whichever of its workers is free next. The replicas of a node in one
// process share a line.
type Line struct {
	jobs chan *job

	mu      sync.Mutex
	speed   float64
	work    []float64 // per microservice: factor of service times; nil for 1
	workers int
	worked  time.Duration  // of calls that are done
	now     map[*Node]span // of calls in service
}

// span is when a worker works on a call.
type span struct{ from, to time.Time }

// within is how much of it is over at time t.
func (s span) within(t time.Time) time.Duration {
	if t.After(s.to) {
		t = s.to
	}
	return max(0, t.Sub(s.from))
}

// NewLine returns a line in which so many calls can wait, besides those in
// service, without a worker and at speed 1.
func NewLine(places int) *Line {
	return &Line{jobs: make(chan *job, places), speed: 1, now: map[*Node]span{}}
}

// SetSpeed sets the factor of the workers' speed for the calls that come from now
// on. At 0 none is taken.
func (l *Line) SetSpeed(factor float64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.speed = factor
}

// SetWork sets the factors of the service times of each microservice for the calls
// that come from now on.
func (l *Line) SetWork(factor []float64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.work = factor
}

// Speed is the factor of the workers' speed.
func (l *Line) Speed() float64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.speed
}

// Worked is for how long the workers have worked until now, in real time. A call
// that a worker takes up late, because the machine was busy, counts from when it
// should have, but only from then on.
func (l *Line) Worked() (sum time.Duration, until time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	sum, until = l.worked, time.Now()
	for _, s := range l.now {
		sum += s.within(until)
	}
	return sum, until
}

// push lines a call up; false where there is no place, or nobody to serve it.
func (l *Line) push(j *job) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.workers == 0 || !(l.speed > 0) {
		return false
	}
	j.speed = l.speed
	if l.work != nil {
		j.speed /= l.work[j.microservice]
	}
	select {
	case l.jobs <- j:
		return true
	default:
		return false
	}
}

// join adds a worker.
func (l *Line) join() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.workers++
}

// leave takes a worker away. The last one stays for those who wait, unless it
// must go.
func (l *Line) leave(must bool) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !must && l.workers == 1 && len(l.jobs) > 0 {
		return false
	}
	l.workers--
	return true
}

func (l *Line) begin(n *Node, s span) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.now[n] = s
}

// end takes a call out of service, of which what is over at time t counts.
func (l *Line) end(n *Node, t time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.worked += l.now[n].within(t)
	delete(l.now, n)
}
