package bench

import (
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A ratio says how many times ours is better, whichever way is better, round by
// round; a round that a peer missed does not count.
func TestCompare(t *testing.T) {
	ours := []results{{"fit": {Value: 2}, "speed": {Value: 300}}, {"fit": {Value: 1}, "speed": {Value: 100}}, {"fit": {Value: 4}}}
	theirs := map[string][]results{
		"slow": {{"fit": {Value: 10, Checks: map[string]float64{"NMAE": .1}}, "speed": {Value: 100}}, nil, {"fit": {Value: 8, Checks: map[string]float64{"NMAE": .3}}}},
		"fast": {{"fit": {Value: 1}}, {"fit": {Value: 1}}, {"fit": {Value: 1}}},
	}
	c, ok := compare(kind{"fit", "s", 1}, ours, theirs)
	if !ok || c.Ours != (Spread{2, 1, 4}) || len(c.Peers) != 2 {
		t.Fatalf("%+v, %v", c, ok)
	}
	if p := c.Peers[0]; p.Peer != "fast" || p.Ratio != (Spread{.5, .25, 1}) || p.Check != "" {
		t.Errorf("the fastest first: %+v", p)
	}
	if p := c.Peers[1]; p.Value != (Spread{9, 8, 10}) || p.Ratio != (Spread{3.5, 2, 5}) || p.Check != "in 2 of 3 rounds, NMAE 0.2" {
		t.Errorf("%+v", p)
	}
	c, ok = compare(kind{"speed", "steps per CPU-second", 1}, ours, theirs)
	if !ok || len(c.Peers) != 1 || c.Peers[0].Ratio.Median != 3 {
		t.Errorf("a rate: %+v, %v", c, ok)
	}
	if _, ok := compare(kind{"other", "s", 1}, ours, theirs); ok {
		t.Error("a case that we do not have is listed")
	}
}

// A later run takes the place of what it was asked for, and of nothing else.
func TestRenewed(t *testing.T) {
	of := func(v float64, names ...string) (r Report) {
		for _, n := range names {
			r.Cases = append(r.Cases, Case{Case: n, Ours: Spread{v, v, v}, Peers: []Peer{{Peer: "a"}}})
		}
		return r
	}
	dir := t.TempDir()
	if r, err := Read(dir); err != nil || r.Cases != nil {
		t.Fatalf("%+v, %v", r, err)
	}
	before := of(1, fits[0], oneRow, smallHead)
	before.Missing = map[string]string{"b": "not found"}
	if err := before.Write(dir); err != nil {
		t.Fatal(err)
	}
	before, err := Read(dir)
	if err != nil {
		t.Fatal(err)
	}
	got := before.Renewed(Config{Only: []string{"PPO"}}, of(2, oneRow, wholeHead, smallHead))
	want := []float64{1, 1, 2, 2}
	if len(got.Cases) != len(want) || got.Missing["b"] != "not found" {
		t.Fatalf("%+v", got)
	}
	for k, n := range []string{fits[0], oneRow, smallHead, wholeHead} {
		if c := got.Cases[k]; c.Case != n || c.Ours.Median != want[k] {
			t.Errorf("case %d: %+v, want %s of %v", k, c, n, want[k])
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "bench.json"), []byte("["), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Read(dir); err == nil || !strings.Contains(err.Error(), "bench.json") {
		t.Errorf("a damaged file: %v", err)
	}
}

// A goal is reached where three scores in a row are, and at the first of them.
func TestWatch(t *testing.T) {
	w := watch{goals: []float64{.5, .9}}
	for _, score := range []float64{.6, .4, .6, .95, .7, .95} {
		w.see(score)
	}
	if got := w.times(); math.IsNaN(got[0]) || !math.IsNaN(got[1]) {
		t.Errorf("times %v, want one and none", got)
	}
	if times := (&watch{goals: []float64{.5}}).times(); !math.IsNaN(times[0]) {
		t.Errorf("without a score: %v", times)
	}
}

// Every case of a peer is one of ours, by the same name.
func TestPeers(t *testing.T) {
	known := map[string]bool{}
	for _, k := range kinds() {
		known[k.name] = true
	}
	for _, p := range peers {
		for _, c := range p.cases {
			if !known[c] {
				t.Errorf("%s has case %q, which we have not", p.name, c)
			}
		}
	}
}

// Meshes of all sizes are valid, and their nodes as busy.
func TestEvenMesh(t *testing.T) {
	for _, n := range append(append([]int(nil), nodeSizes...), serviceSizes...) {
		for _, size := range [][2]int{{2, n}, {n, 4}} {
			s, err := evenMesh(size[0], size[1])
			if err != nil {
				t.Fatal(err)
			}
			load := 0.0
			for _, l := range s.Loads {
				load += l.Max
			}
			if busy := load * s.Work[0].Time / float64(size[1]); len(s.Mesh.Services) != size[0] || len(s.Mesh.Nodes) != size[1] || math.Abs(busy-.6) > 1e-9 {
				t.Errorf("%v: %d services, %d nodes, busy for %v", size, len(s.Mesh.Services), len(s.Mesh.Nodes), busy)
			}
		}
	}
}
