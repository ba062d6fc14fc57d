package load

import (
	"encoding/csv"
	"fmt"
	"math"
	"os"
	"strconv"
	"strings"

	"github.com/meshbench/meshbench/lab/mesh"
)

var _ Pattern = (*Replay)(nil)

// Replay repeats recorded loads. After the last it begins again with the
// first; Len is the length of one pass.
type Replay struct {
	label string
	loads []mesh.Load
}

// NewReplay replays loads, which it keeps: one per step, all of one length. It
// panics when there are none.
func NewReplay(label string, loads []mesh.Load) *Replay {
	if len(loads) == 0 {
		panic("load: replay of no load")
	}
	for t := range loads {
		if len(loads[t]) != len(loads[0]) {
			panic(fmt.Sprintf("load: replay with %d services in step 0, %d in step %d", len(loads[0]), len(loads[t]), t))
		}
	}
	return &Replay{label: label, loads: loads}
}

// ReadReplay reads the loads of m services from the columns l1..lm of a CSV
// file, in requests/s, one row per step. Other columns and lines that begin with #
// are passed over, so any trace will do.
func ReadReplay(path string, m int) (*Replay, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("load: %w", err)
	}
	defer f.Close()
	r := csv.NewReader(f)
	r.Comment = '#'
	rows, err := r.ReadAll()
	if err != nil {
		return nil, fmt.Errorf("load: %s: %w", path, err)
	}
	if len(rows) < 2 {
		return nil, fmt.Errorf("load: %s has no row; a header and one row per step are needed", path)
	}
	column := make([]int, m)
	for i := range column {
		column[i] = -1
		for c, name := range rows[0] {
			if name == (mesh.Mesh{}).LoadName(i) {
				column[i] = c
			}
		}
		if column[i] < 0 {
			return nil, fmt.Errorf("load: %s has no column %s; its columns are %s", path, (mesh.Mesh{}).LoadName(i), strings.Join(rows[0], ", "))
		}
	}
	loads := make([]mesh.Load, len(rows)-1)
	for t := range loads {
		loads[t] = make(mesh.Load, m)
		for i, c := range column {
			x, err := strconv.ParseFloat(rows[t+1][c], 64)
			if err != nil || !(x >= 0) || math.IsInf(x, 1) {
				return nil, fmt.Errorf("load: %s: row %d: column %s is %q; a load in requests/s is a finite number >= 0",
					path, t+1, (mesh.Mesh{}).LoadName(i), rows[t+1][c])
			}
			loads[t][i] = x
		}
	}
	return NewReplay("replay", loads), nil
}

// Name is the label given to NewReplay, "replay" for a file.
func (r *Replay) Name() string { return r.label }

// Len is the number of recorded steps.
func (r *Replay) Len() int { return len(r.loads) }

// At is the recorded load of step t modulo Len.
func (r *Replay) At(dst mesh.Load, _ uint64, t int) mesh.Load {
	return Constant{Load: r.loads[t%len(r.loads)]}.At(dst, 0, t)
}
