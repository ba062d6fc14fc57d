package autoscaler_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/meshbench/meshbench/lab/autoscaler"
	"github.com/meshbench/meshbench/lab/mesh"
	"github.com/meshbench/meshbench/lab/policy"
)

func TestCalibrate(t *testing.T) {
	ctx := context.Background()
	list := []policy.Policy{policy.Static{Label: "a"}, policy.Static{Label: "b"}, policy.Static{Label: "c"}}
	scores := map[string]float64{"a": -3, "b": -1, "c": -1}
	c, err := autoscaler.Calibrate(ctx, list, func(_ context.Context, p policy.Policy) (float64, error) { return scores[p.Name()], nil })
	if err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(c)
	if want := `{"best":1,"candidates":[{"name":"a","score":-3},{"name":"b","score":-1},{"name":"c","score":-1}]}`; err != nil || string(b) != want {
		t.Errorf("%s (%v), want %s", b, err, want)
	}
	stopped, stop := context.WithCancel(ctx)
	stop()
	for _, e := range []struct {
		ctx   context.Context
		list  []policy.Policy
		score float64
		err   error
		words string
	}{
		{ctx, nil, 0, nil, "without a candidate"},
		{ctx, list, nan, nil, "calibrate a: its score is NaN"},
		{ctx, list, 0, errors.New("no run"), "calibrate a: no run"},
		{stopped, list, 0, nil, "canceled"},
	} {
		_, err := autoscaler.Calibrate(e.ctx, e.list, func(context.Context, policy.Policy) (float64, error) { return e.score, e.err })
		if err == nil || !strings.Contains(err.Error(), e.words) {
			t.Errorf("%v, want %q", err, e.words)
		}
	}
}

// Every policy of a grid has a name of its own, and acts.
func TestGrids(t *testing.T) {
	s := space(t, mesh.New(1, 1), mesh.Knob{Kind: mesh.Replicas, Min: 1, Max: 9}, mesh.Knob{Kind: mesh.Block})
	names := map[string]bool{}
	for what, c := range map[string]struct {
		list []policy.Policy
		n    int
	}{
		"cpu":         {autoscaler.HPAGrid(autoscaler.HPA{Space: s}), 16},
		"requests":    {autoscaler.HPAGrid(autoscaler.HPA{Space: s, Metric: autoscaler.Requests, Target: 10, Label: "requests"}), 16},
		"steps":       {autoscaler.StepsGrid(autoscaler.Steps{Space: s}), 16},
		"lookahead":   {autoscaler.LookaheadGrid(autoscaler.Lookahead{Space: s, Time: []float64{.1}}), 16},
		"admission":   {autoscaler.AdmissionGrid(autoscaler.Admission{Space: s}), 18},
		"concurrency": {autoscaler.ConcurrencyGrid(autoscaler.Concurrency{Space: s}), 6},
	} {
		if len(c.list) != c.n {
			t.Errorf("%s: %d policies, want %d", what, len(c.list), c.n)
		}
		acts := map[string]bool{}
		for _, p := range c.list {
			if names[p.Name()] {
				t.Errorf("two policies are %s", p.Name())
			}
			names[p.Name()] = true
			steady := append(held(4, 20, 40, 80, 160, 30), all(30, 15)...)
			acts[column(run(t, p, newPlant(s, .1), loads(steady...)), 0)] = true
		}
		if replicas := what != "admission" && what != "concurrency"; replicas && len(acts) < 8 {
			t.Errorf("%s: %d of %d policies act alike", what, c.n-len(acts), c.n)
		}
	}
	if p := autoscaler.HPAGrid(autoscaler.HPA{Space: s, Metric: autoscaler.Requests, Target: 10})[3].(*autoscaler.HPA); p.Target != 5 || p.Name() != "hpa 50 %" {
		t.Errorf("%s has target %v, want 5", p.Name(), p.Target)
	}
}
