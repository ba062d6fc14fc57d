package controller

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/meshbench/meshbench/lab/control"
	"github.com/meshbench/meshbench/lab/mesh"
	"github.com/meshbench/meshbench/lab/policy"
)

// Observer is a policy that is told of every step that was measured, whoever was
// in charge: one that adapts, such as an adapt.Loop. A step's Reward is NaN here.
type Observer interface {
	policy.Policy
	Observe(control.Step)
}

// Config describes a run.
type Config struct {
	Mesh Mesh
	// Policy decides; it may be an Observer. It is asked in every step, also where
	// it is not in charge.
	Policy policy.Policy
	// Fallback is in charge while a check objects. Default the action without
	// control.
	Fallback policy.Policy
	Checks   []Check // default none
	// Return is how many steps without an objection bring the policy back. Default
	// 10.
	Return int
	Limit  Limit
	// Shadow leaves the mesh as it is.
	Shadow bool
	// Value says what an action pays under a load by a model, to compare what the
	// policy decided with what was in force; nil for no comparison.
	Value func(load mesh.Load, a mesh.Action) (float64, error)
	// Steps of the run; 0 until the context ends.
	Steps int
	// Timeout bounds a step in real time; one that takes longer was not measured.
	// Default none.
	Timeout time.Duration
	// Failures is how many steps in a row may fail until the run ends with the
	// error of the last. Default 60; negative for any number.
	Failures int
	// Pause is the real time that passes after a step which failed, so that a run
	// does not spin; default 100 ms.
	Pause time.Duration
	// OnStep, if set, is called after every step.
	OnStep func(Entry)
	// OnSwitch, if set, is called when who is in charge changes.
	OnSwitch func(Switch)
	// Names are for people.
	Names Names
}

// Names are what a status is headed by.
type Names struct {
	Title    string // what runs: the policy's file and scenario
	Testbed  string
	Services []string
	Goals    []float64 // s, NaN for none
}

// Who is in charge.
const (
	ByPolicy   = "policy"
	ByFallback = "fallback"
	ByOthers   = "others" // in shadow mode
)

// Switch is a change of who is in charge.
type Switch struct {
	Step int       `json:"step"` // the first of who is in charge now
	Time time.Time `json:"time"`
	To   string    `json:"to"`
	Why  string    `json:"why"`
}

// Number is a float64 whose NaN is null in JSON.
type Number float64

// MarshalJSON writes null for what is no number.
func (n Number) MarshalJSON() ([]byte, error) {
	if math.IsNaN(float64(n)) || math.IsInf(float64(n), 0) {
		return []byte("null"), nil
	}
	return fmt.Appendf(nil, "%g", float64(n)), nil
}

func numbers(v []float64) []Number {
	out := make([]Number, len(v))
	for k, x := range v {
		out[k] = Number(x)
	}
	return out
}

// Entry is one step for the log.
type Entry struct {
	Step    int         `json:"step"`
	Time    time.Time   `json:"time"` // when it ended
	Charge  string      `json:"charge"`
	Decided mesh.Action `json:"decided"`           // by the policy; nil where it could not
	Asked   mesh.Action `json:"asked"`             // of the mesh; nil in shadow mode
	Limited bool        `json:"limited,omitempty"` // less than was decided
	InForce mesh.Action `json:"inForce"`           // nil where that is not known
	Load    []Number    `json:"load"`              // requests/s
	Carried []Number    `json:"carried"`           // requests/s
	Delay   []Number    `json:"delay"`             // s
	Mark    string      `json:"mark,omitempty"`
	Error   string      `json:"error,omitempty"`
	// Objections are what speaks against the policy after the step, by check.
	Objections map[string]string `json:"objections,omitempty"`
	// Worth is what was in force in the step pays by the model, Would what the
	// policy decided would; null without one.
	Worth Number `json:"worth"`
	Would Number `json:"would"`
}

// Controller is a run. Its methods but Run may be called at any time from
// anywhere.
type Controller struct {
	cfg   Config
	space *mesh.Space
	limit *limiter
	guard guard

	mu     sync.Mutex // guards what follows
	status Status
}

// kept are the steps that a status has.
const kept = 240

// New checks the configuration.
func New(cfg Config) (*Controller, error) {
	if cfg.Mesh == nil || cfg.Policy == nil {
		return nil, errors.New("controller: a mesh and a policy are needed")
	}
	s := cfg.Mesh.Space()
	if cfg.Fallback == nil {
		cfg.Fallback = policy.Static{Label: "without control", Action: s.Action(nil, s.Nearest(s.Default()))}
	}
	cfg.Return, cfg.Failures = or(cfg.Return, 10), or(cfg.Failures, 60)
	if cfg.Pause == 0 {
		cfg.Pause = 100 * time.Millisecond
	}
	if err := cfg.Limit.validate(); err != nil {
		return nil, fmt.Errorf("controller: %w", err)
	}
	if cfg.Return < 1 || cfg.Steps < 0 {
		return nil, fmt.Errorf("controller: %d steps, back after %d; accepted: 0 or more, 1 or more", cfg.Steps, cfg.Return)
	}
	c := &Controller{cfg: cfg, space: s, limit: newLimiter(s, cfg.Limit)}
	c.guard = guard{checks: cfg.Checks, back: cfg.Return}
	c.guard.begin()
	c.status = Status{Names: cfg.Names, Policy: cfg.Policy.Name(), Fallback: cfg.Fallback.Name(), Shadow: cfg.Shadow, Charge: ByFallback, Why: c.guard.why, Wait: 1,
		Steps: map[string]int{}, Switched: map[string]int{}}
	if cfg.Shadow {
		c.status.Charge = ByOthers
	}
	c.looked()
	return c, nil
}

// Run drives the mesh until the context ends, which is no error and leaves what is
// in force as it is, or until the steps are done. It is called once at a time;
// called again, after a lease was lost and won again, it goes on.
func (c *Controller) Run(ctx context.Context) error {
	var state mesh.State
	if f, ok := c.cfg.Mesh.(interface{ First() mesh.State }); ok {
		state = f.First()
	}
	c.guard.begin()
	c.looked()
	var asked mesh.Action
	failed := 0
	for first := c.Status().Step; c.cfg.Steps == 0 || c.Status().Step-first < c.cfg.Steps; {
		if ctx.Err() != nil {
			return nil
		}
		e := c.decide(state, asked)
		seen, err := c.step(ctx, e.Asked)
		if ctx.Err() != nil {
			return nil // the step was cut short: nothing is to be said of it
		}
		if err == nil {
			failed = 0
			c.limit.changed(e.Step, asked, e.Asked)
			if !c.cfg.Shadow {
				asked = e.Asked
			}
		} else if failed++; c.cfg.Failures > 0 && failed >= c.cfg.Failures {
			return fmt.Errorf("controller: %d steps in a row failed: %w", failed, err)
		}
		c.note(e, seen, err)
		state = seen.Next
		if err != nil {
			select {
			case <-ctx.Done():
			case <-time.After(c.cfg.Pause):
			}
		}
	}
	return nil
}

// decide asks who is in charge what to do.
func (c *Controller) decide(s mesh.State, asked mesh.Action) Entry {
	e := Entry{Step: c.Status().Step, Charge: ByFallback, Worth: Number(math.NaN()), Would: Number(math.NaN())}
	if s.Load != nil {
		a, err := c.cfg.Policy.Act(s)
		if err == nil {
			err = c.space.Validate(a)
		}
		if err != nil {
			e.Error = err.Error()
		} else {
			e.Decided = a.Clone()
		}
	}
	if c.cfg.Shadow {
		e.Charge = ByOthers
		return e
	}
	if c.guard.policy && e.Decided != nil {
		e.Charge = ByPolicy
		e.Asked, e.Limited = c.limit.toward(e.Step, asked, e.Decided)
		return e
	}
	e.Asked = c.fallBack(s, asked)
	return e
}

// fallBack is what the fallback does; where it cannot tell, because no load is
// known, what was asked for before, and its only action or none before the first.
func (c *Controller) fallBack(s mesh.State, asked mesh.Action) mesh.Action {
	if s.Load != nil {
		if a, err := c.cfg.Fallback.Act(s); err == nil && c.space.Validate(a) == nil {
			return a.Clone()
		}
	}
	if asked != nil {
		return asked
	}
	if p, ok := c.cfg.Fallback.(policy.Static); ok {
		return p.Action.Clone()
	}
	return c.space.Action(nil, c.space.Nearest(c.space.Default()))
}

// step makes one within the time that it may take.
func (c *Controller) step(ctx context.Context, a mesh.Action) (Seen, error) {
	if c.cfg.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, c.cfg.Timeout, fmt.Errorf("no measurement within %v", c.cfg.Timeout))
		defer cancel()
	}
	seen, err := c.cfg.Mesh.Step(ctx, a)
	if err != nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return seen, err
}

// note takes a step into the status, asks the checks, and tells.
func (c *Controller) note(e Entry, seen Seen, err error) {
	e.Time = time.Now().UTC()
	if err != nil {
		e.Error = err.Error()
	} else {
		x := seen.Measurement
		e.InForce, e.Mark = seen.Action.Clone(), x.Mark
		e.Load, e.Carried = numbers(seen.Load), numbers(x.Carried)
		for _, d := range x.Service {
			e.Delay = append(e.Delay, Number(d.Mean))
		}
		e.Worth, e.Would = c.worth(seen.Load, e.InForce), c.worth(seen.Load, e.Decided)
	}
	if o, ok := c.cfg.Policy.(Observer); ok && err == nil {
		o.Observe(c.observed(e, seen))
	}
	was := c.guard.policy
	c.guard.look(Step{Seen: seen, Err: err, Policy: e.Charge == ByPolicy})
	for k, check := range c.cfg.Checks {
		if why := c.guard.objections[k]; why != "" {
			if e.Objections == nil {
				e.Objections = map[string]string{}
			}
			e.Objections[check.Name()] = why
		}
	}
	var change *Switch
	if was != c.guard.policy {
		change = &Switch{Step: e.Step + 1, Time: e.Time, To: ByPolicy, Why: fmt.Sprintf("nothing spoke against it for %s", steps1(c.guard.calm))}
		if was {
			change.To, change.Why = ByFallback, c.guard.why
		}
		if c.cfg.Shadow {
			change.To += ", were it to act"
		}
	}
	c.mu.Lock()
	c.status.add(e, c.space, change)
	c.mu.Unlock()
	c.looked()
	if c.cfg.OnStep != nil {
		c.cfg.OnStep(e)
	}
	if change != nil && c.cfg.OnSwitch != nil {
		c.cfg.OnSwitch(*change)
	}
}

// observed is a step as an Observer sees it.
func (c *Controller) observed(e Entry, seen Seen) control.Step {
	s := control.Step{T: e.Step, Load: seen.Load, Asked: e.Asked, Action: seen.Action, Measurement: seen.Measurement,
		Cost: c.space.Paid(seen.Next.InForce, seen.Next.Pending), Reward: math.NaN(), Next: seen.Next}
	if s.Asked == nil {
		s.Asked = seen.Action
	}
	for i, d := range e.Delay {
		s.Missed = s.Missed || i < len(c.cfg.Names.Goals) && float64(d) > c.cfg.Names.Goals[i]
	}
	return s
}

func (c *Controller) worth(l mesh.Load, a mesh.Action) Number {
	if c.cfg.Value == nil || a == nil || l == nil || slices.ContainsFunc(l, math.IsNaN) {
		return Number(math.NaN())
	}
	v, err := c.cfg.Value(l, a)
	if err != nil {
		return Number(math.NaN())
	}
	return Number(v)
}

// looked takes what the guard says into the status.
func (c *Controller) looked() {
	c.mu.Lock()
	defer c.mu.Unlock()
	g, s := &c.guard, &c.status
	s.Why, s.Calm, s.Wait = g.why, g.calm, g.wait
	if !c.cfg.Shadow {
		s.Charge = ByFallback
		if g.policy {
			s.Charge = ByPolicy
		}
	}
	s.Trusted = g.policy
	s.Checks = s.Checks[:0:0]
	for k, check := range c.cfg.Checks {
		x := CheckState{Name: check.Name(), State: check.State()}
		if k < len(g.objections) {
			x.Objection = g.objections[k]
		}
		if d, ok := check.(interface{ Statistic() float64 }); ok {
			x.Statistic = Number(d.Statistic())
		}
		s.Checks = append(s.Checks, x)
	}
}

// Status is how the run is going. It is not changed later.
func (c *Controller) Status() Status {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.status.clone()
}

// Lead says whether this process has the lease, or who has it.
func (c *Controller) Lead(leading bool, owner string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.status.Leading, c.status.Owner = leading, owner
}
