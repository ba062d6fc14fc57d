package load_test

import (
	"testing"

	"github.com/meshbench/meshbench/lab/load"
	"github.com/meshbench/meshbench/lab/mesh"
)

func TestMixed(t *testing.T) {
	a, b := load.Constant{Load: mesh.Load{1, 1}}, load.Constant{Load: mesh.Load{2, 2}}
	p := load.Mixed{a, b}
	ones := 0
	const steps = 10_000
	for step := range steps {
		l := p.At(nil, 7, step)
		if again := p.At(nil, 7, step); again[0] != l[0] {
			t.Fatalf("step %d: %v, then %v", step, l, again)
		}
		if l[0] == 1 {
			ones++
		}
	}
	if ones < steps/2-200 || ones > steps/2+200 {
		t.Errorf("the first of two patterns in %d of %d steps", ones, steps)
	}
}
