package load

import (
	"strings"
	"testing"
)

// Whatever a name is, it gives a pattern of finite loads or an error of bounded
// length; nothing that Parse accepts panics.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		"", "random", "constant:20,5", "diurnal:period=360,noise=0,second=.5,correlation=3,jitter=1", "bursty:low=2,high=10000,shared=1",
		"ramp:up=0,high=1,down=0,low=0", "step:every=1,jitter=1", "flashcrowd:service=0,start=0,rise=0,hold=1,fall=0,every=1,jitter=1",
		"sinusoidal:period=1,jitter=.5", "mixed:random+uniform", "switching:ramp+bursty:low=3+constant:1", "mixed:mixed:random", "step:every=,", "ramp:up=0x1p4",
	} {
		f.Add(seed, uint64(1), 7)
	}
	f.Fuzz(func(t *testing.T, name string, seed uint64, step int) {
		if strings.Contains(name, "replay") || len(name) > 500 || step < 0 || step > 1e12 {
			return
		}
		p, err := Parse(name, paper)
		if err != nil {
			if len(err.Error()) > 5000 {
				t.Fatalf("an error of %d bytes", len(err.Error()))
			}
			return
		}
		for _, x := range p.At(nil, seed, step) {
			if bounded := !strings.Contains(name, "constant"); !(x >= 0) || bounded && x > 20 {
				t.Fatalf("%q at %d: load %v", name, step, x)
			}
		}
	})
}
