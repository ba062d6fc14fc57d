// Package artefact looks at policies and models in files: what they are, what they
// decide or predict, and how two of them differ.
package artefact

import (
	"errors"
	"fmt"
	"math"
	"strings"

	"github.com/meshbench/meshbench/lab/card"
	"github.com/meshbench/meshbench/lab/figure"
	"github.com/meshbench/meshbench/lab/learner"
	"github.com/meshbench/meshbench/lab/load"
	"github.com/meshbench/meshbench/lab/mesh"
	"github.com/meshbench/meshbench/lab/model"
	"github.com/meshbench/meshbench/lab/onnx"
)

// File is a policy or a model that was read from a file.
type File struct {
	Path string
	Card *card.Card // nil for a file that has none, as those of older versions
	// One of these is not nil.
	Policy *learner.Network
	Model  model.Learned
	// Assumed are the loads of a model whose card does not say them. Default none.
	Assumed load.Ranges
}

// Open reads a policy or a model of space, or of whatever it is for where space is
// nil. A file that is damaged, of a newer version or of another space is an error.
func Open(path string, space *mesh.Space) (File, error) {
	f := File{Path: path}
	kind, err := card.Kind(path)
	if err != nil {
		return f, err
	}
	switch {
	case kind == card.Policy && space == nil:
		f.Policy, err = learner.Open(path)
	case kind == card.Policy:
		f.Policy, err = learner.Load(path, space)
	case space == nil:
		f.Model, err = model.Open(path)
	default:
		f.Model, err = model.Load(path, space)
	}
	if err != nil {
		return f, err
	}
	c, ok, err := card.Read(path)
	if ok {
		f.Card = &c
	}
	return f, err
}

// Space is what the policy controls, or the model knows the effect of.
func (f File) Space() *mesh.Space {
	if f.Policy != nil {
		return f.Policy.Description().Space
	}
	return f.Model.Space()
}

// Loads are those that the artefact was learned for: as a policy says it, or as the
// card of a model does, else Assumed. A model without either is an error.
func (f File) Loads() (load.Ranges, error) {
	if f.Policy != nil {
		return f.Policy.Description().Loads, nil
	}
	loads := f.Assumed
	if f.Card != nil {
		loads = f.Card.Loads
	}
	if len(loads) != f.Space().Mesh().M() {
		return nil, fmt.Errorf("artefact: %s has no card that says for which loads it was learned; name its scenario", f.Path)
	}
	return loads, nil
}

// ONNX returns the policy or model as an ONNX model, with its card, where it has
// one, under "card" in the metadata. See package onnx for what cannot be one.
func (f File) ONNX() ([]byte, error) {
	var metadata [][2]string
	if f.Card != nil {
		text, err := f.Card.Text()
		if err != nil {
			return nil, err
		}
		metadata = append(metadata, [2]string{card.Key, string(text)})
	}
	if f.Policy != nil {
		return onnx.Policy(f.Policy, metadata...)
	}
	return onnx.Model(f.Model, metadata...)
}

// Facts are what the file itself says.
func (f File) Facts() figure.Table {
	t := figure.Table{Header: []string{"in the file", ""}}
	add := func(name, format string, args ...any) {
		t.Rows = append(t.Rows, []string{name, fmt.Sprintf(format, args...)})
	}
	if f.Card == nil {
		add("mesh and knobs", "%s", f.Space())
	}
	add("actions", "%s", f.Space().Size())
	if f.Policy == nil {
		add("model", "%s, of what was %s", f.Model.Name(), f.Model.Kind())
		trees, nodes := 0, 0
		for _, x := range f.Model.Forests() {
			trees, nodes = trees+x.Trees(), nodes+x.Nodes()
		}
		add("forests", "%d, of %d trees with %d nodes", len(f.Model.Forests()), trees, nodes)
		add("predicts", "%s", strings.Join(model.Targets(f.Space(), f.Model.Kind()), " "))
		return t
	}
	d, net := f.Policy.Description(), f.Policy.Trained()
	inputs, heads := net.Spaces()
	weights := 0
	for _, a := range net.Arrays() {
		weights += len(a.Values)
	}
	add("network", "%d inputs, hidden layers %v, heads %v; %d weights", inputs, net.Hidden(), heads, weights)
	sees := []string{"loads"}
	if d.Observation.Past > 0 {
		sees = append(sees, fmt.Sprintf("loads of %d steps before", d.Observation.Past))
	}
	if d.Observation.Delays {
		sees = append(sees, "response times")
	}
	if d.Observation.InForce {
		sees = append(sees, "the action in force")
	}
	add("sees", "%s", strings.Join(sees, ", "))
	return t
}

// steady is the state of a mesh that has been under a load for long: the loads
// before were the same, knobs are as without control, and nothing was measured.
func steady(d learner.Description, l mesh.Load) mesh.State {
	s := mesh.State{Load: l, Delay: make([]float64, len(l)), InForce: d.Space.Default()}
	for i := range s.Delay {
		s.Delay[i] = math.NaN()
	}
	for range d.Observation.Past {
		s.Past = append(s.Past, l)
	}
	return s
}

// Decisions are a policy's actions at the loads of random load, at most limit of
// them, where the loads before were the same and knobs are as without control.
func (f File) Decisions(limit int) (figure.Table, error) {
	if f.Policy == nil {
		return figure.Table{}, errNoPolicy
	}
	d := f.Policy.Description()
	var t figure.Table
	for _, name := range d.Space.Mesh().ServiceNames() {
		t.Header = append(t.Header, name+" (requests/s)")
	}
	t.Header = append(t.Header, "action")
	for _, l := range d.Loads.Grid(limit) {
		a, err := f.Policy.Act(steady(d, l))
		if err != nil {
			return t, err
		}
		var row []string
		for _, v := range l {
			row = append(row, figure.Number(v, 1))
		}
		t.Rows = append(t.Rows, append(row, d.Space.Format(a)))
	}
	return t, nil
}

var errNoPolicy = errors.New("artefact: a model decides nothing; accepted: a policy")
