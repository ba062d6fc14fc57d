//go:build unix

package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Wherever a command takes a file, a pipe that nobody writes to or reads from is
// refused at once, and stays.
func TestPipes(t *testing.T) {
	dir := t.TempDir()
	pipe := filepath.Join(dir, "pipe.yaml")
	if err := syscall.Mkfifo(pipe, 0o644); err != nil {
		t.Skip(err)
	}
	trace := filepath.Join("..", "..", "..", "datasets", "local.csv")
	out := filepath.Join(dir, "out")
	for _, args := range []string{
		"-cpuprofile PIPE scenario list",
		"scenario check PIPE", "audit PIPE", "kth PIPE", "show PIPE", "compare PIPE PIPE", "export PIPE -o OUT", "sweep PIPE",
		"collect -testbed virtual -steps 1 PIPE", "collect -testbed virtual -steps 1 -load replay:PIPE OUT", "collect -scenario PIPE -steps 1 OUT",
		"import PIPE OUT -preset kth-2022", "import TRACE OUT -mapping PIPE",
		"learn -trace PIPE -o OUT", "learn -trace TRACE -o PIPE", "train -model PIPE -o OUT", "train -trace TRACE -o PIPE", "gym -model PIPE",
		"run PIPE", "collect -testbed istio -lock none -kubeconfig PIPE -steps 1 OUT", "scenario from-cluster -n x -kubeconfig PIPE", "evaluate -testbed virtual -trace PIPE -file OUT",
	} {
		args = strings.NewReplacer("PIPE", pipe, "TRACE", trace, "OUT", out).Replace(args)
		done := make(chan error, 1)
		ctx, cancel := context.WithCancel(context.Background())
		go func() { done <- run(ctx, strings.Fields(args)) }()
		select {
		case err := <-done:
			if err == nil || !strings.Contains(err.Error(), "is a pipe; accepted: a regular file") || strings.Contains(err.Error(), "\n") {
				t.Errorf("%s: %v", args, err)
			}
		case <-time.After(20 * time.Second):
			t.Errorf("%s: it still waits", args)
		}
		cancel()
		if info, err := os.Stat(pipe); err != nil || info.Mode()&os.ModeNamedPipe == 0 {
			t.Fatalf("%s: the pipe is gone", args)
		}
		if list, _ := os.ReadDir(dir); len(list) != 1 {
			t.Errorf("%s: it made %v", args, list)
			os.RemoveAll(out)
		}
	}
}

// An error that repeats what was given has bounds, whatever its length.
func TestLongErrors(t *testing.T) {
	long := strings.Repeat("x", 1_000_000)
	for _, args := range [][]string{{long}, {"collect", "-" + long}, {"collect", "-scenario", long}, {"audit", long}, {"collect", strings.Repeat("a\n", 100_000), "b", "-load", long}} {
		err := run(context.Background(), args)
		if err == nil || len(bounded(err)) > 10_000 {
			t.Errorf("%.20q: %d bytes are shown", args, len(bounded(err)))
		}
	}
	many := errors.New(strings.Repeat("line\n", 100_000))
	if text := bounded(many); strings.Count(text, "\n") > maxLines || !strings.HasSuffix(text, "(100001 lines in all)") {
		t.Errorf("%d bytes are shown of many lines", len(text))
	}
}

// What cannot be printed is an error.
func TestFullStdout(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skip(err)
	}
	defer full.Close()
	before := os.Stdout
	os.Stdout = full
	defer func() { os.Stdout = before }()
	for _, args := range []string{"scenario list", "scenario show graph", "scenario check graph", "collect -testbed virtual -steps 1 " + filepath.Join(t.TempDir(), "x.csv")} {
		if err := run(context.Background(), strings.Fields(args)); err == nil || !strings.Contains(err.Error(), "no space left") {
			t.Errorf("%s: %v", args, err)
		}
	}
}

// What a scenario is checked for has its limits, and no password.
func TestCheck(t *testing.T) {
	path := filepath.Join(t.TempDir(), "shop.yaml")
	text := `name: shop
title: two versions
nodes: [{name: v1}, {name: v2}]
microservices: [{name: web, nodes: [v1, v2], time: 0.02}]
services: [{name: web, stages: [web], load: {min: 5, max: 60}, goal: 0.15, requests: [{path: /x}]}]
knobs: [{kind: replicas, min: 1, max: 3}]
limits: [{kind: replicas, most: 4}]
application:
  nodes: {v1: "http://me:canary@127.0.0.1:9001", v2: "http://127.0.0.1:9002"}
`
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	got := must(t, "scenario", "check", path)
	if !strings.Contains(got, "limit     r1 + r2 at most 4") || !strings.Contains(got, "v1 at http://me:") || strings.Contains(got, "canary") {
		t.Error(got)
	}
}
