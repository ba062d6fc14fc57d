package sim_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/meshbench/meshbench/lab/mesh"
	"github.com/meshbench/meshbench/lab/sim"
)

func TestModelFile(t *testing.T) {
	for _, model := range []*sim.Model{learn(t, mesh.Mesh{}), learnPerNode(t, mesh.Mesh{})} {
		testModelFile(t, model)
	}
}

func testModelFile(t *testing.T, model *sim.Model) {
	path := filepath.Join(t.TempDir(), "model.zip")
	if err := model.Save(path); err != nil {
		t.Fatal(err)
	}
	again, err := sim.LoadModel(path, mesh.Mesh{})
	if err != nil {
		t.Fatal(err)
	}
	l := mesh.Load{12.5, 20}
	a, err := model.Table(l)
	if err != nil {
		t.Fatal(err)
	}
	b, err := again.Table(l)
	if err != nil {
		t.Fatal(err)
	}
	for k := range model.Space().Len() {
		for c, v := range a.Row(k) {
			if w := b.Row(k)[c]; v != w && v == v {
				t.Fatalf("action %d, target %d: %v, after loading %v", k, c, v, w)
			}
		}
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		data []byte
		mesh mesh.Mesh
		want string
	}{
		"truncated": {data[:len(data)/2], mesh.Mesh{}, "truncated"},
		"newer":     {bytes.Replace(data, []byte(`"version": 2`), []byte(`"version": 7`), 1), mesh.Mesh{}, "checksum"},
		"mesh":      {data, mesh.New(2, 3), "it is for service1,service2 on node1,node2, not for"},
	} {
		bad := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(bad, tt.data, 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := sim.LoadModel(bad, tt.mesh); err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), bad) {
			t.Errorf("%s: %v, want %q", name, err, tt.want)
		}
	}
}
