package importer_test

import (
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/meshbench/meshbench/lab/mesh"
	"github.com/meshbench/meshbench/lab/trace"
	"github.com/meshbench/meshbench/lab/trace/importer"
)

// A file with semicolons, decimal commas and rows of 1 s becomes a trace of
// steps of 2 s. A row that cannot be used is counted, with its reason.
func Example() {
	dir, err := os.MkdirTemp("", "importer")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "gateway.csv")
	text := `when;asked;to_a;latency;replies
2026-01-31 12:00:00;5;20;31,5;4
2026-01-31 12:00:01;5;20;33,5;6
2026-01-31 12:00:02;8;40;n/a;
2026-01-31 12:00:03;8;40;40,0;7
2026-01-31 12:00:04;8;40;slow;8
2026-01-31 12:00:05;8;40;42,0;9
`
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		log.Fatal(err)
	}
	m, err := importer.Parse("gateway.yaml", []byte(`
delimiter: ";"
decimal: ","
missing: [n/a]
row: 1
step: 2
columns:
  - {column: when, field: time, unit: "2006-01-02 15:04:05"}
  - {column: asked, field: l1}
  - {column: to_a, field: p11, unit: "%"}
  - {column: latency, field: d1, unit: ms}
  - {column: replies, field: d1_n}
set: {b1: 0}
`))
	if err != nil {
		log.Fatal(err)
	}
	t, outcome, err := importer.Import(path, m, importer.Options{Space: mesh.Grid(mesh.New(1, 2), 6)})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Print(outcome)
	for r := range t.Len() {
		x := t.Row(r)
		fmt.Printf("step %d: load %v, action %v, %v requests of %.4f s\n", x.Step, x.Load, x.Action, x.Measurement.Service[0].Count, x.Measurement.Service[0].Mean)
	}
	fmt.Println("findings:", len(trace.Audit(t)))
	// Output:
	// 2 steps from 4 of 6 rows
	// - 1 rows not used: column latency holds no number; first row 5 (line 6): column latency is "slow"; accepted: a finite number >= 0 in seconds, or empty where it is missing; the column is in ms
	// - 1 rows not used: a step lacks rows; first row 6 (line 7): the step of 2 s that it begins has 1 of 2 rows that can be used
	// - d1: rows of a step are joined by their numbers of requests
	// - missing values, by column: latency 1, replies 1
	// step 0: load [5], action [0.2 0.8 0], 10 requests of 0.0327 s
	// step 1: load [8], action [0.4 0.6 0], NaN requests of 0.0400 s
	// findings: 0
}
