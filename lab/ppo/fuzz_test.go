package ppo

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// oneLine fails unless err is nil or of one line.
func oneLine(t *testing.T, err error) {
	if err != nil && strings.Contains(err.Error(), "\n") {
		t.Errorf("error of several lines: %q", err)
	}
}

// Any bytes are a policy's file or refused in one line; so is any pair of
// header and weights under checksums that fit, which random bytes never reach.
func FuzzLoad(f *testing.F) {
	for _, chained := range []bool{false, true} {
		tr := newTrainer(f, Config{Hidden: []int{2}, Steps: 8, Autoregressive: chained}, newIdentity())
		path := filepath.Join(f.TempDir(), "policy.zip")
		if err := tr.Policy().Save(path); err != nil {
			f.Fatal(err)
		}
		file, _ := os.ReadFile(path)
		files, err := parseArchive(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(file, files.entries[policyName], files.entries[weightsName])
	}
	old, err := os.ReadFile("testdata/policy-v1.zip")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(old, []byte(`{"format": "meshbench policy", "version": 2, "observation": 65536, "heads": [65536], "hidden": []}`), []byte{})
	f.Fuzz(func(t *testing.T, file, header, weights []byte) {
		_, err := parsePolicy(file)
		oneLine(t, err)
		whole, err := packArchive(map[string][]byte{policyName: header, weightsName: weights})
		if err != nil {
			t.Skip(err)
		}
		p, err := parsePolicy(whole)
		oneLine(t, err)
		if err == nil {
			if obs, _ := p.Spaces(); obs < 1<<12 {
				p.Value(make([]float32, obs))
			}
		}
	})
}

// The same for checkpoints; one that is taken can go on.
func FuzzResume(f *testing.F) {
	path := filepath.Join(f.TempDir(), "checkpoint.zip")
	for _, chained := range []bool{false, true} {
		tr := newTrainer(f, Config{Hidden: []int{2}, Steps: 8, Batch: 8, Epochs: 1, Autoregressive: chained}, newMasked())
		if err := tr.Train(&countdown{Context: ctx, left: 12}, 100); err == nil {
			f.Fatal("not stopped")
		}
		if err := tr.Checkpoint(path); err != nil {
			f.Fatal(err)
		}
		file, _ := os.ReadFile(path)
		files, err := parseArchive(file)
		if err != nil {
			f.Fatal(err)
		}
		e := files.entries
		f.Add(file, e[checkpointName], e[weightsName], e[rolloutName], e[choiceName])
	}
	old, err := os.ReadFile("testdata/checkpoint-v1.zip")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(old, []byte(`{"format": "meshbench checkpoint", "version": 2, "environments": 1, "environment_state": ["e30="], "config": {"Steps": 2147483647}}`), []byte{}, []byte{}, []byte{})
	files, err := readArchive(path)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, file, header, weights, rollout, choices []byte) {
		a, err := parseArchive(file)
		if err == nil {
			_, err = parseCheckpoint(a, Config{}, []Env{newMasked()})
		}
		oneLine(t, err)
		e := map[string][]byte{
			checkpointName: header, weightsName: weights, firstMoment: weights, secondMoment: weights, rolloutName: rollout,
			choiceName: choices, doneName: files.entries[doneName], maskName: files.entries[maskName],
		}
		tr, err := parseCheckpoint(archive{entries: e, sealed: true}, Config{}, []Env{newMasked()})
		oneLine(t, err)
		if err == nil && tr.cfg.Steps < 1<<10 && tr.cfg.Epochs < 100 {
			_, err := tr.Update(ctx)
			oneLine(t, err)
		}
	})
}
