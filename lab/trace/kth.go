package trace

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"

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
// A file with another hash is refused, the error naming both hashes.
func ImportKTH(path string, o KTHOptions) (*Table, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("trace: %w", err)
	}
	sum := sha256.Sum256(data)
	found, expected := hex.EncodeToString(sum[:]), strings.ToLower(o.SHA256)
	if expected == "" {
		expected = KTHSHA256
	}
	if found != expected {
		return nil, fmt.Errorf("trace: %s is not the published trace: its SHA-256 is %s, expected %s", path, found, expected)
	}
	line, _, _ := bytes.Cut(data, []byte("\n"))
	header := strings.Split(strings.TrimSuffix(string(line), "\r"), ",")
	if err := checkHeader(header, kthColumns); err != nil {
		return nil, fmt.Errorf("trace: %s: line 1: %w", path, err)
	}
	f, err := readCells(path, data, header, 1, 1)
	if err != nil {
		return nil, err
	}
	return f.kth(o.Reading, found)
}

func (f *cells) kth(reading KTHReading, sha string) (*Table, error) {
	t := New(Meta{
		StepSeconds: kthSeconds,
		Testbed:     "published",
		Load:        "random",
		Actions:     "grid",
		Extra:       map[string]string{"reading": reading.String(), "sha256": sha},
	})
	for r := range f.rows {
		row := Row{
			Step:        r,
			Load:        make(mesh.Load, 2),
			Action:      mesh.Action{Route: make([]float64, 4), Block: make([]float64, 2)},
			Measurement: mesh.NewMeasurement(t.meta.Mesh),
		}
		if err := f.kthRow(r, reading, &row); err != nil {
			return nil, err
		}
		t.push(row)
	}
	return t, nil
}

func (f *cells) kthRow(r int, reading KTHReading, row *Row) error {
	var err error
	get := func(column string, k kind) float64 {
		if err != nil {
			return math.NaN()
		}
		v, ok := parse(f.column[column][r], k)
		if !ok {
			err = f.errorf(r, column, k.accepted())
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
		row.Action.Route[2*i] = percent / 100
		row.Action.Route[2*i+1] = (100 - percent) / 100
		row.Action.Block[i] = get("b"+s, fraction)
		row.Load[i] = get("l"+s, rate)
		x.Generated[i] = row.Load[i]
		x.Carried[i] = get("cl"+s, rate)
		x.Blocked[i] = get("drop"+s, rate) * kthSeconds
		x.Service[i].Count = math.NaN()
		for j, n := range []string{"1", "2"} {
			d := &x.Node[2*i+j]
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

// SHA256 returns the hash of a file in hexadecimal, as sha256sum prints it.
func SHA256(path string) (string, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("trace: %w", err)
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:]), nil
}
