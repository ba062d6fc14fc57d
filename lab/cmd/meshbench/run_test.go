package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/meshbench/meshbench/lab/controller"
	"github.com/meshbench/meshbench/lab/lease"
)

// entries are the steps of a log.
func entries(t *testing.T, path string) (all []controller.Entry) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for line := range bytes.Lines(text) {
		var e controller.Entry
		if err := json.Unmarshal(line, &e); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		all = append(all, e)
	}
	return all
}

func TestRun(t *testing.T) {
	dir := small(t)
	at := func(name string) string { return filepath.Join(dir, name) }

	t.Run("acts", func(t *testing.T) {
		text := must(t, "run", "-testbed", "virtual", "-steps", "40", "-listen", "none", "-log", at("act.jsonl"), "-model", at("model"), "-load", "constant:10,10", at("policy"))
		all := entries(t, at("act.jsonl"))
		if len(all) != 40 || all[0].Charge != controller.ByFallback || all[1].Charge != controller.ByPolicy || !slices.Equal(all[1].InForce, all[1].Decided) {
			t.Errorf("%d steps, the first %+v", len(all), all[:2])
		}
		if !strings.Contains(text, "from step 1 on the policy is in charge: nothing spoke against it for 1 step") {
			t.Error(text)
		}
	})
	t.Run("shadow", func(t *testing.T) {
		must(t, "run", "-testbed", "virtual", "-mode", "shadow", "-steps", "20", "-listen", "none", "-log", at("shadow.jsonl"), "-model", at("model"), at("policy"))
		all := entries(t, at("shadow.jsonl"))
		for _, e := range all {
			if e.Asked != nil || !slices.Equal(e.InForce, all[0].InForce) {
				t.Fatalf("step %d: asked for %v, %v in force", e.Step, e.Asked, e.InForce)
			}
		}
		if e := all[19]; e.Decided == nil || e.Worth == 0 || e.Would == 0 {
			t.Errorf("nothing is compared: %+v", e)
		}
	})
	t.Run("dry", func(t *testing.T) {
		text := must(t, "run", "-mode", "dry", "-model", at("model"), "-move", ".2", at("policy"))
		for _, want := range []string{"would drive", "without it: the proportional rule", "moves by at most 0.2", "check drift: calibrating: 0 of 50 steps", "| 20"} {
			if !strings.Contains(text, want) {
				t.Errorf("without %q:\n%s", want, text)
			}
		}
	})
	t.Run("before", func(t *testing.T) {
		must(t, "train", "-model", at("model"), "-setting", "paper", "-steps", "1024", "-o", at("before"))
		must(t, "run", "-testbed", "virtual", "-steps", "30", "-load", "constant:30,5", "-announced", "-before", at("before"), "-listen", "none", "-log", at("before.jsonl"), at("policy"))
		for _, e := range entries(t, at("before.jsonl")) {
			if e.Charge != controller.ByFallback || !strings.Contains(e.Objections["load"], "trained for 5 to 20") {
				t.Fatalf("%+v", e)
			}
		}
	})
	t.Run("refuses", func(t *testing.T) {
		lock := filepath.Join(t.TempDir(), "lock")
		for _, c := range []struct {
			args []string
			want string
		}{
			{nil, "name the policy's file"},
			{[]string{at("model")}, "is a model; accepted: a policy"},
			{[]string{"-model", at("policy"), at("policy")}, "is a policy; accepted: a model"},
			{[]string{"-mode", "act-if", at("policy")}, "accepted: act, shadow, dry"},
			{[]string{"-before", at("policy"), "-safe", "1", at("policy")}, "accepted: one of both"},
			{[]string{"-safe", "1,2", at("policy")}, "p11, p12, p21, p22, b1, b2"},
			{[]string{"-move", "2", at("policy")}, "-move 2; accepted: above 0, to 1"},
			{[]string{"-move", "0", at("policy")}, "-move 0; accepted: above 0, to 1"},
			{[]string{"-scenario", "graph", at("policy")}, "is for"},
			{[]string{"-calibrate", "3", at("policy")}, "accepted: 20 to 100000"},
			{[]string{"-testbed", "virtual", "-listen", "nowhere:http:x", at("policy")}, "-listen: "},
		} {
			_, err := printed(t, append([]string{"run", "-lock", lock}, c.args...)...)
			if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("%v: error %v, want one line with %q", c.args, err, c.want)
			}
		}
	})
}

// Two processes run a policy on the local testbed of this machine: one drives, the
// other says that it waits and takes over when the first is killed; a collection
// does not begin meanwhile. SIGTERM ends a run without an error.
func TestRunTakesOver(t *testing.T) {
	if testing.Short() {
		t.Skip("starts processes")
	}
	dir := small(t)
	program := filepath.Join(dir, "meshbench")
	if out, err := exec.Command("go", "build", "-tags", "nocluster", "-o", program, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	lock := filepath.Join(dir, "lock")
	start := func(log string) (*exec.Cmd, string, *bytes.Buffer) {
		cmd := exec.Command(program, "run", "-lock", lock, "-timescale", "50", "-listen", "127.0.0.1:0", "-log", filepath.Join(dir, log), filepath.Join(dir, "policy"))
		var errors bytes.Buffer
		cmd.Stderr = &errors
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { cmd.Process.Kill() })
		b := make([]byte, 4096)
		n, err := out.Read(b)
		url := regexp.MustCompile(`http://[0-9.:]+`).FindString(string(b[:n]))
		if url == "" {
			t.Fatalf("no address in %q, %v: %s", b[:n], err, &errors)
		}
		go io.Copy(io.Discard, out)
		return cmd, url, &errors
	}
	shows := func(url, want string) bool {
		resp, err := http.Get(url)
		if err != nil {
			return false
		}
		defer resp.Body.Close()
		text, _ := io.ReadAll(resp.Body)
		return strings.Contains(string(text), want)
	}
	wait := func(what string, ok func() bool) {
		t.Helper()
		for end := time.Now().Add(2 * time.Minute); !ok(); time.Sleep(50 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatal("in vain: ", what)
			}
		}
	}
	first, url, stderr := start("first.jsonl")
	wait("the first drives", func() bool { return shows(url, "in charge") && shows(url+"/metrics", "meshbench_run_leader 1") })
	second, other, stderr2 := start("second.jsonl")
	wait("the second waits", func() bool { return shows(other, "Another process drives the mesh: meshbench run") })
	_, err := printed(t, "collect", "-lock", lock, "-steps", "5", filepath.Join(dir, "none.csv"))
	if held, ok := err.(lease.HeldError); !ok || !strings.HasPrefix(held.Owner, "meshbench run") {
		t.Errorf("a collection: error %v, want that the run holds the testbed", err)
	}
	first.Process.Kill()
	first.Wait()
	wait("the second drives", func() bool {
		return shows(other+"/metrics", "meshbench_run_leader 1") && len(entriesOf(dir, "second.jsonl")) > 2
	})
	second.Process.Signal(syscall.SIGTERM)
	if err := second.Wait(); err != nil {
		t.Errorf("after SIGTERM: %v: %s", err, stderr2)
	}
	entries(t, filepath.Join(dir, "first.jsonl"))
	entries(t, filepath.Join(dir, "second.jsonl"))
	_ = stderr
	if err := run(context.Background(), []string{"collect", "-lock", lock, "-timescale", "50", "-steps", "3", filepath.Join(dir, "after.csv")}); err != nil {
		t.Errorf("a collection afterwards: %v", err)
	}
}

func entriesOf(dir, name string) []byte {
	b, _ := os.ReadFile(filepath.Join(dir, name))
	return bytes.TrimSpace(b)
}
