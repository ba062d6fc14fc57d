package sim_test

import (
	"context"
	"errors"
	"math"
	"testing"

	"github.com/meshbench/meshbench/lab/forest"
	"github.com/meshbench/meshbench/lab/mesh"
	"github.com/meshbench/meshbench/lab/objective"
	"github.com/meshbench/meshbench/lab/sim"
	"github.com/meshbench/meshbench/lab/trace"
)

// publishedModel is the authors' model, or skips the test.
func publishedModel(t testing.TB) *sim.Model {
	path, err := trace.FindKTH()
	if errors.Is(err, trace.ErrNoKTH) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	table, err := trace.ImportKTH(path, trace.KTHOptions{})
	if err != nil {
		t.Fatal(err)
	}
	m, err := sim.Learn(context.Background(), table, sim.ModelConfig{Kind: sim.AsPublished, Forest: forest.Config{Trees: 120}})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// The optimal rewards of MO1 in the authors' published runs.
func TestPublishedOptima(t *testing.T) {
	r, err := sim.NewRewards(publishedModel(t), objective.MO1().AsPublished(), sim.RewardsConfig{})
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		load mesh.Load
		want float64
	}{{mesh.Load{20, 20}, 32}, {mesh.Load{20, 15}, 35}, {mesh.Load{15, 20}, 27}} {
		got, err := r.At(tt.load)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%v: %.3f, %d optimal actions", tt.load, got.Best, len(got.Action))
		if math.Abs(got.Best-tt.want) > .05 {
			t.Errorf("optimal reward at %v is %.3f, want %.1f", tt.load, got.Best, tt.want)
		}
	}
}
