package anr

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/meshbench/meshbench/lab/internal/appendfile"
	"github.com/meshbench/meshbench/lab/internal/csvfile"
	"github.com/meshbench/meshbench/lab/internal/regular"
	"github.com/meshbench/meshbench/lab/mesh"
)

// A file of runs is CSV with one line per step. Version 2 begins with two lines
// of comment: its version, and the space (mesh and knobs) whose actions it holds,
// as JSON. Version 1 has neither, nor the column "exact": its optima are. The
// columns before the loads say which run the step belongs to and how many it
// has, so that a run which was cut short in writing is seen.
var runColumns = []string{"environment", "objective", "policy", "load", "seed", "steps", "step"}

const (
	runsHead  = " meshbench runs 2"
	spaceHead = " space: "
)

// columns of a file of runs: loads, carried loads and delays per service
// (requests/s, s), the values of the action, reward, optimal reward, whether that
// is exact (1) or the best found (0), mark. Empty is missing.
func columns(space *mesh.Space, version int) []string {
	names := slices.Clone(runColumns)
	m := space.Mesh()
	for _, name := range []func(int) string{m.LoadName, m.CarriedName, m.DelayName} {
		for i := range m.M() {
			names = append(names, name(i))
		}
	}
	names = append(append(names, space.Columns()...), "reward", "optimal")
	if version > 1 {
		names = append(names, "exact")
	}
	return append(names, "mark")
}

// Key tells one run from another in a file.
func (r Run) Key() string {
	return fmt.Sprintf("%s/%s/%s/%s/%d", r.Environment, r.Objective, r.Policy, r.Pattern, r.Seed)
}

// ReadRuns reads a file of runs of the given space. A last run that is not
// whole, which an interrupted AppendRun leaves, is left out.
func ReadRuns(path string, space *mesh.Space) ([]Run, error) {
	f, _, err := regular.Read(path)
	if err != nil {
		return nil, fmt.Errorf("anr: read runs: %w", err)
	}
	defer f.Close()
	runs, _, _, err := readRuns(path, f, space)
	return runs, err
}

// readRuns returns the whole runs, where they end in the file, and its version,
// 0 for an empty one.
func readRuns(path string, f io.Reader, space *mesh.Space) (runs []Run, size int64, version int, err error) {
	fail := func(err error) ([]Run, int64, int, error) { return nil, 0, 0, fmt.Errorf("anr: %s: %w", path, err) }
	in := csvfile.NewReader(f)
	in.Whole = true
	version = 1
	for {
		comment, ok, err := in.Comment()
		if err != nil {
			return fail(err)
		}
		if !ok {
			break
		}
		switch {
		case comment == runsHead:
			version = 2
		case strings.HasPrefix(comment, " meshbench runs "):
			return fail(fmt.Errorf("version %q; this program reads versions 1 and 2", strings.TrimPrefix(comment, " meshbench runs ")))
		case strings.HasPrefix(comment, spaceHead):
			var of mesh.Space
			if err := json.Unmarshal([]byte(strings.TrimPrefix(comment, spaceHead)), &of); err != nil {
				return fail(fmt.Errorf("line %d: %w", in.Line(), err))
			}
			if !of.Same(space) {
				return fail(fmt.Errorf("its runs are of %s, not of %s", &of, space))
			}
		}
	}
	want := columns(space, version)
	header, err := in.Read()
	if errors.Is(err, io.EOF) {
		return nil, 0, 0, nil
	}
	if err != nil {
		return fail(err)
	}
	header = slices.Clone(header)
	if !slices.Equal(header, want) {
		return fail(fmt.Errorf("it is not a file of runs on %s: its columns are %.300q; accepted: %v", space.Mesh(), header, want))
	}
	size = in.Offset()
	open := 0 // steps that the last run still lacks
	for {
		record, err := in.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return fail(err)
		}
		run, steps, step, s, err := parseStep(record, header, space)
		if err != nil {
			return fail(fmt.Errorf("line %d: %w", in.Line(), err))
		}
		if open == 0 {
			runs, open = append(runs, run), steps
		}
		last := &runs[len(runs)-1]
		if last.Key() != run.Key() || step != len(last.Steps) {
			return fail(fmt.Errorf("line %d: step %d of run %.100q where step %d of run %.100q should be", in.Line(), step, run.Key(), len(last.Steps), last.Key()))
		}
		last.Steps = append(last.Steps, s)
		if open--; open == 0 {
			size = in.Offset()
		}
	}
	if open > 0 {
		runs = runs[:len(runs)-1]
	}
	return runs, size, version, nil
}

func parseStep(record, header []string, space *mesh.Space) (run Run, steps, step int, s Step, err error) {
	run = Run{Environment: strings.Clone(record[0]), Objective: strings.Clone(record[1]), Policy: strings.Clone(record[2]), Pattern: strings.Clone(record[3])}
	if run.Seed, err = strconv.ParseUint(record[4], 10, 64); err != nil {
		return run, 0, 0, s, fmt.Errorf("seed %.40q; accepted: a whole number", record[4])
	}
	if steps, err = strconv.Atoi(record[5]); err != nil || steps < 1 {
		return run, 0, 0, s, fmt.Errorf("steps %.40q; accepted: a whole number above 0", record[5])
	}
	if step, err = strconv.Atoi(record[6]); err != nil {
		return run, 0, 0, s, fmt.Errorf("step %.40q; accepted: a whole number", record[6])
	}
	var v []float64
	for k := len(runColumns); k < len(record)-1; k++ {
		x := math.NaN()
		if record[k] != "" {
			if x, err = strconv.ParseFloat(record[k], 64); err != nil || math.IsNaN(x) || math.IsInf(x, 0) {
				return run, 0, 0, s, fmt.Errorf("%s is %.40q; accepted: a number, empty for missing", header[k], record[k])
			}
		}
		v = append(v, x)
	}
	take := func(n int) []float64 {
		part := v[:n:n]
		v = v[n:]
		return part
	}
	m := space.Mesh().M()
	s.Load, s.Carried, s.Delay = mesh.Load(take(m)), take(m), take(m)
	s.Action = mesh.Action(take(space.Width()))
	s.Reward, s.Optimal, s.Exact, s.Mark = v[0], v[1], len(v) < 3 || v[2] == 1, strings.Clone(record[len(record)-1])
	return run, steps, step, s, nil
}

// AppendRun adds a run to a file of runs of the given space, which it makes
// where there is none: the whole run in one write, after cutting off one that was
// not whole. While another process adds one, that is an error.
func AppendRun(path string, space *mesh.Space, r Run) (err error) {
	version := 0
	f, err := appendfile.Open(path, func(in io.Reader) (size int64, err error) {
		_, size, version, err = readRuns(path, in, space)
		return size, err
	})
	var where *fs.PathError
	if err != nil {
		if errors.As(err, &where) || !strings.HasPrefix(err.Error(), "anr: ") {
			err = fmt.Errorf("anr: %w", err)
		}
		return err
	}
	defer func() {
		if e := f.Close(); err == nil && e != nil {
			err = fmt.Errorf("anr: %w", e)
		}
	}()
	var b bytes.Buffer
	out := csv.NewWriter(&b)
	if version == 0 {
		version = 2
		text, err := json.Marshal(space)
		if err != nil {
			return fmt.Errorf("anr: %s: %w", path, err)
		}
		fmt.Fprintf(&b, "#%s\n#%s%s\n", runsHead, spaceHead, text)
		out.Write(columns(space, version))
	}
	text := func(v float64) string {
		if math.IsNaN(v) {
			return ""
		}
		return strconv.FormatFloat(v, 'g', 7, 64)
	}
	for t, s := range r.Steps {
		record := []string{r.Environment, r.Objective, r.Policy, r.Pattern, strconv.FormatUint(r.Seed, 10), strconv.Itoa(len(r.Steps)), strconv.Itoa(t)}
		for _, part := range [][]float64{s.Load, s.Carried, s.Delay, s.Action, {s.Reward, s.Optimal}} {
			for _, v := range part {
				record = append(record, text(v))
			}
		}
		if version > 1 {
			exact := "0"
			if s.Exact {
				exact = "1"
			}
			record = append(record, exact)
		}
		out.Write(append(record, s.Mark))
	}
	if out.Flush(); out.Error() != nil {
		return fmt.Errorf("anr: run %s: %w", r.Key(), out.Error())
	}
	if err := f.Append(b.Bytes()); err != nil {
		return fmt.Errorf("anr: run %s: %w", r.Key(), err)
	}
	return nil
}
