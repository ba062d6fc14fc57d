package model_test

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"gonum.org/v1/gonum/mat"

	"github.com/meshbench/meshbench/lab/forest"
	"github.com/meshbench/meshbench/lab/internal/modeltest"
	"github.com/meshbench/meshbench/lab/mesh"
	"github.com/meshbench/meshbench/lab/model"
)

// inputs are random inputs of a space's models.
func inputs(space *mesh.Space, rows int) *mat.Dense {
	rng := rand.New(rand.NewPCG(8, 8))
	x := mat.NewDense(rows, len(space.FeatureNames()), nil)
	l := make(mesh.Load, space.Mesh().M())
	choice := make([]int, len(space.Choices()))
	for r := range rows {
		for i := range l {
			l[i] = 5 + 15*rng.Float64()
		}
		for h, n := range space.Choices() {
			choice[h] = rng.IntN(n)
		}
		space.Features(x.RawRowView(r)[:0], l, space.Action(nil, choice))
	}
	return x
}

// bits are those of all predictions.
func bits(m model.Learned, x *mat.Dense) string {
	y := m.PredictMatrix(x)
	var b bytes.Buffer
	for _, v := range y.RawMatrix().Data {
		fmt.Fprintf(&b, "%x ", math.Float64bits(v))
	}
	return b.String()
}

func oneLine(err error) bool { return err != nil && !strings.Contains(err.Error(), "\n") }

// A model that is loaded predicts what the saved one did, to the bit, in meshes
// of every shape; it is refused for another mesh.
func TestFile(t *testing.T) {
	other := mesh.Grid(mesh.New(5, 5), 2)
	for _, tt := range modeltest.Spaces() {
		table := modeltest.Trace(t, tt.Space, 400)
		for _, cfg := range []model.Config{
			{Forest: forest.Config{Trees: 3}},
			{Median: .5, Forest: forest.Config{Trees: 3}},
			{Structure: model.NodeInputs, Forest: forest.Config{Trees: 5, MinLeaf: 20}},
		} {
			m, err := model.Learn(context.Background(), table, cfg)
			if err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(t.TempDir(), "model.zip")
			if err := m.Save(path); err != nil {
				t.Fatal(err)
			}
			again, err := model.Load(path, tt.Space)
			if err != nil {
				t.Fatal(err)
			}
			if again.Kind() != m.Kind() || again.Structure() != m.Structure() || again.Name() != m.Name() || len(again.Forests()) != len(m.Forests()) {
				t.Errorf("%s: loaded %s of %d forests, saved %s of %d", tt.Name, again.Name(), len(again.Forests()), m.Name(), len(m.Forests()))
			}
			if x := inputs(tt.Space, 20); bits(m, x) != bits(again, x) {
				t.Errorf("%s, %s: predictions differ after loading", tt.Name, m.Name())
			}
			if _, err := model.Load(path, other); !oneLine(err) || !strings.Contains(err.Error(), "it is for "+tt.Space.String()+", not for") || !strings.Contains(err.Error(), path) {
				t.Errorf("%s: for another mesh: %v", tt.Name, err)
			}
		}
	}
}

// A file that was cut anywhere, or in which a bit was flipped, is refused in one
// line, or it is one that nothing reads, as the time in a zip's directory.
func TestDamaged(t *testing.T) {
	space := modeltest.Paper()
	table := modeltest.Trace(t, space, 60)
	for _, cfg := range []model.Config{
		{Forest: forest.Config{Trees: 1, MinLeaf: 10}},
		{Structure: model.NodeInputs, Forest: forest.Config{Trees: 1, MinLeaf: 10}},
	} {
		m, err := model.Learn(context.Background(), table, cfg)
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(t.TempDir(), "model.zip")
		if err := m.Save(path); err != nil {
			t.Fatal(err)
		}
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		x := inputs(space, 5)
		want := bits(m, x)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		loads, harmless := 0, 0
		load := func(what string, b []byte, may bool) {
			t.Helper()
			if err := os.WriteFile(path, b, 0o644); err != nil {
				t.Fatal(err)
			}
			loads++
			got, err := model.Load(path, space)
			switch {
			case err != nil && !oneLine(err):
				t.Errorf("%s: %v, want one line", what, err)
			case err == nil && (!may || bits(got, x) != want):
				t.Errorf("%s: no error", what)
			case err == nil:
				harmless++
			}
		}
		for n := 0; n < len(data); n += 1 + len(data)/300 {
			load(fmt.Sprintf("cut to %d of %d bytes", n, len(data)), data[:n], false)
		}
		rng := rand.New(rand.NewPCG(1, 1))
		for range 600 {
			at, bit := rng.IntN(len(data)), rng.IntN(8)
			b := bytes.Clone(data)
			b[at] ^= 1 << bit
			load(fmt.Sprintf("bit %d of byte %d flipped", bit, at), b, true)
		}
		runtime.ReadMemStats(&after)
		each := float64(after.TotalAlloc-before.TotalAlloc) / float64(loads)
		t.Logf("%s: %d bytes; %d loads of %.0f bytes of memory; %d flips harmless", m.Name(), len(data), loads, each, harmless)
		if each > 1<<22 || harmless > 60 {
			t.Errorf("%s: %.0f bytes of memory for a damaged file of %d, %d of 600 flips harmless", m.Name(), each, len(data), harmless)
		}
		load("another version", bytes.Replace(data, []byte(`"version": `), []byte(`"version":9`), 1), false)
	}
}

func TestLoadMissing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "none.zip")
	if _, err := model.Load(path, modeltest.Paper()); !oneLine(err) || !strings.Contains(err.Error(), path) {
		t.Errorf("a file that is not there: %v", err)
	}
	if err := os.WriteFile(path, []byte("no model"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := model.Load(path, modeltest.Paper()); !oneLine(err) || !strings.Contains(err.Error(), path) {
		t.Errorf("another file: %v", err)
	}
	m := modeltest.Learn(t, modeltest.Paper(), 100, model.Config{Forest: forest.Config{Trees: 1}})
	if err := m.Save(filepath.Join(path, "in a file")); !oneLine(err) {
		t.Errorf("a folder that is none: %v", err)
	}
}
