package main

import (
	"bytes"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

const sweepFile = `name: small
objectives: [MO1, MO2]
steps: 2048
seeds: [0, 1, 2, 3, 4]
settings:
  - of: paper
    grid: {ppo.LearningRate: [0.001, 0.003, -1]}
  - {of: paper, name: wide, change: {ppo.Hidden: [96, 96]}}
`

// files are those of a folder, but for locks.
func files(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || strings.HasPrefix(d.Name(), ".") {
			return err
		}
		b, err := os.ReadFile(path)
		rel, _ := filepath.Rel(dir, path)
		all[rel] = string(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// A sweep of 40 trainings that is killed in the middle and goes on has the bytes of
// one that was not, and does nothing twice but what was under way; a bad setting
// takes no other's result.
func TestSweepKilled(t *testing.T) {
	if testing.Short() {
		t.Skip("starts processes")
	}
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	program := at("meshbench")
	if out, err := exec.Command("go", "build", "-tags", "nocluster", "-o", program, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if err := os.WriteFile(at("small.yaml"), []byte(sweepFile+"trace: "+at("trace.csv")+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	must(t, "collect", "-testbed", "virtual", "-steps", "300", at("trace.csv"))
	command := func(store, out string) *exec.Cmd {
		return exec.Command(program, "sweep", "-workers", "2", "-store", at(store), "-o", at(out), at("small.yaml"))
	}
	whole, err := command("a", "out-a").CombinedOutput()
	if err != nil || !strings.Contains(string(whole), "40 tasks: 0 were done before, 40 done now, of which 10 have a setting that is not accepted, 0 failed; 40 trainings begun") {
		t.Fatalf("%v: %s", err, whole)
	}
	killed := command("b", "out-b")
	killed.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := killed.Start(); err != nil {
		t.Fatal(err)
	}
	done := func() int {
		names, _ := filepath.Glob(at("b/results/[0-9a-f]*"))
		return len(names)
	}
	for end := time.Now().Add(time.Minute); done() < 12; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("it does not begin")
		}
	}
	killed.Process.Kill()
	killed.Wait()
	before := done()
	rest, err := command("b", "out-b").CombinedOutput()
	m := regexp.MustCompile(`40 tasks: (\d+) were done before, (\d+) done now, .* 0 failed; (\d+) trainings begun`).FindSubmatch(rest)
	if err != nil || m == nil {
		t.Fatalf("%v: %s", err, rest)
	}
	number := func(b []byte) int { n, _ := strconv.Atoi(string(b)); return n }
	if number(m[1]) != before || number(m[2]) != 40-before || number(m[3]) != 40-before || before == 40 {
		t.Errorf("killed with %d results; then %s", before, m[0])
	}
	for _, pair := range [][2]string{{"a", "b"}, {"out-a", "out-b"}} {
		if a, b := files(t, at(pair[0])), files(t, at(pair[1])); !maps.Equal(a, b) || len(a) == 0 {
			t.Errorf("%s has %d files, %s %d, or they differ", pair[0], len(a), pair[1], len(b))
		}
	}
	if table := files(t, at("out-b"))["table.md"]; strings.Count(table, "not accepted: ") != 2 || strings.Count(table, "| best") != 2 {
		t.Error(table)
	}
	if text := must(t, "show", at("out-b/best-paper-MO1")); !strings.Contains(text, "network") {
		t.Error(text)
	}
	if out, err := command("b", "out-b").CombinedOutput(); err != nil || !bytes.Contains(out, []byte("40 were done before, 0 done now")) {
		t.Errorf("%v: %s", err, out)
	}
}

func TestSweepRefuses(t *testing.T) {
	dir := t.TempDir()
	bad := filepath.Join(dir, "bad.yaml")
	if err := os.WriteFile(bad, []byte("name: bad\nsettings: [{of: worst}]\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args []string
		want string
	}{
		{nil, "name the file of the sweep"},
		{[]string{filepath.Join(dir, "none.yaml")}, "no such file"},
		{[]string{"-workers", "0", bad}, "accepted: 1 to 1024"},
		{[]string{"-store", "s3:bucket", bad}, `"s3:bucket"; accepted: a folder; or s3://BUCKET/PREFIX`},
		{[]string{"-store", "s3://", bad}, "accepted: s3://BUCKET/PREFIX"},
		{[]string{"-store", dir, "-plan", "plans/0"}, "no such object"},
	} {
		_, err := printed(t, append([]string{"sweep"}, c.args...)...)
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%v: error %v, want one line with %q", c.args, err, c.want)
		}
	}
}
