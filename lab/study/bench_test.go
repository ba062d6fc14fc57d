package study

import (
	"context"
	"fmt"
	"syscall"
	"testing"

	"github.com/meshbench/meshbench/lab/policy"
)

// BenchmarkTrain is one training in setting best on the project's own trace:
// processor seconds, and the ANR under random and sinusoidal load.
func BenchmarkTrain(b *testing.B) {
	ctx := context.Background()
	root, err := Root()
	if err != nil {
		b.Skip(err)
	}
	source, err := Own(ctx, root)
	if err != nil {
		b.Fatal(err)
	}
	m, err := source.Learn(ctx, 0)
	if err != nil {
		b.Fatal(err)
	}
	for _, o := range paper.Objectives {
		for _, set := range []Setting{Paper(paper), Best(paper)} {
			b.Run(o.Name+"/"+set.Name, func(b *testing.B) {
				r, err := source.Rewards(m, o) // what seeds of a study share
				if err != nil {
					b.Fatal(err)
				}
				spent := 0.0
				for seed := range b.N {
					before := cpu()
					trained, err := Train(ctx, r, paper, set, uint64(seed), nil)
					if err != nil {
						b.Fatal(err)
					}
					spent += cpu() - before
					b.ReportMetric(spent/float64(b.N), "cpu-s")
					p, err := trained.Policy(r.Space())
					if err != nil {
						b.Fatal(err)
					}
					for _, e := range PaperPatterns(paper) {
						score, _, err := policy.Score(r, p, e.Loads)
						if err != nil {
							b.Fatal(err)
						}
						b.ReportMetric(score, fmt.Sprintf("ANR-%s", e.Pattern.Name()))
					}
				}
			})
		}
	}
}

// cpu is the processor time of the process, s.
func cpu() float64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return float64(u.Utime.Nano()+u.Stime.Nano()) / 1e9
}
