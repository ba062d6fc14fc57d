package ppo

import (
	"archive/zip"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"math"
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

// flipped returns b with a bit of byte at changed.
func flipped(b []byte, at int) []byte {
	b = slices.Clone(b)
	b[at] ^= 4
	return b
}

// sealed returns a file with its last digits made the checksum, if seal.
func sealed(file []byte, seal bool) []byte {
	if seal {
		body := file[:len(file)-sealDigits]
		sum := sha256.Sum256(body)
		file = append(body, hex.EncodeToString(sum[:])...)
	}
	return file
}

// Files of version 1, written before there was a second.
func TestOldFiles(t *testing.T) {
	obs := []float32{1, 0, 0, 0, 0, 1, 0}
	check := func(what string, p *Policy, want []float64, value float64) {
		t.Helper()
		got := make([]float64, 7)
		p.Probabilities(got, obs)
		for i := range got {
			if math.Abs(got[i]-want[i]) > 1e-6 {
				t.Fatalf("%s: probabilities %v, want %v", what, got, want)
			}
		}
		if got := p.Value(obs); math.Abs(got-value) > 1e-6 {
			t.Errorf("%s: value %v, want %v", what, got, value)
		}
	}
	p, err := Load("testdata/policy-v1.zip")
	if err != nil {
		t.Fatal(err)
	}
	if p.Metadata["objective"] != "MO1" || p.Autoregressive() {
		t.Errorf("metadata %v, autoregressive %v", p.Metadata, p.Autoregressive())
	}
	check("policy", p, []float64{0.24991405643585557, 0.24935092743770243, 0.25058980525911284, 0.2501451660583802,
		0.3282980647345036, 0.3376999805478298, 0.33400199497464134}, 0.5633888244628906)
	// The checkpoint was written at step 40 of 80, in the middle of an update.
	tr, err := Resume("testdata/checkpoint-v1.zip", Config{}, newMasked())
	if err != nil {
		t.Fatal(err)
	}
	if tr.Steps() != 40 {
		t.Errorf("step %d, want 40", tr.Steps())
	}
	if err := tr.Train(ctx, 0); err != nil {
		t.Fatal(err)
	}
	check("training", tr.Policy(), []float64{0.2534039244311709, 0.24737888831889557, 0.2510199010370502, 0.2481972862128834,
		0.32628960756376224, 0.3433946232753428, 0.3303157896288095}, 0.6206867694854736)
}

// A file that is cut anywhere, or of which any bit is changed, is refused in
// one line.
func TestEveryByte(t *testing.T) {
	dir := t.TempDir()
	tr := newTrainer(t, Config{Hidden: []int{2}, Steps: 8, Batch: 8, Autoregressive: true}, newMasked())
	if err := tr.Train(&countdown{Context: ctx, left: 10}, 100); err == nil {
		t.Fatal("not stopped")
	}
	policy, checkpoint := filepath.Join(dir, "policy"), filepath.Join(dir, "checkpoint")
	if err := errors.Join(tr.Policy().Save(policy), tr.Checkpoint(checkpoint)); err != nil {
		t.Fatal(err)
	}
	for path, read := range map[string]func([]byte) error{
		policy: func(b []byte) error { _, err := parsePolicy(b); return err },
		checkpoint: func(b []byte) error {
			files, err := parseArchive(b)
			if err == nil {
				_, err = parseCheckpoint(files, Config{}, []Env{newMasked()})
			}
			return err
		},
	} {
		whole, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := read(whole); err != nil {
			t.Fatal(err)
		}
		bad := func(what string, at int, err error) {
			if err == nil || strings.Contains(err.Error(), "\n") {
				t.Errorf("%s, %s at byte %d: error %v, want one of one line", filepath.Base(path), what, at, err)
			}
		}
		for at := range whole {
			bad("cut", at, read(whole[:at]))
			bad("a bit changed", at, read(flipped(whole, at)))
		}
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
	files, err := readArchive(good)
	if err != nil {
		t.Fatal(err)
	}
	entries := files.entries
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
	// A changed byte under the old checksums, as a file of version 1 could have.
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
	// Zeros that unpack to more than their entry may have, sealed or not.
	bomb := func(name string, size int, seal bool) func() {
		return func() {
			var buf bytes.Buffer
			w := zip.NewWriter(&buf)
			f, _ := w.Create(name)
			zeros := make([]byte, 1<<20)
			for range size >> 20 {
				f.Write(zeros)
			}
			if seal {
				w.SetComment(sealPrefix + strings.Repeat("0", sealDigits))
			}
			w.Close()
			raw(sealed(buf.Bytes(), seal))()
		}
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
		{"newer", header(`"version": 2`, `"version": 3`), "policy.json: version 3, this program reads 1 to 2"},
		{"a bit", raw(flipped(whole, len(whole)/3)), "does not have the checksum at its end"},
		{"a bit of the checksum", raw(flipped(whole, len(whole)-1)), "does not have the checksum at its end"},
		{"other comment", raw(flipped(whole, len(whole)-sealDigits-3)), "no checksum at the end of the file"},
		{"bomb", bomb(weightsName, 80<<20, false), "weights.f32: 83886080 bytes claimed, want at most 67108864"},
		{"sealed bomb", bomb(weightsName, 1<<20, true), "weights.f32: compressed, want it stored as it is"},
		{"header bomb", bomb(policyName, 80<<20, true), "policy.json: 83886080 bytes claimed, want at most 67108864"},
		{"strange entry", bomb("x\ny", 0, true), `entry "x\ny" in the archive is not expected there`},
		{"huge", header(`"hidden": [
    4
  ]`, `"hidden": [60000, 60000]`), "networks of"},
		{"large", header(`"hidden": [
    4
  ]`, `"hidden": [6000]`), "tensors do not fit"},
		{"many layers", header(`"hidden": [
    4
  ]`, `"hidden": [1`+strings.Repeat(",1", 2000)+"]"), "2001 hidden layers, want at most 1024"},
		{"no hidden layer", header(`"heads"`, `"autoregressive": true, "heads"`), "tensors do not fit"},
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
	inNew := filepath.Join(dir, "new", "p.zip")
	if err := tr.Policy().Save(inNew); err != nil {
		t.Error(err)
	}
	if _, err := Load(inNew); err != nil {
		t.Errorf("saved into a folder that was not there: %v", err)
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
