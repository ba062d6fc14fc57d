package trace_test

import (
	"fmt"
	"log"
	"math"
	"os"
	"path/filepath"

	"github.com/meshbench/meshbench/lab/mesh"
	"github.com/meshbench/meshbench/lab/trace"
)

// A collector appends one row per step; whoever learns reads the file.
func Example() {
	dir, err := os.MkdirTemp("", "trace")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "own.csv")

	space := mesh.Grid(mesh.New(2, 2), 6)
	collector, err := trace.OpenAppender(path, trace.Meta{Space: space, Testbed: "local", Load: "random", Actions: "random", Seed: 1})
	if err != nil {
		log.Fatal(err)
	}
	x := mesh.NewMeasurement(space.Layout())
	x.Carried[0], x.Carried[1] = 5, 8
	x.Endpoint[0] = mesh.Delay{Count: 25, Mean: .021, P50: .019, P95: .04, P99: .05}
	x.Endpoint[3] = mesh.Delay{Count: 40, Mean: .093, P50: .088, P95: .15, P99: .2}
	err = collector.Append(trace.Row{
		Step:        collector.Next(),
		Load:        mesh.Load{5, 10},
		Action:      mesh.Action{1, 0, 0, 1, 0, .2},
		Measurement: x,
	})
	if err != nil {
		log.Fatal(err)
	}
	if err := collector.Close(); err != nil {
		log.Fatal(err)
	}

	t, err := trace.Read(path, trace.ReadOptions{})
	if err != nil {
		log.Fatal(err)
	}
	targets, err := t.Targets()
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("inputs", t.Space().FeatureNames(), t.Features().RawRowView(0))
	fmt.Println("targets", t.DelayNames(), targets.RawRowView(0))
	fmt.Println("findings", len(trace.Audit(t)))
	// Output:
	// inputs [l1 l2 p11 p21 b1 b2] [5 10 1 0 0 0.2]
	// targets [d11 d12 d21 d22] [0.021 NaN NaN 0.093]
	// findings 0
}

// Zeros that stand for missing delays are a finding, with figures.
func ExampleAudit() {
	t := trace.New(trace.Meta{Space: mesh.Grid(mesh.New(2, 2), 6)})
	for step := range 3 {
		x := mesh.NewMeasurement(t.Space().Layout())
		x.Endpoint[0] = mesh.Delay{Count: math.NaN(), Mean: .021, P50: math.NaN(), P95: math.NaN(), P99: math.NaN()}
		x.Endpoint[1].Mean = 0
		err := t.Append(trace.Row{
			Step:        step,
			Load:        mesh.Load{5, 0},
			Action:      mesh.Action{1, 0, 1, 0, 0, 0},
			Measurement: x,
		})
		if err != nil {
			log.Fatal(err)
		}
	}
	for _, f := range trace.Audit(t) {
		fmt.Println(f.Code)
		fmt.Println(f.Detail)
		fmt.Println(f.Figures["d12_zero"], f.Figures["d12_zero_by_routing"])
	}
	// Output:
	// zero-delays
	// No request is answered in 0 s: these zeros mean that none was sent. Rows of 3 with a zero: d12 3 (3 where the weight is 0).
	// 3 3
}

func ExampleTable_Split() {
	t := trace.New(trace.Meta{Space: mesh.Grid(mesh.New(2, 2), 6)})
	space := t.Space()
	for step := range 100 {
		row := trace.Row{Step: step, Load: mesh.Load{5, 5}, Action: space.At(step % 10), Measurement: mesh.NewMeasurement(t.Space().Layout())}
		if err := t.Append(row); err != nil {
			log.Fatal(err)
		}
	}
	byRow, _ := t.Split(trace.Split{Seed: 1})
	half, otherHalf := t.Split(trace.Split{Train: .5, ByAction: true, Seed: 1})
	fmt.Println(byRow.Len(), half.Len(), otherHalf.Len())
	// Output: 70 50 50
}
