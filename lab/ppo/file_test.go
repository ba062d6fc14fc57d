package ppo

import (
	"archive/zip"
	"bytes"
	"encoding/json"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestPolicyFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "policy.zip")
	tr := newTrainer(t, Config{Hidden: []int{10, 7}, Steps: 64}, newIdentity())
	if err := tr.Train(ctx, 128); err != nil {
		t.Fatal(err)
	}
	p := tr.Policy()
	p.Metadata["objective"] = "MO1"
	if err := p.Save(path); err != nil {
		t.Fatal(err)
	}
	first, _ := os.ReadFile(path)
	q, err := LoadFor(path, newIdentity())
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(q.weights.pack(), p.weights.pack()) || !maps.Equal(q.Metadata, p.Metadata) || !slices.Equal(q.Hidden(), p.Hidden()) {
		t.Error("the loaded policy differs")
	}
	a, b := make([]float64, 7), make([]float64, 7)
	obs := []float32{1, 0, 0, 0, 0, 1, 0}
	p.Probabilities(a, obs)
	q.Probabilities(b, obs)
	if !slices.Equal(a, b) || p.Value(obs) != q.Value(obs) {
		t.Error("the loaded policy computes something else")
	}
	if err := q.Save(path); err != nil {
		t.Fatal(err)
	}
	if second, _ := os.ReadFile(path); !bytes.Equal(first, second) {
		t.Error("saved again, the file differs")
	}
	if files, _ := os.ReadDir(dir); len(files) != 1 {
		t.Errorf("left behind: %v", files)
	}

	// Anyone can open it.
	z, err := zip.OpenReader(path)
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	f, err := z.Open(policyName)
	if err != nil {
		t.Fatal(err)
	}
	text, _ := io.ReadAll(f)
	var h policyHeader
	if err := json.Unmarshal(text, &h); err != nil || h.Obs != 7 || h.Metadata["objective"] != "MO1" || len(h.Tensors) != 12 {
		t.Errorf("policy.json: %+v, %v", h, err)
	}
}

func TestDamagedFiles(t *testing.T) {
	dir := t.TempDir()
	good := filepath.Join(dir, "good.zip")
	cfg := Config{Hidden: []int{4}, Steps: 16}
	tr := newTrainer(t, cfg, newIdentity())
	if err := tr.Train(ctx, 16); err != nil {
		t.Fatal(err)
	}
	if err := tr.Policy().Save(good); err != nil {
		t.Fatal(err)
	}
	whole, _ := os.ReadFile(good)
	entries, err := readArchive(good)
	if err != nil {
		t.Fatal(err)
	}
	checkpoint := filepath.Join(dir, "good.checkpoint")
	if err := tr.Checkpoint(checkpoint); err != nil {
		t.Fatal(err)
	}

	path := filepath.Join(dir, "bad.zip")
	raw := func(data []byte) func() {
		return func() {
			if err := os.WriteFile(path, data, 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	changed := func(name string, change func([]byte) []byte) func() {
		return func() {
			e := maps.Clone(entries)
			if e[name] = change(slices.Clone(e[name])); e[name] == nil {
				delete(e, name)
			}
			if err := writeArchive(path, e); err != nil {
				t.Fatal(err)
			}
		}
	}
	header := func(old, new string) func() {
		return changed(policyName, func(b []byte) []byte {
			if !bytes.Contains(b, []byte(old)) {
				t.Fatalf("no %q in %s", old, b)
			}
			return bytes.Replace(b, []byte(old), []byte(new), 1)
		})
	}
	// A changed byte under the old checksum: replace SHA256SUMS by the good one.
	damaged := func() {
		changed(weightsName, func(b []byte) []byte { b[0] ^= 1; return b })()
		z, _ := zip.OpenReader(path)
		g, _ := zip.OpenReader(good)
		var buf bytes.Buffer
		w := zip.NewWriter(&buf)
		for _, f := range z.File {
			if f.Name != sumsName {
				w.Copy(f)
			}
		}
		for _, f := range g.File {
			if f.Name == sumsName {
				w.Copy(f)
			}
		}
		w.Close()
		z.Close()
		g.Close()
		raw(buf.Bytes())()
	}
	for _, test := range []struct {
		name string
		make func()
		want string
	}{
		{"missing", func() { os.Remove(path) }, "no such file"},
		{"empty", raw(nil), "not a complete zip archive"},
		{"truncated", raw(whole[:len(whole)-100]), "not a complete zip archive"},
		{"not a zip", raw([]byte("hello")), "not a complete zip archive"},
		{"damaged", damaged, "weights.f32 does not have the checksum"},
		{"newer", header(`"version": 1`, `"version": 2`), "policy.json: version 2, this program reads 1 to 1"},
		{"other format", header(policyFormat, "meshbench forest"), `format "meshbench forest", want "meshbench policy"`},
		{"not JSON", changed(policyName, func([]byte) []byte { return []byte("{") }), "policy.json: unexpected end"},
		{"no header", changed(policyName, func([]byte) []byte { return nil }), "no policy.json in the archive"},
		{"no weights", changed(weightsName, func([]byte) []byte { return nil }), "no weights.f32 in the archive"},
		{"short weights", changed(weightsName, func(b []byte) []byte { return b[:len(b)-4] }), "weights.f32 has"},
		{"NaN", changed(weightsName, func(b []byte) []byte { return append([]byte{0, 0, 0xc0, 0x7f}, b[4:]...) }), "a weight is NaN"},
		{"wrong shape", header(`"observation": 7`, `"observation": 8`), "tensors do not fit an observation of 8"},
		{"negative shape", header(`"observation": 7`, `"observation": -7`), "an observation of -7 numbers, want 1 to"},
		{"activation", header(`"tanh"`, `"relu"`), `activation "relu", want "tanh"`},
		{"a checkpoint", func() { b, _ := os.ReadFile(checkpoint); raw(b)() }, "no policy.json in the archive"},
	} {
		test.make()
		p, err := Load(path)
		switch {
		case err == nil || p != nil:
			t.Errorf("%s: no error", test.name)
		case !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), path) || strings.Contains(err.Error(), "\n"):
			t.Errorf("%s: error %q, want %q", test.name, err, test.want)
		}
	}
	if _, err := LoadFor(good, new(meshEnv)); err == nil || !strings.Contains(err.Error(), "maps 7 observations to heads [4 3], want 2 and [6 6 6 6]") {
		t.Errorf("policy for another environment: %v", err)
	}
	if err := tr.Policy().Save(filepath.Join(dir, "none", "p.zip")); err == nil || !strings.Contains(err.Error(), "none") {
		t.Errorf("saving to a missing folder: %v", err)
	}

	for _, test := range []struct {
		path string
		envs []Env
		want string
	}{
		{good, []Env{newIdentity()}, "no checkpoint.json in the archive"},
		{checkpoint, nil, "0 environments, the checkpoint has 1"},
		{checkpoint, []Env{newIdentity(), newIdentity()}, "2 environments, the checkpoint has 1"},
		{checkpoint, []Env{new(meshEnv)}, "environments of 2 observations and heads [6 6 6 6], the checkpoint has 7 and [4 3]"},
		{checkpoint, []Env{newMasked()}, "environments that mask: true, in the checkpoint: false"},
		{checkpoint, []Env{sb3Spaces{7, []int{4, 3}}}, "is no Stater"},
	} {
		if _, err := Resume(test.path, cfg, test.envs...); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("resume: error %v, want %q", err, test.want)
		}
	}
	plain := newTrainer(t, Config{}, new(meshEnv))
	if err := plain.Checkpoint(path); err == nil || !strings.Contains(err.Error(), "environment 0 (*ppo.meshEnv) is no Stater") {
		t.Errorf("checkpoint without states: %v", err)
	}
}
