package testbed_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/meshbench/meshbench/lab/change"
	"github.com/meshbench/meshbench/lab/mesh"
	"github.com/meshbench/meshbench/lab/scenario"
	"github.com/meshbench/meshbench/lab/testbed"
	"github.com/meshbench/meshbench/lab/testbed/virtual"
)

// recorder is a testbed that writes down its conditions, and fails to bring them
// about so often.
type recorder struct {
	testbed.Changeable
	fails int
	said  []string
}

func (r *recorder) Change(ctx context.Context, c change.Condition) error {
	r.said = append(r.said, c.Say(r.Space().Layout()))
	if r.fails--; r.fails >= 0 {
		return errors.New("away")
	}
	return r.Changeable.Change(ctx, c)
}

// A testbed is told of conditions when they change and not otherwise; what it
// cannot do marks the step and is tried again; a run begins without any.
func TestChanging(t *testing.T) {
	s, err := scenario.Open("two-pools")
	if err != nil {
		t.Fatal(err)
	}
	v, err := virtual.New(virtual.Config{Scenario: s})
	if err != nil {
		t.Fatal(err)
	}
	list, err := change.ParseAll([]string{"lost:node=far,at=2,for=3", "slow:node=near,at=4"}, s.Mesh.Layout())
	if err != nil {
		t.Fatal(err)
	}
	r := &recorder{Changeable: v, fails: 1}
	c := &testbed.Changing{Changeable: r, Changes: list}
	for range 2 {
		r.said, r.fails = nil, 1
		if err := c.Reset(context.Background(), 1); err != nil {
			t.Fatal(err)
		}
		for k := range 8 {
			x, err := c.Measure(context.Background(), mesh.Load{10}, c.Space().Default())
			if err != nil {
				t.Fatal(err)
			}
			if marked := strings.Contains(x.Mark, "a change could not be made: away"); marked != (k == 2) {
				t.Errorf("step %d: mark %q", k, x.Mark)
			}
		}
		if got := strings.Join(r.said, "|"); got != "far lost|far lost|near 0.5 times as fast; far lost|near 0.5 times as fast" {
			t.Errorf("told %q", got)
		}
	}
}
