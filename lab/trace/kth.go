package trace

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/meshbench/meshbench/lab/internal/csvfile"
	"github.com/meshbench/meshbench/lab/internal/regular"
	"github.com/meshbench/meshbench/lab/mesh"
)

// KTHSHA256 is the hash of the published trace, data_CNSM_2022.csv of the
// repository foroughsh/KTH-traces.
const KTHSHA256 = "0b18a7b8cad626e3f39d13cdd9911d9b8b35b10ea27c436d014a632008ea558a"

// kthSeconds is the length of a step of the published trace.
const kthSeconds = 5

var kthColumns = []string{"p11", "p21", "b1", "b2", "l1", "l2", "cl1", "cl2", "d11", "d12", "d21", "d22", "drop1", "drop2"}

// KTHReading is a way to read the published trace.
type KTHReading int

const (
	// AsPublished takes labels and zeros as the file has them, as the authors
	// did: p11 and p21 as labelled, a delay of 0 as a delay.
	AsPublished KTHReading = iota
	// Corrected undoes the swap of the labels p11 and p21, and takes a delay
	// of 0 as missing, with a count of 0.
	Corrected
)

// String is "as published" or "corrected".
func (k KTHReading) String() string {
	if k == Corrected {
		return "corrected"
	}
	return "as published"
}

// KTHOptions says how ImportKTH reads the published trace.
type KTHOptions struct {
	Reading KTHReading // default AsPublished
	SHA256  string     // hash that the file must have, in hexadecimal; default KTHSHA256
}

// ImportKTH reads the trace published with the paper: 45,343 steps of two
// services on two nodes. Percentages become fractions, dropped requests/s
// become blocked requests per step. The file holds means of d_ij only: their
// counts and percentiles are missing, and so are all d_i. Its loads are as
// generated (4.8, 5, 5.2, ...); what was configured is not in it, so Load and
// Generated are the same. Rows are numbered from 0 in the file's order.
//
// The space is that of the paper's scenario: mesh.New(2, 2), routed and blocked
// at six levels. A file with another hash is refused, the error naming both
// hashes.
func ImportKTH(path string, o KTHOptions) (*Table, error) {
	f, size, err := regular.Read(path)
	if err != nil {
		return nil, fmt.Errorf("trace: %w", err)
	}
	defer f.Close()
	sum := sha256.New()
	t, wrong := decodeKTH(io.TeeReader(f, sum), size, o.Reading)
	if _, err := io.Copy(sum, f); err != nil { // what an error left
		return nil, fmt.Errorf("trace: %w", err)
	}
	found, expected := hex.EncodeToString(sum.Sum(nil)), strings.ToLower(o.SHA256)
	if expected == "" {
		expected = KTHSHA256
	}
	if found != expected {
		return nil, fmt.Errorf("trace: %s is not the published trace: its SHA-256 is %s, expected %s", path, found, csvfile.Cut(expected, 64))
	}
	if wrong != nil {
		return nil, in(path, wrong)
	}
	t.meta.Extra["sha256"] = found
	return t, nil
}

func decodeKTH(r io.Reader, size int64, reading KTHReading) (*Table, error) {
	in := csvfile.NewReader(r)
	header, err := in.Read()
	if err != nil {
		return nil, noEOF(err, fmt.Errorf("line 1: the names of the columns are missing"))
	}
	header = slices.Clone(header)
	if err := csvfile.Check(header, kthColumns); err != nil {
		return nil, fmt.Errorf("line %d: %w", in.Line(), err)
	}
	t := New(Meta{
		Space:       mesh.Grid(mesh.New(2, 2), 6),
		Scenario:    "paper",
		StepSeconds: kthSeconds,
		Testbed:     "published",
		Load:        "random",
		Actions:     "grid",
		Extra:       map[string]string{"reading": reading.String()},
	})
	begin := in.Offset()
	rows := &rows{in: in, header: header}
	for {
		more, err := rows.next()
		if err != nil {
			return nil, err
		}
		if !more {
			break
		}
		if rows.n == sampleRows {
			t.reserve(int(float64(size) / float64(in.Offset()-begin) * sampleRows))
		}
		row := Row{
			Step:        rows.n - 1,
			Load:        make(mesh.Load, 2),
			Action:      make(mesh.Action, 6),
			Measurement: mesh.NewMeasurement(t.meta.Space.Layout()),
		}
		if err := rows.kth(reading, &row); err != nil {
			return nil, err
		}
		t.push(row)
	}
	if t.Len() == 0 {
		return nil, fmt.Errorf("0 rows; at least 1 is needed")
	}
	return t, nil
}

// kth turns the last row of the published trace into one of a table.
func (r *rows) kth(reading KTHReading, row *Row) error {
	var err error
	get := func(column string, k kind) float64 {
		if err != nil {
			return math.NaN()
		}
		c := slices.Index(r.header, column)
		v, ok := number(r.cells[c], k)
		if !ok {
			err = r.errorf(c, k.accepted())
		}
		return v
	}
	x := &row.Measurement
	for i, s := range []string{"1", "2"} {
		label := "p" + s + "1"
		if reading == Corrected {
			label = []string{"p21", "p11"}[i]
		}
		percent := get(label, percentage)
		row.Action[2*i] = percent / 100
		row.Action[2*i+1] = (100 - percent) / 100
		row.Action[4+i] = get("b"+s, fraction)
		row.Load[i] = get("l"+s, rate)
		x.Generated[i] = row.Load[i]
		x.Carried[i] = get("cl"+s, rate)
		x.Blocked[i] = get("drop"+s, rate) * kthSeconds
		if err == nil && math.IsInf(x.Blocked[i], 1) {
			err = r.errorf(slices.Index(r.header, "drop"+s), rate.accepted())
		}
		x.Service[i].Count = math.NaN()
		for j, n := range []string{"1", "2"} {
			d := &x.Endpoint[2*i+j]
			d.Mean = get("d"+s+n, seconds)
			d.Count = math.NaN()
			if reading == Corrected && d.Mean == 0 {
				*d = mesh.NoDelay()
			}
		}
	}
	return err
}

// ErrNoKTH says that the published trace is not on this machine.
var ErrNoKTH = errors.New("the published trace is not here")

// FindKTH returns the path of the published trace: the file that the
// environment variable KTH_TRACE names, else ../shared/kth/data_CNSM_2022.csv
// beside the module's root, which is looked for upwards from the working
// directory. Where there is neither, the error is ErrNoKTH; a KTH_TRACE that
// names no file is another error.
func FindKTH() (string, error) {
	if path := os.Getenv("KTH_TRACE"); path != "" {
		if _, err := os.Stat(path); err != nil {
			return "", fmt.Errorf("trace: KTH_TRACE: %w", err)
		}
		return path, nil
	}
	dir, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("trace: %w", err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			break
		}
		if dir == filepath.Dir(dir) {
			return "", fmt.Errorf("trace: %w: KTH_TRACE is not set, and no go.mod is above the working directory", ErrNoKTH)
		}
		dir = filepath.Dir(dir)
	}
	path := filepath.Join(filepath.Dir(dir), "shared", "kth", "data_CNSM_2022.csv")
	if _, err := os.Stat(path); err != nil {
		return "", fmt.Errorf("trace: %w: KTH_TRACE is not set, and there is no %s", ErrNoKTH, path)
	}
	return path, nil
}
