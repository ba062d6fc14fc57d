package main

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// What collect refuses, it says why in one line; nothing is made or changed.
func TestCollectRefuses(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	dir := t.TempDir()
	const text = "not a trace\n"
	file := filepath.Join(dir, "notes.txt")
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	// Root's tests may write everywhere but below a regular file.
	below, path := filepath.Join(file, "x"), filepath.Join(dir, "trace.csv")
	const dsn = "postgres://meshbench:pass@127.0.0.1:1/items"
	for _, c := range []struct {
		name string
		args []string
		want string
	}{
		{"no file", nil, "name the trace's file"},
		{"two files", []string{path, path}, "name the trace's file"},
		{"unknown option", []string{"-pattern", "random", path}, "-pattern; meshbench collect -help lists the options"},
		{"unknown testbed", []string{"-testbed", "kind", path}, `unknown testbed "kind"; accepted: local,`},
		{"port in use", []string{"-front", taken.Addr().String(), path}, "address already in use; give another"},
		{"a URL as file", []string{"-testbed", "virtual", "-steps", "1", "https://pat:s3cret@host/x.csv"}, "trace: https://... is a URL; accepted: a path on this machine"},
		{"a URL to replay", []string{"-testbed", "virtual", "-load", "replay:https://pat:s3cret@host/x.csv", path}, "load: https://... is a URL"},
		{"a URL as folder of databases", []string{"-databases", "s3://bucket/s3cret", path}, "-databases: s3://... is a URL"},
		{"a URL to listen on", []string{"-front", "http://pat:s3cret@127.0.0.1:0", path}, "address of the front: it is not HOST:PORT, such as 127.0.0.1:8080; give another"},
		{"DSNs with spaces", []string{"-dsn", "user=pat password=s3cret host=h", path}, "-dsn: 3 databases for 2 nodes; accepted: one for each node, with spaces between them and none in them"},
		{"unwritable folder of databases", []string{"-databases", below, path}, "directory for the databases: mkdir " + file + ": not a directory"},
		{"unwritable folder of traces", []string{"-testbed", "virtual", below}, "trace: mkdir " + file + ": not a directory"},
		{"a folder", []string{"-testbed", "virtual", dir}, dir + " is a folder; accepted: a regular file"},
		{"another file", []string{"-testbed", "virtual", file}, `line 1 is "not a trace"; a trace begins with`},
		{"unreachable DSN", []string{"-dsn", dsn + " " + dsn, path}, "node1: service: database items on PostgreSQL at 127.0.0.1:1: "},
		{"one DSN", []string{"-dsn", dsn, path}, "1 databases for 2 nodes"},
		{"unknown pattern", []string{"-testbed", "virtual", "-load", "sinus", path}, `unknown pattern "sinus"; accepted: random,`},
		{"rate below 0", []string{"-testbed", "virtual", "-load", "constant:-5", path}, `"-5" is not a rate; accepted:`},
		{"no loads to replay", []string{"-testbed", "virtual", "-load", "replay:" + below, path}, below},
		{"unknown actions", []string{"-testbed", "virtual", "-actions", "best", path}, `"best"; accepted: random, grid`},
		{"k of 0", []string{"-timescale", "0", path}, "-timescale: time scale 0; accepted: 0.001 to 1000"},
		{"k below 0", []string{"-timescale", "-10", path}, "time scale -10; accepted: 0.001 to 1000"},
		{"k not a number", []string{"-timescale", "fast", path}, `invalid value "fast" for flag -timescale`},
		{"k infinite", []string{"-timescale", "Inf", path}, "time scale +Inf"},
		{"k too large", []string{"-timescale", "1e300", path}, "time scale 1e+300; accepted: 0.001 to 1000"},
		{"k too small", []string{"-timescale", "1e-300", path}, "time scale 1e-300; accepted: 0.001 to 1000"},
		{"a reference every 0 steps", []string{"-testbed", "virtual", "-steps", "1", "-reference", "0", path}, "-reference 0; accepted: 1 or more, -1 for none"},
		{"no steps", []string{"-steps", "0", path}, "-steps 0; accepted: 1 to 10000000"},
		{"steps without end", []string{"-steps", "1000000000000", path}, "-steps 1000000000000; accepted: 1 to 10000000"},
		{"unknown scenario", []string{"-scenario", "papre", path}, `unknown scenario "papre"; accepted: autoscale, chain, graph,`},
		{"too many actions to go through", []string{"-testbed", "virtual", "-scenario", "wide", "-actions", "grid", path}, "1.27e+10 actions to go through; accepted: at most 1000000"},
		{"a rate that cannot be served", []string{"-testbed", "virtual", "-load", "constant:1e9", path}, "load constant, step 0: a load of 2e+09 requests/s makes"},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := run(context.Background(), append([]string{"collect", "-lock", filepath.Join(t.TempDir(), "lock")}, c.args...))
			if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") || strings.Contains(err.Error(), "s3cret") {
				t.Errorf("error %v, want one line with %q and no password", err, c.want)
			}
			entries, _ := os.ReadDir(dir)
			kept, _ := os.ReadFile(file)
			if len(entries) != 1 || string(kept) != text {
				t.Errorf("the folder has %v, the file there %q", entries, kept)
			}
		})
	}
}

// Collecting twice with the same command goes on where the first ended.
func TestCollectGoesOn(t *testing.T) {
	path := filepath.Join(t.TempDir(), "new folder", "trace.csv")
	for _, steps := range []string{"3", "7", "7"} {
		if err := run(context.Background(), []string{"collect", "-testbed", "virtual", "-steps", steps, path}); err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if lines := strings.Split(strings.TrimSpace(string(text)), "\n"); !strings.HasPrefix(lines[len(lines)-1], string(steps[0]-1)+",") {
			t.Errorf("after %s steps the last line is %q", steps, lines[len(lines)-1])
		}
	}
}

// A trace of one scenario is not gone on with as another's.
func TestCollectOtherScenario(t *testing.T) {
	path := filepath.Join(t.TempDir(), "trace.csv")
	collect := func(scenario string) error {
		return run(context.Background(), []string{"collect", "-testbed", "virtual", "-scenario", scenario, "-steps", "3", path})
	}
	if err := collect("chain"); err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := collect("paper"); err == nil || strings.Contains(err.Error(), "\n") {
		t.Errorf("going on with a trace of chain as one of paper: %v", err)
	}
	if after, _ := os.ReadFile(path); string(after) != string(before) {
		t.Error("the trace has changed")
	}
	if err := run(context.Background(), []string{"audit", "-scenario", "graph", path}); err == nil || !strings.Contains(err.Error(), "shop: web(") {
		t.Errorf("audit of chain as graph: %v", err)
	}
	if err := run(context.Background(), []string{"audit", path}); err != nil {
		t.Error(err)
	}
}

// What other commands refuse, they say why in one line.
func TestRefuses(t *testing.T) {
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"figure", "fig99"}, `no figure or table "fig99" for scenario paper; accepted: `},
		{[]string{"figure", "-scenario", "graph", "fig4"}, `no figure or table "fig4" for scenario graph; accepted: `},
		{[]string{"figure"}, "name a figure or table, or all"},
		{[]string{"study", "-scenario", "none.yaml"}, "no such file"},
		{[]string{"quickstart", "now"}, `"now": no argument is accepted`},
		{[]string{"study", "now"}, `"now": no argument is accepted`},
		{[]string{"kth", "-scenario", "wide", "x.csv"}, "accepted: paper"},
		{[]string{"scenario", "delete"}, "accepted: scenario list, scenario show NAME, scenario check NAME|FILE"},
		{[]string{"scenario", "show", "none"}, `unknown scenario "none"`},
		{[]string{"evaluate", "-runs", "0"}, "-runs 0"},
		{[]string{"nothing"}, `unknown command "nothing"; accepted: quickstart,`},
	} {
		if err := run(context.Background(), c.args); err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%v: %v, want one line with %q", c.args, err, c.want)
		}
	}
}
