package optimum_test

import (
	"math/rand/v2"
	"testing"

	"github.com/meshbench/meshbench/lab/internal/modeltest"
	"github.com/meshbench/meshbench/lab/load"
	"github.com/meshbench/meshbench/lab/objective"
	"github.com/meshbench/meshbench/lab/optimum"
)

// What an action of a model per node pays: the inner loop of enumeration, of
// the search and of training.
func BenchmarkValue(b *testing.B) {
	for _, name := range []string{"paper", "three-by-three", "wide"} {
		s := modeltest.Builtin(b, name)
		m := modeltest.Virtual(b, s, 1000)
		r, err := optimum.NewRewards(m, objective.Useful("useful", s.Mesh.ServiceNames(), s.Targets), optimum.Config{Expected: true})
		if err != nil {
			b.Fatal(err)
		}
		v, err := r.At(s.Loads.Mid())
		if err != nil {
			b.Fatal(err)
		}
		rng := rand.New(rand.NewPCG(1, 1))
		choices := make([][]int, 256)
		for k := range choices {
			for _, n := range m.Space().Choices() {
				choices[k] = append(choices[k], rng.IntN(n))
			}
			if _, err := v.Choice(choices[k]); err != nil {
				b.Fatal(err)
			}
		}
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			k := 0
			for b.Loop() {
				if _, err := v.Choice(choices[k%len(choices)]); err != nil {
					b.Fatal(err)
				}
				k++
			}
		})
	}
}

// The search for the best action of a load.
func BenchmarkSearch(b *testing.B) {
	for _, name := range []string{"paper", "graph", "three-by-three", "wide"} {
		s := modeltest.Builtin(b, name)
		m := modeltest.Virtual(b, s, 2000)
		p := load.Uniform{Ranges: s.Loads}
		b.Run(name, func(b *testing.B) {
			r, err := optimum.NewRewards(m, objective.Useful("useful", s.Mesh.ServiceNames(), s.Targets), optimum.Config{Expected: true, MaxEnumerated: 1})
			if err != nil {
				b.Fatal(err)
			}
			k := 0
			for b.Loop() {
				if _, err := r.Best(p.At(nil, 1, k)); err != nil {
					b.Fatal(err)
				}
				k++
			}
		})
	}
}
