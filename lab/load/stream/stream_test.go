package stream_test

import (
	"math"
	"slices"
	"testing"

	"github.com/meshbench/meshbench/lab/load"
	"github.com/meshbench/meshbench/lab/load/stream"
	"github.com/meshbench/meshbench/lab/mesh"
)

func take(s *stream.Stream, until float64) []stream.Request {
	var list []stream.Request
	for r := s.Next(); r.At < until; r = s.Next() {
		list = append(list, r)
	}
	return list
}

// A stream is the arrivals of all services, in the order of their times.
func TestStreamMergesArrivals(t *testing.T) {
	rates := mesh.Load{20, 0, 7.5}
	s := stream.New(3, 9)
	s.Begin(4, rates)
	got := take(s, 60)
	if !slices.IsSortedFunc(got, func(a, b stream.Request) int {
		if a.At < b.At {
			return -1
		}
		return 1
	}) {
		t.Error("requests out of order")
	}
	counts := make([]float64, 3)
	draws := map[uint64]bool{}
	for _, r := range got {
		counts[r.Service]++
		draws[r.Draw] = true
	}
	for i, rate := range rates {
		if want := rate * 60; math.Abs(counts[i]-want) > 4*math.Sqrt(want) {
			t.Errorf("service %d: %v requests in 60 s at %v requests/s", i, counts[i], rate)
		}
	}
	if len(draws) != len(got) {
		t.Errorf("%d draws of %d requests differ", len(draws), len(got))
	}
	// The first chunk, of 2 s, is what Arrivals gives for it.
	want := load.Arrivals(nil, 20, 2, 9, 4<<20, 0)
	var first []float64
	for _, r := range got {
		if r.Service == 0 && r.At < 2 {
			first = append(first, r.At)
		}
	}
	if !slices.Equal(first, want) {
		t.Errorf("the first requests are at %v, want %v", first, want)
	}
}

// A step's requests do not depend on the steps before, nor on how many of those
// requests were taken.
func TestStreamIsPure(t *testing.T) {
	a, b := stream.New(2, 1), stream.New(2, 1)
	rates := mesh.Load{10, 20}
	for step := range 5 {
		a.Begin(step, mesh.Load{float64(step), 3})
		take(a, float64(3*step))
	}
	a.Begin(7, rates)
	b.Begin(7, rates)
	rates[0] = 1000 // the stream keeps its own
	if x, y := take(a, 20), take(b, 20); len(x) == 0 || !slices.Equal(x, y) {
		t.Errorf("%d and %d requests of one step differ", len(x), len(y))
	}
	for name, other := range map[string]func() *stream.Stream{
		"seed": func() *stream.Stream { s := stream.New(2, 2); s.Begin(7, mesh.Load{10, 20}); return s },
		"step": func() *stream.Stream { s := stream.New(2, 1); s.Begin(8, mesh.Load{10, 20}); return s },
	} {
		b.Begin(7, mesh.Load{10, 20})
		if slices.Equal(take(other(), 20), take(b, 20)) {
			t.Errorf("another %s gives the same requests", name)
		}
	}
}

func TestStreamWithoutLoad(t *testing.T) {
	s := stream.New(2, 1)
	s.Begin(0, mesh.Load{0, 0})
	if r := s.Next(); !math.IsInf(r.At, 1) {
		t.Errorf("request %+v without load", r)
	}
}
