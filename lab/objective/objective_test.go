package objective_test

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/meshbench/meshbench/lab/mesh"
	"github.com/meshbench/meshbench/lab/objective"
	"github.com/meshbench/meshbench/lab/scenario"
)

// paper is an objective of the paper's scenario.
func paper(t testing.TB, name string) objective.Objective {
	t.Helper()
	o, err := scenario.Paper().Objective(name)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

var (
	space    = mesh.Grid(mesh.New(2, 2), 6)
	services = []string{"service1", "service2"}
	targets  = []objective.Target{{Goal: .035, Centre: .050}, {Goal: .110, Centre: .115}}
)

func TestUtility(t *testing.T) {
	target := objective.Target{Goal: .035, Centre: .050, Steepness: 200}
	for _, tt := range []struct{ d, want float64 }{
		{0, 1},
		{.035, 1},
		{.050, .5},
		{.040, (1 - math.Tanh(100*(.040-.050))) / 2}, // the paper's other form
		{1, 0},
		{math.NaN(), 0},
	} {
		if got := target.Utility(tt.d); math.Abs(got-tt.want) > 1e-12 {
			t.Errorf("Utility(%v) = %v, want %v", tt.d, got, tt.want)
		}
	}
	// By default half of the utility is left 15 % above the goal.
	if got := (objective.Target{Goal: 2}).Utility(2.3); math.Abs(got-.5) > 1e-12 {
		t.Errorf("default centre: %v", got)
	}
}

// The paper's targets, as its scenario has them.
func TestPaperTargets(t *testing.T) {
	o := paper(t, "MO1")
	if len(o.Targets) != 2 || o.Targets[0].Goal != .035 || o.Targets[1].Goal != .110 {
		t.Errorf("targets %+v", o.Targets)
	}
	if got := o.Targets[0].Utility(.050); math.Abs(got-.5) > 1e-9 {
		t.Errorf("r1(50 ms) is %v, want 1/2", got)
	}
}

func TestMinLoadUtility(t *testing.T) {
	for _, tt := range []struct{ carried, want, tolerance float64 }{
		{20, 1, 0}, {5, 1, 0}, {4.5, .5, 1e-12}, {4, .0067, 1e-4}, {0, 0, 1e-12},
	} {
		if got := objective.MinLoadUtility(tt.carried, 5); math.Abs(got-tt.want) > tt.tolerance {
			t.Errorf("MinLoadUtility(%v, 5) = %v, want %v", tt.carried, got, tt.want)
		}
	}
}

// step is a step of the paper's mesh: service 1 is answered by both nodes,
// service 2 by node 2 only.
func step() (mesh.Load, mesh.Action, mesh.Measurement) {
	x := mesh.NewMeasurement(space.Layout())
	x.Carried[0], x.Carried[1] = 9, 4
	x.Service[0].Mean, x.Service[1].Mean = .030, .200
	x.Service[0].P95, x.Service[0].P99 = .060, .500
	x.Service[0].Count, x.Failed[0] = 30, 10
	x.Endpoint[0].Mean, x.Endpoint[1].Mean, x.Endpoint[3].Mean = .020, .050, .200
	return mesh.Load{10, 5}, mesh.Action{.5, .5, 0, 1, .2, .2}, x
}

func TestReward(t *testing.T) {
	one := func(f objective.Factor) objective.Objective {
		return objective.Objective{Services: services, Targets: targets, Terms: []objective.Term{{Product: []objective.Factor{f}}}}
	}
	for _, tt := range []struct {
		name string
		o    objective.Objective
		want float64
	}{
		{"MO1, paper", paper(t, "MO1"), 9},
		{"MO2, paper", paper(t, "MO2"), 9},
		{"MO3, paper", paper(t, "MO3"), 4},
		{"MO1, published: r1(50 ms) is 1/2, 8 carried", paper(t, "MO1").AsPublished(), 4},
		{"guaranteed", objective.Guaranteed("g", services, targets, "service2", "service1", 5), 4},
		{"guaranteed, floor missed", objective.Guaranteed("g", services, targets, "service1", "service2", 100), 9},
		{"product", objective.GuaranteedProduct("p", services, targets, "service1", "service2", 4), 9},
		{"product, floor missed", objective.GuaranteedProduct("p", services, targets, "service1", "service2", 4.001), 0},
		{"product, late", objective.GuaranteedProduct("p", services, targets, "service2", "service1", 5), 0},
		{"weights", objective.Useful("u", services, targets, 3), 27},
		{"negative weight", objective.Objective{Targets: targets, Terms: []objective.Term{{Weight: -2, Product: []objective.Factor{{Of: objective.Turned, Service: "service1"}}}}}, -2},
		{"offered", one(objective.Factor{Of: objective.Offered, Service: "service2"}), 5},
		{"blocked", one(objective.Factor{Of: objective.Turned, Service: "service2"}), 1},
		{"delay", one(objective.Factor{Of: objective.Delay, Service: "service2"}), .2},
		{"late", one(objective.Factor{Of: objective.Late, Service: "service2"}), .09},
		{"not late", one(objective.Factor{Of: objective.Late, Service: "service1"}), 0},
		{"at least", one(objective.Factor{Of: objective.AtLeast, Service: "service1", Bound: 9}), 1},
		{"failed", one(objective.Factor{Of: objective.Failures, Service: "service1"}), .25},
		{"met", one(objective.Factor{Of: objective.Met, Service: "service1"}), 1},
		{"met by all", one(objective.Factor{Of: objective.Met}), 0},
		{"missed", one(objective.Factor{Of: objective.Missed, Service: "service2"}), 1},
		{"met p95", one(objective.Factor{Of: objective.Met, Quantile: objective.P95, Service: "service1"}), 0},
		{"met p95 of which nothing is known", one(objective.Factor{Of: objective.Met, Quantile: objective.P95, Service: "service2"}), 0},
		{"delay p99", one(objective.Factor{Of: objective.Delay, Quantile: objective.P99, Service: "service1"}), .5},
		{"late p95", one(objective.Factor{Of: objective.Late, Quantile: objective.P95, Service: "service1"}), .025},
		{"grace", one(objective.Factor{Of: objective.Grace, Service: "service2", Bound: 10}), math.Exp(-.9)},
		{"grace of the latest", one(objective.Factor{Of: objective.Grace, Bound: 10}), math.Exp(-.9)},
		{"grace not used", one(objective.Factor{Of: objective.Grace, Service: "service1", Bound: 10}), 1},
		{"setting", one(objective.Factor{Of: objective.Setting, Service: "p22"}), 1},
		{"cost", one(objective.Factor{Of: objective.Cost}), 3},
		{"changed", one(objective.Factor{Of: objective.Changed}), 2},
		{"own", objective.Objective{Services: []string{"service2"}, Targets: []objective.Target{{Goal: .3, Centre: .4}},
			Reward: func(s []objective.Outcome, _ objective.Step) float64 { return s[0].Offered + s[0].Delay + s[0].Utility }}, 6.2},
	} {
		e, err := tt.o.Bind(space)
		if err != nil {
			t.Fatalf("%s: %v", tt.name, err)
		}
		l, a, x := step()
		s := objective.Steady(space, l, a, x)
		s.Cost, s.Before = 3, mesh.Action{0, 1, 0, 1, 0, .2}
		if got := e.Reward(s); math.Abs(got-tt.want) > 1e-6 {
			t.Errorf("%s: reward %v, want %v", tt.name, got, tt.want)
		}
	}
}

// Objectives that are bound together pay what each does alone, whatever others look at
// or do with what they see.
func TestBindAll(t *testing.T) {
	spoil := objective.Objective{Targets: targets, Reward: func(s []objective.Outcome, _ objective.Step) float64 {
		s[0].Carried, s[0].Utility = 1e6, 0
		return s[0].Carried
	}}
	other := []objective.Target{{Goal: .3, Centre: .4}, {Goal: .01}}
	list := []objective.Objective{
		spoil, paper(t, "MO1"), paper(t, "MO1").AsPublished(), spoil, paper(t, "MO2"), paper(t, "MO3"), paper(t, "MO3").AsPublished(),
		objective.Useful("other targets", services, other), objective.Useful("other order", []string{"service2", "service1"}, targets),
	}
	together, err := objective.BindAll(space, list...)
	if err != nil {
		t.Fatal(err)
	}
	l, a, x := step()
	s := objective.Steady(space, l, a, x)
	got := make([]float64, len(list))
	together.Rewards(got, s)
	for k, o := range list {
		alone, err := o.Bind(space)
		if err != nil {
			t.Fatal(err)
		}
		if want := alone.Reward(s); got[k] != want || together[k].Reward(s) != want {
			t.Errorf("objective %d, %s: %v together and %v afterwards, %v alone", k, o.Name, got[k], together[k].Reward(s), want)
		}
	}
	if _, err := objective.BindAll(space, paper(t, "MO1"), objective.Objective{Name: "empty"}); err == nil {
		t.Error("an objective without a reward is bound")
	}
}

// The mean of draws that are valued together is that of their rewards one by one.
func TestMeans(t *testing.T) {
	own := objective.Objective{Targets: targets, Reward: func([]objective.Outcome, objective.Step) float64 { return 1 }}
	list := []objective.Objective{
		paper(t, "MO1"), paper(t, "MO2"), paper(t, "MO3"), objective.GuaranteedProduct("p", services, targets, "service1", "service2", 4),
		objective.Useful("order", []string{"service2", "service1"}, targets), objective.Useful("one", services[1:], targets[1:]),
		{Targets: targets, Carried: objective.Nominal, Terms: paper(t, "MO1").Terms},
		objective.NOMS1("service1", "service2", "p12", "p22"), objective.TNSM4("service1", "service2"), objective.NOMS2("service1"),
		{Targets: targets, Terms: []objective.Term{
			{Product: []objective.Factor{{Of: objective.Offered, Service: "service2"}, {Of: objective.Turned, Service: "service1"}}},
			{Weight: -1, Product: []objective.Factor{{Of: objective.Late}, {Of: objective.Changed}}},
		}},
	}
	together, err := objective.BindAll(space, list...)
	if err != nil {
		t.Fatal(err)
	}
	if !together.Sampled() {
		t.Error("more is seen than carried loads and response times")
	}
	l, a, x := step()
	s := objective.Steady(space, l, a, x)
	s.Cost, s.Before = 3, mesh.Action{0, 1, 0, 1, 0, .2}
	draws := objective.Sample{
		Delay:   [][]float64{{.01, .036, math.NaN(), .5}, {.2, .111, .05, math.NaN()}},
		Carried: [][]float64{{9, 4.2, 0, 3}, {4, 5, 4.6, 0}},
	}
	want, got, one := make([]float64, len(list)), make([]float64, len(list)), make([]float64, len(list))
	for k := range 4 {
		for i := range 2 {
			s.Measurement.Carried[i], s.Measurement.Service[i].Mean = draws.Carried[i][k], draws.Delay[i][k]
		}
		together.Rewards(one, s)
		for n, v := range one {
			want[n] += v / 4
		}
	}
	together.Means(got, s, draws)
	for n, o := range list {
		if got[n] != want[n] {
			t.Errorf("objective %d, %s: %v together, %v one by one", n, o.Name, got[n], want[n])
		}
	}
	for _, o := range []objective.Objective{own, paper(t, "MO1").AsPublished(), objective.SLO("s", services, targets, objective.P95, 1)} {
		e, err := objective.BindAll(space, paper(t, "MO1"), o)
		if err != nil {
			t.Fatal(err)
		}
		if e.Sampled() {
			t.Errorf("%s is said to see no more than carried loads and response times", o)
		}
	}
}

// The share above the goal follows from the percentiles: in between, and beyond the
// last, the logarithm of what is left is linear.
func TestOver(t *testing.T) {
	nan := math.NaN()
	for _, tt := range []struct{ goal, p50, p95, p99, want float64 }{
		{.1, .1, .2, .4, .5}, {.2, .1, .2, .4, .05}, {.4, .1, .2, .4, .01},
		{.05, .1, .2, .4, math.Sqrt(.5)}, {.15, .1, .2, .4, math.Sqrt(.5 * .05)}, {.3, .1, .2, .4, math.Sqrt(.05 * .01)},
		{.6, .1, .2, .4, .01 / 5}, {.2, .1, nan, .4, math.Exp(math.Log(.5) + math.Log(.02)/3)},
		{.1, .2, nan, nan, math.Sqrt(.5)}, {.1, .2, .2, .2, math.Sqrt(.5)}, {.1, nan, nan, nan, 1},
	} {
		l, a, x := step()
		x.Service[0].P50, x.Service[0].P95, x.Service[0].P99 = tt.p50, tt.p95, tt.p99
		o := objective.Objective{Services: services, Targets: []objective.Target{{Goal: tt.goal}, {Goal: 1}},
			Terms: []objective.Term{{Product: []objective.Factor{{Of: objective.Over, Service: "service1"}}}}}
		e, err := o.Bind(space)
		if err != nil {
			t.Fatal(err)
		}
		if got := e.Reward(objective.Steady(space, l, a, x)); math.Abs(got-tt.want) > 1e-9 {
			t.Errorf("%+v: %v", tt, got)
		}
		if !o.Tail() {
			t.Error("a model is not told to learn percentiles")
		}
	}
}

func TestRewardMissing(t *testing.T) {
	e, err := paper(t, "MO1").Bind(space)
	if err != nil {
		t.Fatal(err)
	}
	l, a, x := step()
	x.Carried[0] = math.NaN()
	if got := e.Reward(objective.Steady(space, l, a, x)); !math.IsNaN(got) {
		t.Errorf("reward %v with a carried load missing, want NaN", got)
	}
	l, a, x = step()
	x.Service[0] = mesh.NoDelay()
	if got := e.Reward(objective.Steady(space, l, a, x)); math.Abs(got) > 1e-6 {
		t.Errorf("reward %v with service 1 unanswered and service 2 late, want 0", got)
	}
}

// Along a path delays add up, and of parallel calls the slowest counts.
func TestMaxOverNodesOfAGraph(t *testing.T) {
	m := mesh.Mesh{Nodes: []mesh.Node{{Name: "a"}, {Name: "b"}}, Services: []mesh.Service{{Name: "shop", Stages: []mesh.Stage{
		{{Microservice: "web", Nodes: []string{"a", "b"}}},
		{{Microservice: "cart", Nodes: []string{"a"}}, {Microservice: "price", Nodes: []string{"b"}}},
	}}}}
	s := mesh.Grid(m, 3)
	o := objective.Objective{Delay: objective.MaxOverNodes, Targets: []objective.Target{{Goal: 1}},
		Reward: func(s []objective.Outcome, _ objective.Step) float64 { return s[0].Delay }}
	e, err := o.Bind(s)
	if err != nil {
		t.Fatal(err)
	}
	x := mesh.NewMeasurement(s.Layout())
	for k, d := range []float64{.1, .3, .2, .5} {
		x.Endpoint[k].Mean = d
	}
	x.Carried[0] = 1
	if got := e.Reward(objective.Steady(s, mesh.Load{1}, s.Default(), x)); math.Abs(got-.8) > 1e-12 {
		t.Errorf("delay %v, want .3 + .5", got)
	}
	x.Endpoint[0] = mesh.NoDelay()
	x.Endpoint[3] = mesh.NoDelay()
	if got := e.Reward(objective.Steady(s, mesh.Load{1}, s.Default(), x)); math.Abs(got-.5) > 1e-12 {
		t.Errorf("delay %v, want .3 + .2", got)
	}
}

func TestBindErrors(t *testing.T) {
	reward := func([]objective.Outcome, objective.Step) float64 { return 0 }
	carried := []objective.Factor{{Of: objective.Carried, Service: "service1"}}
	for _, tt := range []struct {
		o    objective.Objective
		want string
	}{
		{objective.Objective{Name: "x", Targets: targets}, `objective "x": it has neither terms nor a Reward`},
		{objective.Objective{Name: "x", Services: []string{"frontend"}, Reward: reward}, `unknown service "frontend"; the mesh has service1, service2`},
		{objective.Objective{Name: "x", Services: []string{"service1", "service1"}, Reward: reward}, "named twice"},
		{objective.Objective{Name: "x", Services: []string{"service1"}, Targets: targets, Reward: reward}, "2 targets for 1 services"},
		{objective.Objective{Name: "x", Reward: reward}, "0 targets for 2 services"},
		{objective.Objective{Name: "x", Targets: []objective.Target{{Goal: 1, Centre: 1}, {Goal: -1}}, Reward: reward}, "target of service2: goal is -1"},
		{objective.Objective{Name: "x", Targets: []objective.Target{{Goal: 1, Steepness: math.Inf(1)}, {Goal: 1}}, Reward: reward}, "target of service1: steepness is +Inf"},
		{objective.Objective{Name: "x", Targets: targets, Terms: []objective.Term{{}}}, "term 1 has no factor"},
		{objective.Objective{Name: "x", Targets: targets, Terms: []objective.Term{{Product: carried}, {Weight: math.NaN(), Product: carried}}}, "term 2 has weight NaN"},
		{objective.Objective{Name: "x", Targets: targets, Terms: []objective.Term{{Product: []objective.Factor{{Of: objective.Carried, Service: "z"}}}}}, `unknown service "z"; the objective sees service1, service2`},
		{objective.Objective{Name: "x", Targets: targets, Terms: []objective.Term{{Product: []objective.Factor{{Of: "colour", Service: "service1"}}}}}, `unknown quantity "colour"`},
		{objective.Objective{Name: "x", Targets: targets, Terms: []objective.Term{{Product: []objective.Factor{{Of: objective.AtLeast, Service: "service1", Bound: math.NaN()}}}}}, "bound NaN of at-least"},
	} {
		if _, err := tt.o.Bind(space); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("Bind(%+v): %v, want %q", tt.o, err, tt.want)
		}
	}
	if _, err := scenario.Paper().Objective("MO4"); err == nil || !strings.Contains(err.Error(), "MO1, MO2, MO3") {
		t.Errorf("MO4: %v", err)
	}
	if o, err := objective.Find([]objective.Objective{{Name: "A"}, {Name: "MO1"}}, "mo1"); err != nil || o.Name != "MO1" {
		t.Errorf("mo1: %v, %v", o, err)
	}
}

func TestTarget(t *testing.T) {
	o := objective.Useful("one", []string{"service2"}, targets[1:])
	e, err := o.Bind(space)
	if err != nil {
		t.Fatal(err)
	}
	if target, ok := e.Target(1); !ok || target.Goal != .110 || target.Steepness == 0 {
		t.Errorf("target of service2: %+v, %v", target, ok)
	}
	if _, ok := e.Target(0); ok {
		t.Error("a target of a service that the objective does not see")
	}
	if e.Objective().Name != "one" {
		t.Errorf("objective %s", e.Objective())
	}
}

// Whatever makes two objectives differ is in their keys.
func TestKey(t *testing.T) {
	base := objective.Guaranteed("g", services, targets, "service1", "service2", 5)
	keys := map[string]string{}
	change := func(what string, f func(o *objective.Objective)) {
		o := base
		o.Targets, o.Terms, o.Services = slices.Clone(base.Targets), slices.Clone(base.Terms), slices.Clone(base.Services)
		for k := range o.Terms {
			o.Terms[k].Product = slices.Clone(o.Terms[k].Product)
		}
		f(&o)
		key, ok := o.Key()
		if !ok {
			t.Fatalf("%s: no key", what)
		}
		if other, there := keys[key]; there {
			t.Errorf("%s has the key of %s", what, other)
		}
		keys[key] = what
	}
	change("itself", func(o *objective.Objective) {})
	change("another name", func(o *objective.Objective) { o.Name = "h" })
	change("another goal", func(o *objective.Objective) { o.Targets[0].Goal *= 1.0001 })
	change("another centre", func(o *objective.Objective) { o.Targets[1].Centre = .2 })
	change("another steepness", func(o *objective.Objective) { o.Targets[1].Steepness = 7 })
	change("another weight", func(o *objective.Objective) { o.Terms[0].Weight = 2 })
	change("another bound", func(o *objective.Objective) { o.Terms[0].Product[1].Bound = 6 })
	change("another quantity", func(o *objective.Objective) { o.Terms[0].Product[1].Of = objective.AtLeast })
	change("services the other way round", func(o *objective.Objective) { o.Services[0], o.Services[1] = o.Services[1], o.Services[0] })
	change("a term less", func(o *objective.Objective) { o.Terms = o.Terms[:1] })
	change("as published", func(o *objective.Objective) { *o = o.AsPublished() })
	change("max over nodes", func(o *objective.Objective) { o.Delay = objective.MaxOverNodes })
	change("an own function of version 1", func(o *objective.Objective) {
		o.Reward, o.Version = func([]objective.Outcome, objective.Step) float64 { return 0 }, "1"
	})
	change("an own function of version 2", func(o *objective.Objective) {
		o.Reward, o.Version = func([]objective.Outcome, objective.Step) float64 { return 0 }, "2"
	})
	change("a version without a function", func(o *objective.Objective) { o.Version = "1" })
	base.Reward = func([]objective.Outcome, objective.Step) float64 { return 0 }
	if key, ok := base.Key(); ok {
		t.Errorf("an own function without a version has key %s", key)
	}
}

func TestFactorText(t *testing.T) {
	for _, f := range []objective.Factor{
		{Of: objective.Offered, Service: "a"}, {Of: objective.Carried, Service: "video info"}, {Of: objective.Turned, Service: "5"},
		{Of: objective.Delay, Service: "a"}, {Of: objective.Late, Service: "a"}, {Of: objective.Utility, Service: "a"},
		{Of: objective.MinLoad, Service: "video info", Bound: 4.25}, {Of: objective.AtLeast, Service: "5", Bound: 1e-3}, {Of: objective.AtLeast, Service: "a"},
	} {
		text, err := f.MarshalText()
		var back objective.Factor
		if err == nil {
			err = back.UnmarshalText(text)
		}
		if err != nil || back != f {
			t.Errorf("%+v as %q reads back as %+v, %v", f, text, back, err)
		}
	}
	for text, words := range map[string]string{
		"":                   "a quantity and a service",
		"carried":            "a quantity and a service",
		"colour a":           `unknown quantity "colour"; accepted: [offered carried blocked failed delay late`,
		"min-load a":         "it ends with a bound",
		"min-load 5":         "it ends with a bound",
		"grace":              "it ends with a bound",
		"grace x":            "it ends with a bound",
		"cost a":             "cost is of the whole step",
		"setting":            "a column of the action",
		"utility p95":        "a quantity and a service",
		"min-load a x":       "it ends with a bound",
		"at-least a -1":      "finite number >= 0",
		"at-least a +Inf":    "finite number >= 0",
		"at-least a b c NaN": "finite number >= 0",
	} {
		var f objective.Factor
		if err := f.UnmarshalText([]byte(text)); err == nil || !strings.Contains(err.Error(), words) {
			t.Errorf("%q: %v, want %q", text, err, words)
		}
	}
	o := objective.Guaranteed("g", services, targets, "service1", "service2", 5)
	b, err := json.Marshal(o)
	var back objective.Objective
	if err == nil {
		err = json.Unmarshal(b, &back)
	}
	one, _ := o.Key()
	two, _ := back.Key()
	if err != nil || one != two {
		t.Errorf("%s reads back as %s, %v", o, back, err)
	}
	if got := o.String(); got != "g: carried(service1) min-load(service2, 5) + carried(service1) utility(service1)" {
		t.Errorf("for people: %s", got)
	}
	if !strings.Contains(objective.Objective{Name: "x", Reward: func([]objective.Outcome, objective.Step) float64 { return 0 }}.String(), "function") {
		t.Error("an own function is not said to be one")
	}
}

// An objective of one's own: the second service's load counts only while it is
// on time, and blocking costs.
func Example() {
	own := objective.Objective{
		Name:    "on time",
		Targets: []objective.Target{{Goal: .035, Centre: .050}, {Goal: .110, Centre: .115}},
		Reward: func(s []objective.Outcome, _ objective.Step) float64 {
			return s[0].Carried*s[0].Utility - .1*(s[1].Offered-s[1].Carried)
		},
	}
	e, err := own.Bind(space)
	if err != nil {
		fmt.Println(err)
		return
	}
	load, action, measured := step()
	fmt.Printf("%.2f\n", e.Reward(objective.Steady(space, load, action, measured)))
	// Output: 8.90
}

// The same as data: it can be printed, written to a file and told from others.
func ExampleTerm() {
	o := objective.Objective{Name: "on time", Terms: []objective.Term{
		{Product: []objective.Factor{{Of: objective.Carried, Service: "service1"}, {Of: objective.Utility, Service: "service1"}}},
		{Weight: -.1, Product: []objective.Factor{{Of: objective.Turned, Service: "service2"}}},
	}}
	fmt.Println(o)
	// Output: on time: carried(service1) utility(service1) - 0.1 blocked(service2)
}
