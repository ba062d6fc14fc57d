package onnx_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/meshbench/meshbench/lab/model"
	"github.com/meshbench/meshbench/lab/onnx"
	"github.com/meshbench/meshbench/lab/scenario"
	"github.com/meshbench/meshbench/lab/study"
)

// The model of a trace is written as a file that other languages run.
func ExampleModel() {
	trace, err := study.Virtual(context.Background(), scenario.Paper(), 300, 1)
	if err != nil {
		panic(err)
	}
	m, err := trace.Paper().Learn(context.Background(), 0)
	if err != nil {
		panic(err)
	}
	data, err := onnx.Model(m, [2]string{"licence", "MIT"})
	if err != nil {
		panic(err)
	}
	dir, err := os.MkdirTemp("", "onnx")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	if err := os.WriteFile(filepath.Join(dir, "model.onnx"), data, 0o644); err != nil {
		panic(err)
	}
	fmt.Println("x:", m.Space().FeatureNames())
	fmt.Println("targets:", model.Targets(m.Space(), m.Kind()))
	// Output:
	// x: [l1 l2 p11 p21 b1 b2]
	// targets: [d11 d12 d21 d22 d1 d2 cl1 cl2]
}
