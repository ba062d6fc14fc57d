package virtual

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/meshbench/meshbench/lab/load"
	"github.com/meshbench/meshbench/lab/mesh"
	"github.com/meshbench/meshbench/lab/objective"
	"github.com/meshbench/meshbench/lab/scenario"
)

// A node whose servers and speed change while calls wait serves them as a queue
// does that looks at what is free at every moment.
func TestRequeue(t *testing.T) {
	v, err := New(Config{Scenario: scenario.Scenario{Name: "queue", Mesh: mesh.New(1, 1),
		Knobs: []mesh.Knob{{Kind: mesh.Replicas, Min: 1, Max: 4, Up: 30}, {Kind: mesh.Block}},
		Loads: load.Ranges{{Min: 0, Max: 100}}, Targets: []objective.Target{{Goal: 1}}, Work: []scenario.Work{{Time: .1, Items: 500}}, Queue: 1 << 20, Link: -1}})
	if err != nil {
		t.Fatal(err)
	}
	type change struct {
		at      float64
		servers int
		speed   float64
	}
	moved := 0
	for seed := range uint64(20) {
		v.reset(seed)
		rng := rand.New(rand.NewPCG(seed, 1))
		const calls = 400
		arrivals, works := make([]float64, calls), make([]float64, calls)
		for k := range arrivals {
			arrivals[k], works[k] = 40*rng.Float64(), .2*rng.ExpFloat64()
		}
		slices.Sort(arrivals)
		changes := []change{{0, 2, 1}}
		for range 12 {
			changes = append(changes, change{40 * rng.Float64(), 1 + rng.IntN(4), .5 + rng.Float64()})
		}
		slices.SortFunc(changes, func(a, b change) int { return int(math.Copysign(1, a.at-b.at)) })

		// The queue as one would write it down.
		want, now := make([]float64, calls), 0.0
		c, next, busy, server := 0, 0, []float64(nil), changes[0]
		var queue []int
		for {
			t := math.Inf(1)
			if c < len(changes) {
				t = min(t, changes[c].at)
			}
			if next < calls {
				t = min(t, arrivals[next])
			}
			for _, end := range busy {
				t = min(t, end)
			}
			if math.IsInf(t, 1) {
				break
			}
			now = t
			busy = slices.DeleteFunc(busy, func(end float64) bool { return end <= now })
			if c < len(changes) && changes[c].at <= now {
				server = changes[c]
				c++
			}
			if next < calls && arrivals[next] <= now {
				queue = append(queue, next)
				next++
			}
			for len(queue) > 0 && len(busy) < server.servers {
				want[queue[0]] = now + works[queue[0]]/server.speed
				busy = append(busy, want[queue[0]])
				queue = queue[1:]
			}
		}

		got, of := make([]float64, calls), map[*request]int{}
		v.times[0] = works
		n := &v.nodes[0]
		until := func(t float64) {
			for v.later.first() <= t {
				e := v.later.pop()
				if e.number != e.request.event {
					moved++
					continue
				}
				got[of[e.request]] = e.at
				v.reach(e.request, e.at)
			}
		}
		c = 0
		turn := func(at float64) {
			for ; c < len(changes) && changes[c].at <= at; c++ {
				until(changes[c].at)
				v.moved, n.servers, n.speed = changes[c].at, changes[c].servers, changes[c].speed
				v.requeue(n)
			}
			until(at)
		}
		for k, at := range arrivals {
			turn(at)
			x := v.request()
			*x = request{draw: uint64(k), sent: at, calls: x.calls[:0]}
			of[x] = k
			v.serve(x, at)
		}
		turn(math.MaxFloat64)
		for k := range want {
			if math.Abs(got[k]-want[k]) > 1e-9 {
				t.Fatalf("seed %d: call %d left at %v, want %v", seed, k, got[k], want[k])
			}
		}
	}
	if moved < 100 {
		t.Errorf("only %d calls were served otherwise than they would have been", moved)
	}
}

// Runs follow from their seeds where calls waited for changes when the run before
// ended.
func TestResetMoving(t *testing.T) {
	s, err := scenario.Open("route-and-scale")
	if err != nil {
		t.Fatal(err)
	}
	run := func(v *Testbed, seed uint64) string {
		if err := v.Reset(context.Background(), seed); err != nil {
			t.Fatal(err)
		}
		rng, out := rand.New(rand.NewPCG(seed, 2)), ""
		for range 1 + rng.IntN(12) {
			x, err := v.Measure(context.Background(), mesh.Load{40, 12}, v.Space().At(rng.IntN(v.Space().Len())))
			if err != nil {
				t.Fatal(err)
			}
			out += fmt.Sprint(x)
		}
		return out
	}
	fresh := func() *Testbed {
		v, err := New(Config{Scenario: s})
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	used := fresh()
	for seed := range uint64(200) {
		if run(used, seed) != run(fresh(), seed) {
			t.Fatalf("seed %d: another run on a testbed that was used", seed)
		}
		used.reset(0)
		seen := map[*request]bool{}
		for _, x := range used.free {
			if seen[x] {
				t.Fatalf("seed %d: a request is kept twice", seed)
			}
			seen[x] = true
		}
	}
}
