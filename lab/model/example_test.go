package model_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/meshbench/meshbench/lab/forest"
	"github.com/meshbench/meshbench/lab/mesh"
	"github.com/meshbench/meshbench/lab/model"
	"github.com/meshbench/meshbench/lab/scenario"
	"github.com/meshbench/meshbench/lab/testbed"
	"github.com/meshbench/meshbench/lab/testbed/virtual"
	"github.com/meshbench/meshbench/lab/trace"
)

// From a scenario to a model of what a testbed measured, in a file and back.
func ExampleLearn() {
	if err := learnAndSave(); err != nil {
		fmt.Println(err)
	}
	// Output:
	// per node of service1,service2 on node1,node2; p11 p12 p21 p22 b1 b2
	// 4 requests/s are carried, service1 is below 0.1 s: true
}

func learnAndSave() error {
	ctx := context.Background()
	s := scenario.Paper()
	bed, err := virtual.New(virtual.Config{Scenario: s})
	if err != nil {
		return err
	}
	c := testbed.Collection{Scenario: s, Steps: 500, Seed: 1}
	meta, err := c.Meta(bed)
	if err != nil {
		return err
	}
	table := trace.New(meta)
	if err := testbed.Collect(ctx, bed, table, c); err != nil {
		return err
	}
	// Steps that found a queue they did not make are left out.
	learned, err := model.Learn(ctx, model.Settled(table, .3), model.Config{
		Structure: model.NodeInputs, Forest: forest.Config{Trees: 30, MinLeaf: 40}})
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "model.zip")
	if err := learned.Save(path); err != nil {
		return err
	}
	m, err := model.Load(path, bed.Space())
	if err != nil {
		return err
	}
	fmt.Println(m.Name(), "of", m.Space())
	f, err := m.At(mesh.State{Load: mesh.Load{5, 5}})
	if err != nil {
		return err
	}
	if err := f.Set(mesh.Action{.4, .6, .4, .6, .2, 0}); err != nil {
		return err
	}
	x := mesh.NewMeasurement(bed.Space().Layout())
	f.Mean(&x)
	fmt.Printf("%.0f requests/s are carried, service1 is below 0.1 s: %v\n", x.Carried[0], x.Service[0].Mean < .1)
	return nil
}
