// Package scenario says in one value, and in one file, what is controlled: a
// mesh, the knobs that control it, the load that is offered to it, what it is
// to achieve and what its microservices do. Everything else follows from it:
// action space, observations, load patterns, baselines, testbeds, figures.
//
// A scenario is a Go value or a YAML file; those that are built in are files of
// this package, by the names that List gives. The paper's is Paper.
package scenario

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/meshbench/meshbench/lab/change"
	"github.com/meshbench/meshbench/lab/control"
	"github.com/meshbench/meshbench/lab/load"
	"github.com/meshbench/meshbench/lab/load/request"
	"github.com/meshbench/meshbench/lab/mesh"
	"github.com/meshbench/meshbench/lab/objective"
	"github.com/meshbench/meshbench/lab/service/item"
)

// Scenario is what is controlled, by which knobs, under which load, for what.
type Scenario struct {
	// Name is a word: it names files and folders.
	Name string
	// Title says in a line what the scenario is.
	Title string
	Mesh  mesh.Mesh
	Knobs []mesh.Knob
	// Limits bound what several of the knobs are set to together.
	Limits []mesh.Limit `json:",omitempty"`
	// Loads has the offered load of each service.
	Loads load.Ranges
	// Patterns are the offered loads that policies are learned and compared under,
	// as load.Parse takes them, for knobs that take their time. Default diurnal,
	// bursty, flashcrowd, step, ramp, sinusoidal.
	Patterns []string
	// Targets has what each service is to achieve.
	Targets []objective.Target
	// Objectives are what policies are learned for.
	Objectives []objective.Objective
	Timing     control.Timing
	// Discount is how much the reward of the next step counts in that of this one,
	// 0 to below 1, negative for none. Default 0.95 where knobs take their time,
	// else none: nothing carries over from one step to the next.
	Discount float64
	// Episode is the number of steps of a run that policies are learned and
	// evaluated on; runs are cut off then, not ended. Default 720, an hour of the
	// usual steps.
	Episode int
	// Work has what each of the layout's microservices does for a request.
	Work []Work
	// Queue is the number of requests that wait at a node, besides those in
	// service. Default item.Queue.
	Queue int
	// Link is the time of a request on the network, to a node and back, in s, for
	// every stage. Default item.Link; negative means none.
	Link float64
	// Collect is how a trace to learn from is made.
	Collect Collect
	// Changes are what may happen to the mesh, as change.Parse takes them, each a run
	// of its own. What is learned before does not depend on them, and so Hash does
	// not.
	Changes []string `json:"-"`
	// Requests has what each service of an application is asked for; nil, or an
	// empty mix, for items of this project's own services. Testbeds other than
	// http stand in for the application, by Work, and ask for items.
	Requests []request.Mix `json:",omitempty"`
	// Client is how the application is connected to.
	Client request.Client `json:",omitzero"`
	// Platform is what is measured beside the client. What is learned does not
	// depend on it, and so Hash does not.
	Platform Platform `json:"-"`
	// Application is where an application that is deployed already is reached;
	// the zero value for none.
	Application Application `json:",omitzero"`
}

// Work is what a microservice does for a request: it looks an item up and
// renders it, which takes its node a time in proportion to the item's size.
type Work struct {
	// Time is the mean service time on a node of speed 1, s.
	Time float64 `json:"time"`
	// Variation is the coefficient of variation of service times. Default 0.5.
	Variation float64 `json:"variation,omitempty"`
	// Items is the number of items. Default 1000.
	Items int `json:"items,omitempty"`
	// Nested items are trees of parts rather than flat records.
	Nested bool `json:"nested,omitempty"`
}

// Collect is how a trace is made.
type Collect struct {
	Steps int `json:"steps,omitempty"` // default 6000
}

// Space is what can be controlled.
func (s Scenario) Space() (*mesh.Space, error) {
	space, err := mesh.NewSpace(s.Mesh, s.Knobs...)
	if err != nil {
		return nil, err
	}
	return space.Limited(s.Limits...)
}

// MustSpace is Space of a scenario that is known to be valid; else it panics.
func (s Scenario) MustSpace() *mesh.Space {
	space, err := s.Space()
	if err != nil {
		panic("scenario: " + err.Error())
	}
	return space
}

// Kinds are the items of each microservice.
func (s Scenario) Kinds() []item.Kind {
	kinds := make([]item.Kind, len(s.Work))
	for u, w := range s.Work {
		w = w.defaults()
		mean := w.Time / item.SecondsPerByte
		// All items have MinBytes, so the rest varies the more.
		rest := w.Variation * mean / (mean - item.MinBytes)
		kinds[u] = item.Kind{Items: w.Items, MeanBytes: tidy(mean), Shape: tidy(1 / (rest * rest)), Nested: w.Nested}
	}
	return kinds
}

// tidy rounds what was said in decimals back to decimals.
func tidy(v float64) float64 { return math.Round(v*1e9) / 1e9 }

func (w Work) defaults() Work {
	if w.Variation == 0 {
		w.Variation = .5
	}
	if w.Items == 0 {
		w.Items = 1000
	}
	return w
}

// Defaults returns s with its zero fields filled in.
func (s Scenario) Defaults() Scenario {
	s.Timing = s.Timing.Defaults()
	s.Application = s.application()
	if s.Queue == 0 {
		s.Queue = item.Queue
	}
	if s.Link == 0 {
		s.Link = item.Link
	}
	if s.Collect.Steps == 0 {
		s.Collect.Steps = 6000
	}
	if s.Episode == 0 {
		s.Episode = 720
	}
	if s.Knobs == nil {
		s.Knobs = []mesh.Knob{{Kind: mesh.Route}, {Kind: mesh.Block}}
	}
	if s.Objectives == nil {
		s.Objectives = []objective.Objective{objective.Useful("useful", s.Mesh.ServiceNames(), s.Targets)}
	}
	if s.Patterns == nil {
		s.Patterns = []string{"diurnal", "bursty", "flashcrowd:every=240,jitter=0.5", "step:jitter=0.5", "ramp:jitter=0.5", "sinusoidal:jitter=1"}
	}
	if s.Discount == 0 {
		if space, err := s.Space(); err == nil && space.Slow() {
			s.Discount = .95
		}
	}
	s.Objectives = slices.Clone(s.Objectives)
	for k := range s.Objectives {
		o := &s.Objectives[k]
		if o.Services == nil {
			o.Services = s.Mesh.ServiceNames()
		}
		if o.Targets != nil {
			continue
		}
		for _, name := range o.Services {
			if i, err := s.Mesh.Service(name); err == nil && i < len(s.Targets) {
				o.Targets = append(o.Targets, s.Targets[i])
			}
		}
	}
	return s
}

// Goals are those of the services' response times, s; nil where Targets is.
func (s Scenario) Goals() []float64 {
	var goals []float64
	for _, t := range s.Targets {
		goals = append(goals, t.Goal)
	}
	return goals
}

// LoadPatterns are Patterns for the scenario's services.
func (s Scenario) LoadPatterns() ([]load.Pattern, error) {
	var out []load.Pattern
	for _, name := range s.Defaults().Patterns {
		p, err := load.Parse(name, s.Loads)
		if err != nil {
			return nil, err
		}
		out = append(out, p)
	}
	return out, nil
}

// MeshChanges are Changes.
func (s Scenario) MeshChanges() ([]change.Change, error) {
	return change.ParseAll(s.Changes, s.Mesh.Layout())
}

// Gamma is the discount factor of learning, 0 to below 1.
func (s Scenario) Gamma() float64 { return max(s.Defaults().Discount, 0) }

// Hash tells scenarios apart by all that they say.
func (s Scenario) Hash() string {
	b, err := json.Marshal(s.Defaults())
	if err != nil {
		panic("scenario: " + err.Error()) // all of it is plain data
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

const maxName = 40

// Validate lists all that is wrong: errors joined, nil for none.
func (s Scenario) Validate() error {
	s = s.Defaults()
	var all []error
	add := func(err error, format string, args ...any) {
		if err != nil {
			all = append(all, fmt.Errorf(format+": %w", append(args, err)...))
		}
	}
	if s.Name == "" || len(s.Name) > maxName || strings.Trim(s.Name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_") != "" {
		add(fmt.Errorf("%q; accepted: at most %d letters, digits, - and _", s.Name, maxName), "name")
	}
	meshErr := s.Mesh.Validate()
	if meshErr != nil {
		all = append(all, meshErr)
	}
	for i, name := range s.Mesh.ServiceNames() {
		if i < len(s.Loads) {
			add(s.Loads[i].Validate(), "service %q", name)
		}
		if i < len(s.Targets) {
			add(s.Targets[i].Validate(), "service %q", name)
		}
	}
	if len(s.Loads) == s.Mesh.M() {
		_, err := s.LoadPatterns()
		add(err, "patterns")
	}
	m := s.Mesh.M()
	if len(s.Loads) != m || len(s.Targets) != m {
		add(fmt.Errorf("%d loads and %d targets for %d services", len(s.Loads), len(s.Targets), m), "services")
	}
	all = append(all, s.validateRequests()...)
	all = append(all, s.Platform.validate(s.Mesh.NodeNames())...)
	add(s.Timing.Validate(), "timing")
	if s.Queue < 1 || s.Queue > 1<<20 {
		add(fmt.Errorf("%d; accepted: 1 to %d", s.Queue, 1<<20), "queue")
	}
	if math.IsNaN(s.Link) || s.Link > 60 {
		add(fmt.Errorf("%v s; accepted: a number up to 60, negative for none", s.Link), "link")
	}
	if s.Collect.Steps < 1 || s.Collect.Steps > 10_000_000 {
		add(fmt.Errorf("%d steps; accepted: 1 to 10000000", s.Collect.Steps), "collect")
	}
	if !(s.Discount < 1) {
		add(fmt.Errorf("%v; accepted: 0 to below 1, negative for none", s.Discount), "discount")
	}
	if s.Episode < 1 || s.Episode > 1_000_000 {
		add(fmt.Errorf("%d steps; accepted: 1 to 1000000", s.Episode), "episode")
	}
	if meshErr != nil {
		return errors.Join(all...)
	}
	l := s.Mesh.Layout()
	if len(s.Work) != len(l.Microservices) {
		add(fmt.Errorf("work of %d microservices; the mesh has %d", len(s.Work), len(l.Microservices)), "work")
	} else {
		for u, w := range s.Work {
			add(w.Validate(), "microservice %q", l.Microservices[u])
		}
	}
	_, err := s.MeshChanges()
	add(err, "changes")
	space, err := s.Space()
	if err != nil {
		return errors.Join(append(all, err)...)
	}
	seen := map[string]bool{}
	for _, o := range s.Objectives {
		if o.Name == "" || seen[o.Name] {
			add(fmt.Errorf("name %q; each has a name of its own", o.Name), "objective")
		}
		seen[o.Name] = true
		if _, err := o.Bind(space); err != nil {
			all = append(all, err)
		}
	}
	return errors.Join(all...)
}

// Validate reports what is not accepted.
func (w Work) Validate() error {
	w = w.defaults()
	least := item.MinBytes * item.SecondsPerByte
	switch {
	case !(w.Time > least) || w.Time > 1000:
		return fmt.Errorf("time %v s; accepted: above %v, which an item without content takes, up to 1000", w.Time, least)
	case !(w.Variation > 0 && w.Variation <= 5):
		return fmt.Errorf("variation %v; accepted: above 0, up to 5", w.Variation)
	case w.Items < 1 || w.Items > 1_000_000:
		return fmt.Errorf("%d items; accepted: 1 to 1000000", w.Items)
	}
	return nil
}

// Reference is the cell that a collection repeats to see whether the testbed
// changes: a load of a third of the way through each range, and the space's
// action nearest to no control.
func (s Scenario) Reference(space *mesh.Space) (mesh.Load, mesh.Action) {
	l := make(mesh.Load, len(s.Loads))
	for i, r := range s.Loads {
		l[i] = r.Min + (r.Max-r.Min)/3
	}
	return l, space.Action(nil, space.Nearest(space.Default()))
}

// ServiceTimes are the mean times in s that a request of each service keeps
// nodes of speed 1 busy, all calls together.
func (s Scenario) ServiceTimes() []float64 {
	times := make([]float64, s.Mesh.M())
	for _, c := range s.Mesh.Layout().Calls {
		times[c.Service] += s.Work[c.Microservice].Time
	}
	return times
}
