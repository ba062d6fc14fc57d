package anr

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/meshbench/meshbench/lab/mesh"
)

// A file of runs is CSV with one line per step. The columns before the loads
// say which run the step belongs to and how many it has, so that a run which
// was cut short in writing is seen.
var runColumns = []string{"environment", "objective", "policy", "load", "seed", "steps", "step"}

// columns of a file of runs on mesh m: loads, carried loads and delays per
// service (requests/s, s), routing weights, blocking rates, reward, optimal
// reward, mark. Empty is missing.
func columns(m mesh.Mesh) []string {
	names := slices.Clone(runColumns)
	for i := range m.M() {
		names = append(names, m.LoadName(i))
	}
	for i := range m.M() {
		names = append(names, m.CarriedName(i))
	}
	for i := range m.M() {
		names = append(names, m.DelayName(i))
	}
	for i := range m.M() {
		for j := range m.N() {
			names = append(names, m.RouteName(i, j))
		}
	}
	for i := range m.M() {
		names = append(names, m.BlockName(i))
	}
	return append(names, "reward", "optimal", "mark")
}

// Key tells one run from another in a file.
func (r Run) Key() string {
	return fmt.Sprintf("%s/%s/%s/%s/%d", r.Environment, r.Objective, r.Policy, r.Pattern, r.Seed)
}

// ReadRuns reads a file of runs on mesh m. A last run that is not whole, which
// an interrupted AppendRun leaves, is left out.
func ReadRuns(path string, m mesh.Mesh) ([]Run, error) {
	runs, _, err := readRuns(path, m)
	return runs, err
}

// readRuns returns the whole runs and where they end in the file.
func readRuns(path string, m mesh.Mesh) (runs []Run, size int64, err error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, 0, fmt.Errorf("anr: read runs: %w", err)
	}
	end := int64(bytes.LastIndexByte(data, '\n') + 1)
	in := csv.NewReader(bytes.NewReader(data[:end]))
	want := columns(m)
	header, err := in.Read()
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, 0, fmt.Errorf("anr: %s: %w", path, err)
	}
	if !slices.Equal(header, want) {
		return nil, 0, fmt.Errorf("anr: %s is not a file of runs on %s: its columns are %v; accepted: %v", path, m, header, want)
	}
	size = in.InputOffset()
	open := 0 // steps that the last run still lacks
	for {
		record, err := in.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		line, _ := in.FieldPos(0)
		if err != nil {
			return nil, 0, fmt.Errorf("anr: %s: %w", path, err)
		}
		run, steps, step, s, err := parseStep(record, header, m)
		if err != nil {
			return nil, 0, fmt.Errorf("anr: %s, line %d: %w", path, line, err)
		}
		if open == 0 {
			runs, open = append(runs, run), steps
		}
		last := &runs[len(runs)-1]
		if last.Key() != run.Key() || step != len(last.Steps) {
			return nil, 0, fmt.Errorf("anr: %s, line %d: step %d of run %s where step %d of run %s should be", path, line, step, run.Key(), len(last.Steps), last.Key())
		}
		last.Steps = append(last.Steps, s)
		if open--; open == 0 {
			size = in.InputOffset()
		}
	}
	if open > 0 {
		runs = runs[:len(runs)-1]
	}
	return runs, size, nil
}

func parseStep(record, header []string, m mesh.Mesh) (run Run, steps, step int, s Step, err error) {
	run = Run{Environment: record[0], Objective: record[1], Policy: record[2], Pattern: record[3]}
	if run.Seed, err = strconv.ParseUint(record[4], 10, 64); err != nil {
		return run, 0, 0, s, fmt.Errorf("seed %q; accepted: a whole number", record[4])
	}
	if steps, err = strconv.Atoi(record[5]); err != nil || steps < 1 {
		return run, 0, 0, s, fmt.Errorf("steps %q; accepted: a whole number above 0", record[5])
	}
	if step, err = strconv.Atoi(record[6]); err != nil {
		return run, 0, 0, s, fmt.Errorf("step %q; accepted: a whole number", record[6])
	}
	var v []float64
	for k := len(runColumns); k < len(record)-1; k++ {
		x := math.NaN()
		if record[k] != "" {
			if x, err = strconv.ParseFloat(record[k], 64); err != nil || math.IsNaN(x) || math.IsInf(x, 0) {
				return run, 0, 0, s, fmt.Errorf("%s is %q; accepted: a number, empty for missing", header[k], record[k])
			}
		}
		v = append(v, x)
	}
	take := func(n int) []float64 {
		part := v[:n:n]
		v = v[n:]
		return part
	}
	s.Load, s.Carried, s.Delay = mesh.Load(take(m.M())), take(m.M()), take(m.M())
	s.Action = mesh.Action{Route: take(m.M() * m.N()), Block: take(m.M())}
	s.Reward, s.Optimal, s.Mark = v[0], v[1], record[len(record)-1]
	return run, steps, step, s, nil
}

// AppendRun adds a run to a file of runs on mesh m, which it makes where there
// is none: the whole run in one write, after cutting off one that was not whole.
func AppendRun(path string, m mesh.Mesh, r Run) (err error) {
	var size int64
	var b bytes.Buffer
	out := csv.NewWriter(&b)
	switch _, end, err := readRuns(path, m); {
	case errors.Is(err, fs.ErrNotExist):
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return fmt.Errorf("anr: %s: %w", path, err)
		}
		out.Write(columns(m))
	case err != nil:
		return err
	default:
		size = end
	}
	text := func(v float64) string {
		if math.IsNaN(v) {
			return ""
		}
		return strconv.FormatFloat(v, 'g', 7, 64)
	}
	for t, s := range r.Steps {
		record := []string{r.Environment, r.Objective, r.Policy, r.Pattern, strconv.FormatUint(r.Seed, 10), strconv.Itoa(len(r.Steps)), strconv.Itoa(t)}
		for _, part := range [][]float64{s.Load, s.Carried, s.Delay, s.Action.Route, s.Action.Block, {s.Reward, s.Optimal}} {
			for _, v := range part {
				record = append(record, text(v))
			}
		}
		out.Write(append(record, s.Mark))
	}
	if out.Flush(); out.Error() != nil {
		return fmt.Errorf("anr: run %s: %w", r.Key(), out.Error())
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return fmt.Errorf("anr: %w", err)
	}
	defer func() {
		if e := f.Close(); err == nil && e != nil {
			err = fmt.Errorf("anr: %w", e)
		}
	}()
	if err := f.Truncate(size); err != nil {
		return fmt.Errorf("anr: cutting off a run that was not whole: %w", err)
	}
	if _, err := f.WriteAt(b.Bytes(), size); err != nil {
		f.Truncate(size)
		return fmt.Errorf("anr: run %s: %w", r.Key(), err)
	}
	return nil
}
