package main

import (
	"crypto/sha256"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

var long = flag.Bool("long", false, "compile for other processors, and compare what the programs write")

// The same seed gives the same bytes, whatever the number of cores, the level of
// instructions that the compiler may use, and the vector instructions there are.
func TestSameBytes(t *testing.T) {
	if !*long || runtime.GOARCH != "amd64" {
		t.Skip("on amd64, with -long")
	}
	dir := t.TempDir()
	program := func(level string) string {
		path := filepath.Join(dir, "meshbench-"+level)
		cmd := exec.Command("go", "build", "-tags", "nocluster", "-o", path, ".")
		cmd.Env = append(os.Environ(), "GOAMD64="+level)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		return path
	}
	v1, v3 := program("v1"), program("v3")
	var want map[string]string
	for n, c := range []struct {
		name, program string
		env           []string
	}{
		{"one core", v1, []string{"GOMAXPROCS=1"}},
		{"three cores", v1, []string{"GOMAXPROCS=3"}},
		{"GOAMD64=v3", v3, []string{"GOMAXPROCS=2"}},
		{"without AVX-512", v1, []string{"GODEBUG=cpu.avx512f=off,cpu.avx512=off"}},
		{"without AVX2", v1, []string{"GODEBUG=cpu.avx512f=off,cpu.avx512=off,cpu.avx2=off"}},
	} {
		in := filepath.Join(dir, fmt.Sprint(n))
		if err := os.Mkdir(in, 0o755); err != nil {
			t.Fatal(err)
		}
		for _, line := range []string{
			"collect -testbed virtual -steps 600 -lock none trace.csv",
			"collect -scenario chain -testbed virtual -steps 100 -lock none chain.csv",
			"collect -scenario autoscale -testbed virtual -steps 300 -lock none scaled.csv",
			"learn -trace trace.csv -o model",
			"learn -joint -trace trace.csv -o joint",
			"learn -scenario autoscale -trace scaled.csv -o scaled",
			"train -model model -objective MO1 -setting paper -o policy",
			"train -model joint -objective MO2 -setting best -steps 20480 -o whole",
			"train -scenario autoscale -model scaled -steps 20480 -o ahead",
			"export policy -o policy.onnx",
			"export joint -o joint.onnx",
			"show -figure policy.svg policy",
			"show -figure model.pdf model",
		} {
			cmd := exec.Command(c.program, strings.Fields(line)...)
			cmd.Dir, cmd.Env = in, append(os.Environ(), c.env...)
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("%s: %s: %v: %s", c.name, line, err, out)
			}
		}
		got := map[string]string{}
		for _, name := range []string{"trace.csv", "chain.csv", "scaled.csv", "model", "joint", "scaled", "policy", "whole", "ahead", "policy.onnx", "joint.onnx", "policy.svg", "model.pdf", "model.md", "policy.md"} {
			b, err := os.ReadFile(filepath.Join(in, name))
			if err != nil {
				t.Fatal(err)
			}
			got[name] = fmt.Sprintf("%x", sha256.Sum256(b))
		}
		if want == nil {
			want = got
			continue
		}
		for name, sum := range got {
			if sum != want[name] {
				t.Errorf("%s: %s has other bytes", c.name, name)
			}
		}
	}
}
