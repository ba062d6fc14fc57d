package artefact_test

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"gonum.org/v1/gonum/mat"

	"github.com/meshbench/meshbench/lab/artefact"
	"github.com/meshbench/meshbench/lab/card"
)

// Models of every version that is read predict what they did when they were
// written; those of version 4 have no card.
func TestOldModels(t *testing.T) {
	for _, c := range []struct {
		file string
		x    []float64
		want []float64 // as the program printed it that wrote the file
		card bool
	}{
		{"model-v4-joint", []float64{12, 9, .4, .6, .2, 0}, []float64{0.11407597224350194, 0.03869183047857931, 0.08695264754654056,
			0.08027172531841945, 0.050547861115886904, 0.30172787189583106, 9.818831168831169, 7.647222222222223}, false},
		{"model-v4-pernode", []float64{12, 9, .4, .6, .2, 0}, []float64{0.06563262707474306, 0.05126813512473091, 0.09751253159748993,
			0.09701418861768406, 0.05716486192255385, 0.097419407183865, 9.223107692307693, 8.879785714285715}, false},
		{"model-v5", []float64{20, 3}, []float64{0.7802824903516615, 0.7802824903516615, 20.14129846855653,
			0.775724468507739, 0.9155984057879603, 0.9583435113339855, 0.09519501743165315}, true},
	} {
		f, err := artefact.Open("testdata/"+c.file, nil)
		if err != nil {
			t.Errorf("%s: %v", c.file, err)
			continue
		}
		if (f.Card != nil) != c.card {
			t.Errorf("%s: card %v", c.file, f.Card)
		}
		got := f.Model.PredictMatrix(mat.NewDense(1, len(c.x), c.x)).RawRowView(0)
		for k, v := range c.want {
			if !(math.Abs(got[k]-v) <= 1e-12*math.Abs(v)) {
				t.Errorf("%s predicts %v; when it was written %v", c.file, got, c.want)
				break
			}
		}
		if _, err := f.Draw(); (err == nil) != c.card {
			t.Errorf("%s: drawn without a card's loads: %v", c.file, err)
		}
		if _, err := f.Decisions(4); err == nil {
			t.Errorf("%s, a model, decides", c.file)
		}
	}
}

// A policy of version 2 decides what it did when it was written.
func TestOldPolicies(t *testing.T) {
	f, err := artefact.Open("testdata/policy-v2", nil)
	if err != nil {
		t.Fatal(err)
	}
	d, err := f.Decisions(4)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := fmt.Sprint(d.Rows), "[[4.0 r1=2] [17.3 r1=1] [30.7 r1=1] [44.0 r1=1]]"; got != want {
		t.Errorf("decisions %s; when it was written %s", got, want)
	}
	if c := f.Card; c == nil || c.What != card.Policy || c.Scenario != "autoscale" || c.Seed != 4 || c.Setting != "paper" {
		t.Errorf("card %+v", c)
	}
	if _, err := f.Draw(); err != nil {
		t.Error(err)
	}
	if b, err := f.ONNX(); err != nil || !strings.Contains(string(b), `"seed": 4`) {
		t.Errorf("as ONNX it does not say its card; %v", err)
	}
}

// How far two policies agree is a share of loads: all with itself.
func TestAgree(t *testing.T) {
	f, err := artefact.Open("testdata/policy-v2", nil)
	if err != nil {
		t.Fatal(err)
	}
	g, err := artefact.Agree(f.Policy, f.Policy, 50)
	if err != nil || g.Equal != 1 || math.Abs(g.Knob[0]-1) > 1e-12 {
		t.Errorf("with itself %+v, %v", g, err)
	}
	a, err := artefact.Open("testdata/model-v4-joint", nil)
	if err != nil {
		t.Fatal(err)
	}
	b, err := artefact.Open("testdata/model-v5", nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := artefact.Differ(a.Model, b.Model, b.Card.Loads, 10); err == nil || !strings.Contains(err.Error(), "the other for compute") {
		t.Errorf("models of two meshes: %v", err)
	}
}
