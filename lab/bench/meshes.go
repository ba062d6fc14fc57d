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
	b.WriteString("name: regular\ntiming: {step: 20, settle: 5}\nknobs: [{kind: route, levels: 3}, {kind: block, levels: 3}]\nnodes:\n")
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
	return scenario.Parse("regular", []byte(b.String()))
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
		s := study.Config{Seeds: 1}
		var of *study.Study
		err = curves[0].add(float64(n), func() error {
			source, err := study.Virtual(ctx, sc, collected, 0)
			if err != nil {
				return err
			}
			s.Sources = []study.Source{source}
			of = s.Of(ctx, source)
			_, err = of.Model()
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
			_, err := of.Train(ctx, sc.Defaults().Objectives[0], set, 0, nil)
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	return curves, nil
}

// byWorkers trains as many policies by ever more workers.
func (d *data) byWorkers(ctx context.Context, _ string) (Curve, error) {
	c := Curve{Curve: "16 trainings of 100,000 steps", Size: "workers", Unit: "s"}
	for _, n := range workerSizes {
		if err := c.add(float64(n), func() error { return d.trainSome(ctx, 16, n) }); err != nil {
			return c, err
		}
	}
	return c, nil
}

// trainSome trains policies with a head of all actions for 100,000 steps, so many at
// a time.
func (d *data) trainSome(ctx context.Context, n, workers int) error {
	rewards, err := d.table()
	if err != nil {
		return err
	}
	setting := forSpeed
	setting.Total = 12 * 8192
	setting.Every = setting.Total
	var g errgroup.Group
	g.SetLimit(workers)
	for k := range n {
		g.Go(func() error { _, err := rewards.train(ctx, setting, 1, uint64(k), nil); return err })
	}
	return g.Wait()
}

// bySeeds trains policies on all cores.
func (d *data) bySeeds(ctx context.Context, _ string) (Curve, error) {
	c := Curve{Curve: "trainings of 100,000 steps, all cores", Size: "trainings", Unit: "s"}
	for _, n := range trainingSizes {
		if err := c.add(float64(n), func() error { return d.trainSome(ctx, n, runtime.NumCPU()) }); err != nil {
			return c, err
		}
	}
	return c, nil
}
