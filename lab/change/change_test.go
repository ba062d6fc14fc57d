package change_test

import (
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/meshbench/meshbench/lab/change"
	"github.com/meshbench/meshbench/lab/mesh"
)

var layout = mesh.New(2, 2).Layout()

// What is read is what is written, and stays itself.
func TestParse(t *testing.T) {
	for _, c := range []struct {
		text string
		want change.Change
	}{
		{"slow:node=2,factor=3,at=60", change.Change{Kind: change.Slow, Of: 1, Factor: 3, At: 60}},
		{"slow:node=node1", change.Change{Kind: change.Slow, Of: 0, Factor: 2}},
		{"heavy:service=1,factor=1.5,at=5,within=10,for=20", change.Change{Kind: change.Heavy, Of: 0, Factor: 1.5, At: 5, Within: 10, For: 20}},
		{"lost:node=2,for=3", change.Change{Kind: change.Lost, Of: 1, For: 3}},
		{"startup", change.Change{Kind: change.StartUp, Of: change.All, Factor: 2}},
	} {
		got, err := change.Parse(c.text, layout)
		if err != nil {
			t.Fatal(err)
		}
		if got.Kind != change.Lost && got.Factor == 0 {
			got.Factor = 2 // the default
		}
		if got != c.want {
			t.Errorf("%s: %+v, want %+v", c.text, got, c.want)
		}
		again, err := change.Parse(got.Format(layout), layout)
		if err != nil || again != got {
			t.Errorf("%s: written as %s, which is %+v (%v)", c.text, got.Format(layout), again, err)
		}
	}
	for text, want := range map[string]string{
		"faster":                 `unknown kind "faster"; accepted: [slow heavy lost startup]`,
		"slow:node=3":            `node "3"; accepted: node1, node2, or 1 to 2`,
		"slow:service=1":         `unknown option "service"; accepted: node, factor`,
		"slow:factor=0":          "option factor",
		"slow:factor=NaN":        "accepted: 0.001 to 1000",
		"lost:factor=2":          "a node is lost or not",
		"slow:at=1,at=2":         "option at is there twice",
		"slow:at=-1":             "accepted: 0 to 1000000",
		"slow:at=1.5":            `option at is "1.5"`,
		"heavy:service=nobody,":  "service \"nobody\"",
		"slow:":                  "",
		"slow:node=1,factor=1e9": "accepted: 0.001 to 1000",
	} {
		_, err := change.Parse(text, layout)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: error %v, want %q", text, err, want)
		}
	}
}

// Conditions follow from the step; factors of changes multiply, and what is over
// is undone.
func TestAt(t *testing.T) {
	list := []change.Change{
		{Kind: change.Slow, Of: 0, Factor: 2, At: 10},
		{Kind: change.Slow, Of: change.All, Factor: 4, At: 20, For: 5},
		{Kind: change.Lost, Of: 1, At: 30, For: 1},
		{Kind: change.Heavy, Of: 1, Factor: 3, At: 40},
		{Kind: change.StartUp, Of: 1, Factor: 5, At: 41},
	}
	for _, c := range []struct {
		t                    int
		speed, work, startUp []float64
	}{
		{9, []float64{1, 1}, []float64{1, 1}, []float64{1, 1}},
		{10, []float64{.5, 1}, []float64{1, 1}, []float64{1, 1}},
		{24, []float64{.125, .25}, []float64{1, 1}, []float64{1, 1}},
		{25, []float64{.5, 1}, []float64{1, 1}, []float64{1, 1}},
		{30, []float64{.5, 0}, []float64{1, 1}, []float64{1, 1}},
		{41, []float64{.5, 1}, []float64{1, 3}, []float64{1, 5}},
	} {
		got := change.At(layout, list, 1, c.t)
		if !slices.Equal(got.Speed, c.speed) || !slices.Equal(got.Work, c.work) || !slices.Equal(got.StartUp, c.startUp) {
			t.Errorf("step %d: %+v", c.t, got)
		}
		if err := got.Validate(layout); err != nil {
			t.Error(err)
		}
	}
	if s := change.At(layout, list, 1, 30).Say(layout); s != "node1 0.5 times as fast; node2 lost" {
		t.Errorf("said %q", s)
	}
	bad := change.As(layout)
	bad.Work[0] = math.NaN()
	if err := bad.Validate(layout); err == nil || bad.Equal(change.As(layout)) {
		t.Errorf("a condition with NaN: %v", err)
	}
}

// Random times follow from the seed, lie in their range, and differ.
func TestBegins(t *testing.T) {
	c := change.Change{Kind: change.Slow, At: 10, Within: 20}
	seen := map[int]bool{}
	for seed := range uint64(200) {
		b := c.Begins(seed, 0)
		if b < 10 || b > 30 || b != c.Begins(seed, 0) {
			t.Fatalf("seed %d: step %d", seed, b)
		}
		seen[b] = true
	}
	if len(seen) != 21 {
		t.Errorf("%d of 21 steps in 200 runs", len(seen))
	}
}
