package extend_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/meshbench/meshbench/lab/figure"
	"github.com/meshbench/meshbench/lab/scenario"
	"github.com/meshbench/meshbench/lab/study"
)

// A table, or figure, of a study: a name and a function. From then on the command
// lists it, checks its name and makes it.
func Example_drawing() {
	study.RegisterDrawing(study.Drawing{Name: "goals", Title: "goals of the services", Long: true,
		Make: func(_ context.Context, _ *study.Result, s study.Source) (study.Output, error) {
			t := figure.Table{Header: []string{"service", "goal (s)"}}
			for i, target := range s.Scenario.Targets {
				t.Rows = append(t.Rows, []string{s.Scenario.Mesh.Services[i].Name, fmt.Sprint(target.Goal)})
			}
			return study.Output{Table: &t}, nil
		}})
	dir, err := os.MkdirTemp("", "drawing-")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	r := study.New(study.Config{Sources: []study.Source{{Scenario: scenario.Paper()}}})
	wrote, err := r.Draw(context.Background(), dir, "goals")
	fmt.Println(wrote, err)
	text, err := os.ReadFile(filepath.Join(dir, "goals.csv"))
	fmt.Print(string(text), err)
	// Output:
	// [goals] <nil>
	// service,goal (s)
	// service1,0.035
	// service2,0.11
	// <nil>
}
