package bench

import (
	"context"
	"fmt"
	"runtime"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/meshbench/meshbench/lab/learner"
	"github.com/meshbench/meshbench/lab/load"
	"github.com/meshbench/meshbench/lab/ppo"
	"github.com/meshbench/meshbench/lab/scenario"
	"github.com/meshbench/meshbench/lab/study"
)

var (
	nodeSizes    = []int{2, 4, 8, 16}
	serviceSizes = []int{1, 2, 4, 8}
	workerSizes  = []int{1, 2, 4, 8}
)

const (
	collected = 1000 // steps of a trace
	trained   = 16 * 1024
)

// evenMesh is a mesh of services that all nodes serve, each with a knob that routes
// and one that blocks. Nodes are as busy in a large one as in a small one.
func evenMesh(services, nodes int) (scenario.Scenario, error) {
	var b strings.Builder
	b.WriteString("name: even\ntiming: {step: 20, settle: 5}\nknobs: [{kind: route, levels: 3}, {kind: block, levels: 3}]\nnodes:\n")
	names := make([]string, nodes)
	for j := range names {
		names[j] = fmt.Sprintf("node%d", j+1)
		fmt.Fprintf(&b, "  - {name: %s}\n", names[j])
	}
	b.WriteString("microservices:\n")
	for i := range services {
		fmt.Fprintf(&b, "  - {name: s%d, nodes: [%s], time: 0.01}\n", i+1, strings.Join(names, ", "))
	}
	b.WriteString("services:\n")
	most := float64(60*nodes) / float64(services)
	for i := range services {
		fmt.Fprintf(&b, "  - {name: s%d, stages: [s%d], load: {min: %g, max: %g}, goal: 0.03}\n", i+1, i+1, most/4, most)
	}
	return scenario.Parse("even", []byte(b.String()))
}

// byMesh measures a trace of the virtual testbed with its model, and a training on
// that, for meshes of ever more of something.
func (d *data) byMesh(ctx context.Context, size string, sizes []int, of func(n int) (services, nodes int)) ([]Curve, error) {
	curves := []Curve{
		{Curve: fmt.Sprintf("trace of %d steps and its model", collected), Size: size, Unit: "s"},
		{Curve: fmt.Sprintf("training of %d steps", trained), Size: size, Unit: "s"},
	}
	for _, n := range sizes {
		services, nodes := of(n)
		d.cfg.log("mesh of %d services on %d nodes", services, nodes)
		sc, err := evenMesh(services, nodes)
		if err != nil {
			return nil, err
		}
		var st *study.Study
		err = curves[0].add(float64(n), func() error {
			source, err := study.Virtual(ctx, sc, collected, 0)
			if err != nil {
				return err
			}
			st = study.Config{Sources: []study.Source{source}}.Of(ctx, source)
			_, err = st.Model()
			return err
		})
		if err != nil {
			return nil, err
		}
		set := study.Setting{
			Learner: learner.PPO{Config: ppo.Config{TotalSteps: trained, EvalEvery: trained, Autoregressive: true}, Heads: learner.PerKnob},
			Load:    load.Uniform{Ranges: sc.Loads},
			Score:   sc.Loads.Grid(1), // at each load the best action is searched
		}
		err = curves[1].add(float64(n), func() error {
			_, err := st.Train(ctx, sc.Defaults().Objectives[0], set, 0, nil)
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	return curves, nil
}

// bySeeds trains policies on all cores.
func (d *data) bySeeds(ctx context.Context, _ string) (Curve, error) {
	return d.byTrainings(ctx, Curve{Curve: "trainings of 100,000 steps, all cores", Size: "trainings", Unit: "s"}, trainingSizes,
		func(n int) (int, int) { return n, runtime.NumCPU() })
}

// byWorkers trains as many policies by ever more workers.
func (d *data) byWorkers(ctx context.Context, _ string) (Curve, error) {
	return d.byTrainings(ctx, Curve{Curve: "16 trainings of 100,000 steps", Size: "workers", Unit: "s"}, workerSizes,
		func(n int) (int, int) { return 16, n })
}

// byTrainings measures trainings of 100,000 steps with a head of all actions, by as
// many workers as of says.
func (d *data) byTrainings(ctx context.Context, c Curve, sizes []int, of func(n int) (trainings, workers int)) (Curve, error) {
	rewards, err := d.table()
	if err != nil {
		return c, err
	}
	setting := forSpeed
	setting.Total = 12 * 8192
	setting.Every = setting.Total
	for _, n := range sizes {
		trainings, workers := of(n)
		err := c.add(float64(n), func() error {
			var g errgroup.Group
			g.SetLimit(workers)
			for k := range trainings {
				g.Go(func() error { _, err := rewards.train(ctx, setting, 1, uint64(k), nil); return err })
			}
			return g.Wait()
		})
		if err != nil {
			return c, err
		}
	}
	return c, nil
}
