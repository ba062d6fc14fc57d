// Command rows measures how long the prediction of one row takes by another
// runtime's native code, called from Go, where no interpreter is in the way:
//
//	rows onnxruntime LIBRARY MODEL ROWS
//	rows compiled LIBRARY INPUTS ROWS
//
// ROWS holds rows of the model's inputs, little-endian float64, 1,000 of them or
// more; printed is the median over 1,000 of them, in s. It is a module of its own:
// what it requires is no part of the workbench.
package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"os"
	"slices"
	"time"

	ort "github.com/yalue/onnxruntime_go"
)

const rows = 1000

func main() {
	if len(os.Args) != 5 {
		fmt.Fprintln(os.Stderr, "usage: rows onnxruntime LIBRARY MODEL ROWS, or rows compiled LIBRARY INPUTS ROWS")
		os.Exit(2)
	}
	open := onnxruntime
	if os.Args[1] == "compiled" {
		open = compiled
	}
	predict, width, err := open(os.Args[2], os.Args[3])
	if err == nil {
		err = measure(predict, width, os.Args[4])
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "rows:", err)
		os.Exit(1)
	}
}

func measure(predict func(row []float64) error, width int, file string) error {
	b, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	if len(b) < rows*width*8 {
		return fmt.Errorf("%s has %d bytes; wanted: %d rows of %d numbers", file, len(b), rows, width)
	}
	row := make([]float64, width)
	var taken []time.Duration
	for k := range rows {
		for j := range row {
			row[j] = math.Float64frombits(binary.LittleEndian.Uint64(b[8*(k*width+j):]))
		}
		begin := time.Now()
		if err := predict(row); err != nil {
			return err
		}
		taken = append(taken, time.Since(begin))
	}
	slices.Sort(taken)
	fmt.Println(taken[rows/2].Seconds())
	return nil
}

// onnxruntime has one thread, and input and output in place.
func onnxruntime(library, model string) (func([]float64) error, int, error) {
	ort.SetSharedLibraryPath(library)
	if err := ort.InitializeEnvironment(); err != nil {
		return nil, 0, err
	}
	in, out, err := ort.GetInputOutputInfo(model)
	if err != nil {
		return nil, 0, err
	}
	if len(in) != 1 || len(out) != 1 {
		return nil, 0, errors.New("the model has more than one input or output")
	}
	width, outputs := in[0].Dimensions[1], out[0].Dimensions[1]
	x, err := ort.NewEmptyTensor[float64](ort.NewShape(1, width))
	if err != nil {
		return nil, 0, err
	}
	y, err := ort.NewEmptyTensor[float32](ort.NewShape(1, outputs))
	if err != nil {
		return nil, 0, err
	}
	options, err := ort.NewSessionOptions()
	if err != nil {
		return nil, 0, err
	}
	if err := errors.Join(options.SetIntraOpNumThreads(1), options.SetInterOpNumThreads(1)); err != nil {
		return nil, 0, err
	}
	session, err := ort.NewAdvancedSession(model, []string{in[0].Name}, []string{out[0].Name}, []ort.Value{x}, []ort.Value{y}, options)
	if err != nil {
		return nil, 0, err
	}
	return func(row []float64) error {
		copy(x.GetData(), row)
		return session.Run()
	}, int(width), nil
}
