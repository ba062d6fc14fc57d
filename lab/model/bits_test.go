package model_test

import (
	"encoding/binary"
	"hash/fnv"
	"math"
	"runtime"
	"testing"

	"github.com/meshbench/meshbench/lab/internal/modeltest"
	"github.com/meshbench/meshbench/lab/mesh"
	"github.com/meshbench/meshbench/lab/model"
	"github.com/meshbench/meshbench/lab/optimum"
)

// What the models of a synthetic trace of the paper's mesh have said ever since:
// hashes of all bits of means, and of expected rewards.
func TestBits(t *testing.T) {
	if runtime.GOARCH != "amd64" {
		t.Skip("the bits are those of amd64's exponential function")
	}
	loads := []mesh.Load{{5, 20}, {12.34, 7.1}, {20, 20}, {0, 7}}
	for _, tt := range []struct {
		m              model.Learned
		means, rewards []uint64
	}{
		{modeltest.Joint(t, modeltest.Paper()), []uint64{0x21e8d2315c83d44, 0xea34343d4094509c, 0x8994fc209ceea82f, 0xa4ebb641077b508f}, nil},
		{modeltest.PerNode(t, modeltest.Paper()), []uint64{0xf7a37d5ab79f4a0d, 0xd3abf172a4e61c5b, 0xcf814b14f7709ff9, 0xf6e7f2c7492a4215},
			[]uint64{0xb4b51b7b73847e4c, 0x873d139aa00f2ba6, 0xa27a53ee40169592, 0xf4d1eee68ba5a665}},
	} {
		space := tt.m.Space()
		x := mesh.NewMeasurement(space.Layout())
		for n, l := range loads {
			f, err := tt.m.At(mesh.State{Load: l})
			if err != nil {
				t.Fatal(err)
			}
			h := fnv.New64a()
			put := func(v float64) {
				if math.IsNaN(v) {
					v = -1
				}
				binary.Write(h, binary.LittleEndian, v)
			}
			for k := range space.Len() {
				if err := f.Set(space.At(k)); err != nil {
					t.Fatal(err)
				}
				f.Mean(&x)
				for _, d := range x.Endpoint {
					put(d.Mean)
				}
				for _, d := range x.Service {
					put(d.Mean)
				}
				for _, c := range x.Carried {
					put(c)
				}
			}
			if h.Sum64() != tt.means[n] {
				t.Errorf("%s, load %v: means are %#x, were %#x", tt.m.Name(), l, h.Sum64(), tt.means[n])
			}
			if tt.rewards == nil {
				continue
			}
			r, err := optimum.NewRewards(tt.m, modeltest.Useful(space.Mesh()), optimum.Config{Expected: true})
			if err != nil {
				t.Fatal(err)
			}
			table, err := r.Table(l)
			if err != nil {
				t.Fatal(err)
			}
			h = fnv.New64a()
			for _, v := range table.Reward {
				binary.Write(h, binary.LittleEndian, v)
			}
			if h.Sum64() != tt.rewards[n] {
				t.Errorf("%s, load %v: rewards are %#x, were %#x", tt.m.Name(), l, h.Sum64(), tt.rewards[n])
			}
		}
	}
}
