package sim_test

import (
	"context"
	"testing"

	"github.com/meshbench/meshbench/lab/forest"
	"github.com/meshbench/meshbench/lab/mesh"
	"github.com/meshbench/meshbench/lab/objective"
	"github.com/meshbench/meshbench/lab/sim"
)

func BenchmarkExpected(b *testing.B) {
	m, err := sim.Learn(context.Background(), synthetic(b, mesh.Mesh{}, 6000), sim.ModelConfig{Structure: sim.PerNode, Forest: forest.Config{Trees: 60, MinLeaf: 40}})
	if err != nil {
		b.Fatal(err)
	}
	l := mesh.Load{10, 20}
	for b.Loop() {
		r, err := sim.NewRewards(m, objective.MO1(), sim.RewardsConfig{Expected: true})
		if err != nil {
			b.Fatal(err)
		}
		if _, err := r.At(l); err != nil {
			b.Fatal(err)
		}
	}
}
