package onnx_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"gonum.org/v1/gonum/mat"

	"github.com/meshbench/meshbench/lab/learner"
	"github.com/meshbench/meshbench/lab/load"
	"github.com/meshbench/meshbench/lab/mesh"
	"github.com/meshbench/meshbench/lab/model"
	"github.com/meshbench/meshbench/lab/onnx"
	"github.com/meshbench/meshbench/lab/scenario"
	"github.com/meshbench/meshbench/lab/study"
)

// rows is the number of random inputs that are compared.
const rows = 10_000

// python is the interpreter that has onnxruntime; the test is skipped without one.
// $MESHBENCH_ONNX_PYTHON names it, by default it is python3.
func python(t *testing.T) string {
	t.Helper()
	name := os.Getenv("MESHBENCH_ONNX_PYTHON")
	if name == "" {
		name = "python3"
	}
	if out, err := exec.Command(name, "-c", "import numpy, onnxruntime").CombinedOutput(); err != nil {
		lines := strings.Split(strings.TrimSpace(string(out)), "\n")
		t.Skipf("%s has no onnxruntime, $MESHBENCH_ONNX_PYTHON may name one that has: %v %s", name, err, lines[len(lines)-1])
	}
	return name
}

// array is an input or output of a model, row by row.
type array struct {
	Name  string `json:"name"`
	Type  string `json:"type"`
	Shape []int  `json:"shape"`
	File  string `json:"file"`
	data  any
}

func newArray[T float64 | float32 | int64](name string, data []T, shape ...int) array {
	kind := map[string]string{"float64": "<f8", "float32": "<f4", "int64": "<i8"}[fmt.Sprintf("%T", *new(T))]
	return array{Name: name, Type: kind, Shape: append([]int{rows}, shape...), File: name, data: data}
}

// compared is what check.py says of an output.
type compared struct {
	Rows, Equal        int
	Relative, Absolute float64
}

// check runs a model by onnxruntime on inputs, and compares its outputs.
func check(t *testing.T, onnxModel []byte, inputs, outputs []array) map[string]compared {
	t.Helper()
	program := python(t)
	dir := t.TempDir()
	write := func(name string, data []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, data, 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for _, a := range slices.Concat(inputs, outputs) {
		b, err := binary.Append(nil, binary.LittleEndian, a.data)
		if err != nil {
			t.Fatal(err)
		}
		write(a.File, b)
	}
	text, err := json.Marshal(map[string]any{"inputs": inputs, "outputs": outputs})
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, "testdata/check.py", write("model.onnx", onnxModel), write("case.json", text))
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("check.py: %v\n%s", err, &stderr)
	}
	var result struct {
		Inputs  []string
		Outputs map[string]compared
	}
	if err := json.Unmarshal(out, &result); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if len(result.Inputs) != len(inputs) {
		t.Errorf("the model has inputs %v", result.Inputs)
	}
	t.Logf("%d inputs: %+v", rows, result.Outputs)
	return result.Outputs
}

// trained trains a policy on a small model.
func trained(t *testing.T, s scenario.Scenario, l learner.PPO, steps int) *learner.Network {
	t.Helper()
	ctx := context.Background()
	source, err := study.Virtual(ctx, s, 300, 1)
	if err != nil {
		t.Fatal(err)
	}
	m, err := source.Learn(ctx, 0)
	if err != nil {
		t.Fatal(err)
	}
	r, err := source.Rewards(m, s.Defaults().Objectives[0])
	if err != nil {
		t.Fatal(err)
	}
	l.Config.TotalSteps = steps
	p := study.Problem(r, s, study.Setting{Learner: l, Load: load.Uniform{Ranges: s.Loads}})
	p.Score = nil
	n, err := l.Learn(ctx, p, 1, nil)
	if err != nil {
		t.Fatal(err)
	}
	return n.(*learner.Network)
}

// states draws states of what a policy sees, and the arrays that say them.
func states(n *learner.Network) ([]mesh.State, []array) {
	d := n.Description()
	m, width := len(d.Loads), d.Space.Width()
	_, slow, parts := n.InForce()
	rng := rand.New(rand.NewPCG(1, 2))
	draw := func() mesh.Load {
		l := make(mesh.Load, m)
		for i, r := range d.Loads {
			// Beyond the range too, and on its edges.
			l[i] = r.Min + (r.Max-r.Min)*(1.2*rng.Float64()-.1)
			switch rng.IntN(20) {
			case 0:
				l[i] = r.Min
			case 1:
				l[i] = r.Max
			}
		}
		return l
	}
	var list []mesh.State
	var loads, past, delays, inForce, ahead, asked []float64
	increments := false
	for _, k := range d.Space.Knobs() {
		increments = increments || k.Step > 0
	}
	for range rows {
		s := mesh.State{Load: draw()}
		loads = append(loads, s.Load...)
		for i := range m {
			v := math.NaN()
			if rng.IntN(10) > 0 {
				v = 3 * rng.Float64()
				if d.Goals != nil {
					v *= d.Goals[i]
				}
			}
			s.Delay = append(s.Delay, v)
		}
		delays = append(delays, s.Delay...)
		for range d.Observation.Past {
			s.Past = append(s.Past, draw())
			past = append(past, s.Past[len(s.Past)-1]...)
		}
		choice := func() (c []int) {
			for _, n := range d.Space.Choices() {
				c = append(c, rng.IntN(n))
			}
			return c
		}
		s.InForce = d.Space.Action(nil, choice())
		if increments && rng.IntN(50) == 0 { // before the first step
			s.InForce = nil
			inForce = append(inForce, make([]float64, width)...)
			ahead = append(ahead, make([]float64, len(slow)*parts)...)
			asked = append(asked, slices.Repeat([]float64{math.NaN()}, width)...)
			list = append(list, s)
			continue
		}
		inForce = append(inForce, s.InForce...)
		next := choice()
		for _, h := range slow {
			k := &d.Space.Knobs()[h]
			whole := max(k.Up, k.Down)
			left := whole * rng.Float64()
			pending := rng.IntN(2) == 0
			if pending {
				s.Pending = append(s.Pending, mesh.Pending{Knob: h, Point: next[h], Left: left})
			}
			for u := range parts {
				v := s.InForce[k.First]
				if pending && left <= whole*float64(u+1)/float64(parts)+1e-9 {
					v = k.Points[next[h]][0]
				}
				ahead = append(ahead, v)
			}
		}
		asked = append(asked, d.Space.Asked(nil, s.InForce, s.Pending)...)
		list = append(list, s)
	}
	inputs := []array{newArray("load", loads, m)}
	o := d.Observation
	if o.Past > 0 {
		inputs = append(inputs, newArray("past", past, o.Past, m))
	}
	if o.Delays {
		inputs = append(inputs, newArray("delay", delays, m))
	}
	if o.InForce {
		inputs = append(inputs, newArray("in_force", inForce, width))
	}
	if o.InForce && len(slow) > 0 {
		inputs = append(inputs, newArray("ahead", ahead, len(slow)*parts))
	}
	if increments {
		inputs = append(inputs, newArray("asked", asked, width))
	}
	return list, inputs
}

func builtin(t *testing.T, name string) scenario.Scenario {
	t.Helper()
	s, err := scenario.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// What a policy decides is the same in Go and in onnxruntime, for every way to see
// and to choose.
func TestPolicies(t *testing.T) {
	python(t)
	paper := scenario.Paper()
	best := func(s scenario.Scenario) learner.PPO { return study.Best(s).Learner.(learner.PPO) }
	plain := study.Paper(paper).Learner.(learner.PPO)
	delays := plain
	delays.Observation = learner.Observation{Delays: true, Normalise: true, Gain: 2}
	raw := plain
	raw.Observation = learner.Observation{Delays: true, Past: 2}
	// After one small update networks are nearly as they began: they decide one way or
	// another by little, which is where rounding would show.
	undecided := func(l learner.PPO) learner.PPO {
		l.Config.Steps, l.Config.Batch, l.Config.LearningRate = 512, 512, 1e-5
		l.Environments = 1
		return l
	}
	perKnob := undecided(best(builtin(t, "increments")))
	perKnob.Heads = learner.PerKnob
	plain, delays, raw = undecided(plain), undecided(delays), undecided(raw)
	for name, c := range map[string]struct {
		scenario scenario.Scenario
		learner  learner.PPO
	}{
		"paper, setting best":       {paper, undecided(best(paper))},
		"paper, setting paper":      {paper, plain},
		"normalised, with delays":   {paper, delays},
		"as they are, with history": {paper, raw},
		"one head, of a chain":      {builtin(t, "chain"), undecided(best(builtin(t, "chain")))},
		"autoregressive":            {builtin(t, "three-by-three"), undecided(best(builtin(t, "three-by-three")))},
		"increments":                {builtin(t, "increments"), undecided(best(builtin(t, "increments")))},
		"increments, a head each":   {builtin(t, "increments"), perKnob},
		"slow knobs":                {builtin(t, "autoscale"), undecided(best(builtin(t, "autoscale")))},
	} {
		t.Run(name, func(t *testing.T) {
			n := trained(t, c.scenario, c.learner, 512)
			d := n.Description()
			if name == "autoregressive" != n.Trained().Autoregressive() {
				t.Fatalf("the heads are not those of the case: autoregressive is %v", n.Trained().Autoregressive())
			}
			list, inputs := states(n)
			var actions []float64
			kinds := map[string]bool{}
			for _, s := range list {
				a, err := n.Act(s)
				if err != nil {
					t.Fatal(err)
				}
				actions = append(actions, a...)
				kinds[d.Space.Format(a)] = true
			}
			if len(kinds) < 3 {
				t.Errorf("only %d different decisions were compared", len(kinds))
			}
			data, err := onnx.Policy(n)
			if err != nil {
				t.Fatal(err)
			}
			if got := check(t, data, inputs, []array{newArray("action", actions, d.Space.Width())})["action"]; got.Equal != rows {
				t.Errorf("%d of %d decisions are equal", got.Equal, rows)
			}
			t.Logf("%d different decisions", len(kinds))
		})
	}
}

// A joint model predicts the same in Go and in onnxruntime, also on thresholds.
func TestModels(t *testing.T) {
	python(t)
	// Every node gets requests in every step: a forest of all delays needs them.
	reached := scenario.Paper()
	reached.Knobs = []mesh.Knob{{Kind: mesh.Route, Points: [][]float64{{.4, .6}, {.5, .5}, {.6, .4}}}, {Kind: mesh.Block, Points: [][]float64{{0}, {.2}}}}
	for _, c := range []struct {
		scenario scenario.Scenario
		learn    func(study.Source) study.Source
	}{
		{scenario.Paper(), study.Source.Paper},
		{reached, func(s study.Source) study.Source { s = s.Paper(); s.Kind = model.AsPublished; return s }},
		{builtin(t, "autoscale"), func(s study.Source) study.Source { return s }},
	} {
		ctx := context.Background()
		source, err := study.Virtual(ctx, c.scenario, 400, 2)
		if err != nil {
			t.Fatal(err)
		}
		source = c.learn(source)
		source.Forest.Trees = 20
		m, err := source.Learn(ctx, 3)
		if err != nil {
			t.Fatal(err)
		}
		t.Run(fmt.Sprintf("%s, %s", c.scenario.Name, m.Kind()), func(t *testing.T) {
			space := m.Space()
			features := len(space.FeatureNames())
			rng := rand.New(rand.NewPCG(5, 6))
			x := mat.NewDense(rows, features, nil)
			f := m.Forests()[0]
			trees := f.Tree(0)
			for r := range rows {
				l := make(mesh.Load, space.Mesh().M())
				for i, w := range c.scenario.Loads {
					l[i] = w.Min + (w.Max-w.Min)*rng.Float64()
				}
				var choice []int
				for _, n := range space.Choices() {
					choice = append(choice, rng.IntN(n))
				}
				space.Features(x.RawRowView(r)[:0], l, space.Action(nil, choice))
				if n := trees[rng.IntN(len(trees))]; n.Value == nil && r%3 == 0 {
					v := n.Threshold
					if r%2 == 0 {
						v = math.Nextafter(v, math.Inf(1))
					}
					x.Set(r, n.Feature, v)
				}
			}
			want := m.PredictMatrix(x)
			_, targets := want.Dims()
			data, err := onnx.Model(m)
			if err != nil {
				t.Fatal(err)
			}
			got := check(t, data, []array{newArray("x", x.RawMatrix().Data, features)}, []array{newArray("targets", want.RawMatrix().Data, targets)})["targets"]
			if !(got.Relative <= 1e-6) {
				t.Errorf("predictions are up to %v apart, relatively", got.Relative)
			}
		})
	}
}

// What has no form in ONNX is refused.
func TestRefused(t *testing.T) {
	ctx := context.Background()
	source, err := study.Virtual(ctx, scenario.Paper(), 200, 1)
	if err != nil {
		t.Fatal(err)
	}
	perNode, err := source.Learn(ctx, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := onnx.Model(perNode); err == nil || !strings.Contains(err.Error(), `structure "per node"`) {
		t.Errorf("a model per node: %v", err)
	}
	source = source.Paper()
	source.Median = .5
	median, err := source.Learn(ctx, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := onnx.Model(median); err == nil || !strings.Contains(err.Error(), "medians") {
		t.Errorf("a model of medians: %v", err)
	}
}
