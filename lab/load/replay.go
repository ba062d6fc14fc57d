package load

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"

	"github.com/meshbench/meshbench/lab/internal/csvfile"
	"github.com/meshbench/meshbench/lab/internal/regular"
	"github.com/meshbench/meshbench/lab/mesh"
)

var _ Pattern = (*Replay)(nil)

// Replay repeats recorded loads. After the last it begins again with the
// first; Len is the length of one pass.
type Replay struct {
	label  string
	loads  []mesh.Load
	anyRow bool // the seed draws the row that a run begins with
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

// FromAnyRow is r with runs that begin at a row that their seed draws, so that
// seeds differ.
func (r *Replay) FromAnyRow() *Replay {
	return &Replay{label: r.label, loads: r.loads, anyRow: true}
}

// Into is r with each service's loads mapped in a straight line from the least
// and the greatest recorded one to the ends of its range: a recording of another
// system, which carries other loads, keeps its shape. A service whose recorded
// load never changes gets the middle. It panics for ranges of another number of
// services.
func (r *Replay) Into(ranges Ranges) *Replay {
	m := len(r.loads[0])
	if len(ranges) != m {
		panic(fmt.Sprintf("load: %d ranges for a replay of %d services", len(ranges), m))
	}
	out := &Replay{label: r.label, anyRow: r.anyRow, loads: make([]mesh.Load, len(r.loads))}
	for t := range out.loads {
		out.loads[t] = make(mesh.Load, m)
	}
	for i, x := range ranges {
		low, high := math.Inf(1), math.Inf(-1)
		for _, l := range r.loads {
			low, high = min(low, l[i]), max(high, l[i])
		}
		for t, l := range r.loads {
			at := .5
			if high > low {
				at = (l[i] - low) / (high - low)
			}
			out.loads[t][i] = x.share(at)
		}
	}
	return out
}

// MarshalJSON writes label and loads, so that the text of two that differ does
// too.
func (r *Replay) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		Label  string      `json:"label"`
		Loads  []mesh.Load `json:"loads"`
		AnyRow bool        `json:"any_row,omitempty"`
	}{r.label, r.loads, r.anyRow})
}

// ReadReplay reads the loads of m services from the columns l1..lm of a CSV
// file, in requests/s, one row per step. Other columns and lines that begin with
// # are passed over, so any trace will do. A pipe or device is refused.
func ReadReplay(path string, m int) (*Replay, error) {
	f, _, err := regular.Read(path)
	if err != nil {
		return nil, fmt.Errorf("load: %w", err)
	}
	defer f.Close()
	loads, err := readLoads(f, m)
	if err != nil {
		return nil, fmt.Errorf("load: %s: %w", path, err)
	}
	return NewReplay("replay", loads), nil
}

func readLoads(f io.Reader, m int) ([]mesh.Load, error) {
	in := csvfile.NewReader(f)
	header, err := in.Read()
	if err == io.EOF {
		return nil, errNoRow
	}
	if err != nil {
		return nil, err
	}
	header = slices.Clone(header)
	if err := csvfile.Twice(header); err != nil {
		return nil, fmt.Errorf("line %d: %w", in.Line(), err)
	}
	column := make([]int, m)
	others := slices.Clone(header) // which may be misspelt ones
	for i := range column {
		name := mesh.Mesh{}.LoadName(i)
		column[i] = slices.Index(header, name)
		others = slices.DeleteFunc(others, func(s string) bool { return s == name })
	}
	for i, c := range column {
		if name := (mesh.Mesh{}).LoadName(i); c < 0 {
			return nil, fmt.Errorf("line %d: no column %s%s; its columns are %s", in.Line(), name, csvfile.Suggest(name, others), csvfile.List(header))
		}
	}
	var loads []mesh.Load
	for {
		cells, err := in.Read()
		if err == io.EOF && len(loads) == 0 {
			return nil, errNoRow
		}
		if err == io.EOF {
			return loads, nil
		}
		if err != nil {
			return nil, fmt.Errorf("row %d: %w", len(loads)+1, err)
		}
		l := make(mesh.Load, m)
		for i, c := range column {
			x, err := strconv.ParseFloat(cells[c], 64)
			if err != nil || !(x >= 0) || math.IsInf(x, 1) {
				return nil, fmt.Errorf("row %d (line %d): column %s is %s; a load in requests/s is a finite number >= 0",
					len(loads)+1, in.CellLine(c), header[c], csvfile.Quote(cells[c]))
			}
			l[i] = x
		}
		loads = append(loads, l)
	}
}

var errNoRow = errors.New("no row; a header and one row per step are needed")

// Name is the label given to NewReplay, "replay" for a file.
func (r *Replay) Name() string { return r.label }

// Len is the number of recorded steps.
func (r *Replay) Len() int { return len(r.loads) }

// At is the recorded load of step t modulo Len.
func (r *Replay) At(dst mesh.Load, seed uint64, t int) mesh.Load {
	if r.anyRow {
		p := source(seed, streamReplay, 0, 0)
		t = t%len(r.loads) + pick(&p, len(r.loads))
	}
	return Constant{Load: r.loads[t%len(r.loads)]}.At(dst, 0, t)
}
