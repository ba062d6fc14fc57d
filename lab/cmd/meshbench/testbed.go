package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/meshbench/meshbench/lab/internal/regular"
	"github.com/meshbench/meshbench/lab/prometheus"
	"github.com/meshbench/meshbench/lab/scenario"
	"github.com/meshbench/meshbench/lab/testbed"
	"github.com/meshbench/meshbench/lab/testbed/http"
	"github.com/meshbench/meshbench/lab/testbed/local"
	"github.com/meshbench/meshbench/lab/testbed/virtual"
)

// bed is the testbed that a command's options name.
type bed struct {
	name                                  string
	scale                                 float64
	front                                 string
	control, log                          string // http
	dir, dsn                              string // local
	kubeconfig, cluster, space, generator string // istio
	block                                 string
	lock                                  string // local, http
	keep, watch                           bool   // istio: as in its Config
}

// register adds the options to those of a command.
func (b *bed) register(flags *flag.FlagSet) {
	flags.StringVar(&b.name, "testbed", "", "`NAME` of the testbed: local, istio, virtual or http (default for a scenario of an application that is deployed http, or istio where it has no URLs of nodes, else local)")
	flags.Float64Var(&b.scale, "timescale", 10, "local: times are divided and rates multiplied by it; that of istio is in its ConfigMap")
	flags.StringVar(&b.front, "front", "", "local: `ADDRESS` of the front (default 127.0.0.1, a free port); istio: URL of its control port, where it was forwarded; http: address of the front (default as for local), or with -control URL of one that runs apart")
	flags.StringVar(&b.control, "control", "", "http: `URL` for control of a front that runs apart (meshbench front), with its token in $"+tokenVariable)
	flags.StringVar(&b.log, "requests", "", "http: `FILE` to write what became of every request into, as CSV (default none)")
	flags.StringVar(&b.dir, "databases", "", "local: `FOLDER` to keep the nodes' SQLite files in (default a temporary one)")
	flags.StringVar(&b.dsn, "dsn", "", "local: databases of the nodes, with spaces between them and none in them, in place of SQLite files")
	flags.StringVar(&b.kubeconfig, "kubeconfig", "", "istio: `FILE` (default $KUBECONFIG, then ~/.kube/config)")
	flags.StringVar(&b.cluster, "context", "", "istio: `NAME` of a context in it (default its current one)")
	flags.StringVar(&b.space, "namespace", "", "istio: `NAME` of the mesh's namespace (default that of the scenario's application, else meshbench)")
	flags.StringVar(&b.generator, "generator", "", "istio: `URL` of the load generator's control port, where it was forwarded")
	flags.StringVar(&b.lock, "lock", "", "local, http: `FILE` that is locked meanwhile, so that one command at a time drives the testbed (default one below "+os.TempDir()+"); "+noLock+" for no lock, for istio for no Lease")
	flags.StringVar(&b.block, "blocking", "front", "istio: what turns requests away, front or fault (Istio's fault abort)")
}

// tokenVariable is the environment's variable with the token of a front.
const tokenVariable = "MESHBENCH_TOKEN"

// check fills in the testbed of scenario s and reports options that are not
// accepted.
func (b *bed) check(s scenario.Scenario) error {
	if b.name == "" {
		b.name = "local"
		switch {
		case s.Application.Nodes != nil:
			b.name = "http"
		case s.Application.Meshed():
			b.name = "istio"
		}
	}
	if b.space == "" {
		if b.space = s.Application.Namespace; b.space == "" {
			b.space = "meshbench"
		}
	}
	switch {
	case !slices.Contains([]string{"local", "istio", "virtual", "http"}, b.name):
		return fmt.Errorf("unknown testbed %q; accepted: local, istio, virtual, http", b.name)
	case b.name != "http" && (b.control != "" || b.log != ""):
		return fmt.Errorf("-control and -requests are for testbed http, not %s", b.name)
	case testbed.CheckTimeScale(b.scale) != nil:
		return fmt.Errorf("-timescale: %w", testbed.CheckTimeScale(b.scale))
	case b.dsn != "" && len(strings.Fields(b.dsn)) != s.Mesh.N():
		return fmt.Errorf("-dsn: %d databases for %d nodes; accepted: one for each node, with spaces between them and none in them", len(strings.Fields(b.dsn)), s.Mesh.N())
	case b.dir != "" && regular.Folder(b.dir) != nil:
		return fmt.Errorf("-databases: %w", regular.Folder(b.dir))
	case b.block != "front" && b.block != "fault":
		return fmt.Errorf("-blocking %q; accepted: front, fault", b.block)
	}
	return nil
}

// start starts the testbed, or takes control of it.
func (b *bed) start(ctx context.Context, s scenario.Scenario) (testbed.Testbed, error) {
	if s.Platform.Prometheus != "" && b.name != "istio" && b.name != "http" {
		return nil, fmt.Errorf("testbed %s: Prometheus measures none of it; accepted: istio, http, or a scenario without platform", b.name)
	}
	switch b.name {
	case "istio":
		return b.startIstio(ctx, s)
	case "http":
		return b.startHTTP(ctx, s)
	case "virtual":
		return virtual.New(virtual.Config{Scenario: s})
	}
	return local.New(ctx, local.Config{Scenario: s, TimeScale: b.scale, Front: b.front, Dir: b.dir, Databases: strings.Fields(b.dsn)})
}

// platformOf is what measures beside the client; nil for nothing. It is asked once,
// so that what it does not know is said before a run.
func platformOf(ctx context.Context, s scenario.Scenario) (testbed.Platform, error) {
	if s.Platform.Prometheus == "" {
		return nil, nil
	}
	c, err := prometheus.New(s)
	if err != nil {
		return nil, err
	}
	return c, c.Check(ctx)
}

// startHTTP puts a front before an application, or takes control of one.
func (b *bed) startHTTP(ctx context.Context, s scenario.Scenario) (testbed.Testbed, error) {
	platform, err := platformOf(ctx, s)
	if err != nil {
		return nil, err
	}
	cfg := http.Config{Scenario: s, Listen: b.front, Platform: platform}
	if b.control != "" {
		cfg.Listen, cfg.Front, cfg.Control, cfg.Token = "", b.front, b.control, os.Getenv(tokenVariable)
	}
	if b.log == "" {
		return http.New(ctx, cfg)
	}
	log, err := regular.Create(b.log)
	if err != nil {
		return nil, fmt.Errorf("-requests: %w", err)
	}
	cfg.Generator.Log = log
	t, err := http.New(ctx, cfg)
	if err != nil {
		log.Close()
		return nil, err
	}
	return &logged{t, log}, nil
}

// logged closes the request log with its testbed.
type logged struct {
	*http.Testbed
	log *os.File
}

func (l *logged) Close() error { return errors.Join(l.Testbed.Close(), l.log.Close()) }
