package main

import (
	"context"
	"flag"
	"fmt"
	"strings"

	"github.com/meshbench/meshbench/lab/scenario"
	"github.com/meshbench/meshbench/lab/testbed"
	"github.com/meshbench/meshbench/lab/testbed/istio"
	"github.com/meshbench/meshbench/lab/testbed/local"
	"github.com/meshbench/meshbench/lab/testbed/virtual"
)

// bed is the testbed that a command's options name.
type bed struct {
	name                                  string
	scale                                 float64
	front                                 string
	dir, dsn                              string // local
	kubeconfig, cluster, space, generator string // istio
	block                                 string
}

// register adds the options to those of a command.
func (b *bed) register(flags *flag.FlagSet) {
	flags.StringVar(&b.name, "testbed", "local", "`NAME` of the testbed: local, istio or virtual")
	flags.Float64Var(&b.scale, "timescale", 10, "local: times are divided and rates multiplied by it; that of istio is in its ConfigMap")
	flags.StringVar(&b.front, "front", "", "local: `ADDRESS` of the front (default 127.0.0.1, a free port); istio: URL of its control port, where it was forwarded")
	flags.StringVar(&b.dir, "databases", "", "local: `FOLDER` to keep the nodes' SQLite files in (default a temporary one)")
	flags.StringVar(&b.dsn, "dsn", "", "local: databases of the nodes, separated by spaces, in place of SQLite files")
	flags.StringVar(&b.kubeconfig, "kubeconfig", "", "istio: `FILE` (default $KUBECONFIG, then ~/.kube/config)")
	flags.StringVar(&b.cluster, "context", "", "istio: `NAME` of a context in it (default its current one)")
	flags.StringVar(&b.space, "namespace", "meshbench", "istio: `NAME` of the mesh's namespace")
	flags.StringVar(&b.generator, "generator", "", "istio: `URL` of the load generator's control port, where it was forwarded")
	flags.StringVar(&b.block, "blocking", "front", "istio: what turns requests away, front or fault (Istio's fault abort)")
}

// check reports options that are not accepted.
func (b *bed) check() error {
	switch {
	case b.name != "local" && b.name != "istio" && b.name != "virtual":
		return fmt.Errorf("unknown testbed %q; accepted: local, istio, virtual", b.name)
	case !(b.scale > 0):
		return fmt.Errorf("-timescale %v; accepted: above 0, and 1 is real time", b.scale)
	case b.block != "front" && b.block != "fault":
		return fmt.Errorf("-blocking %q; accepted: front, fault", b.block)
	}
	return nil
}

// start starts the testbed, or takes control of it.
func (b *bed) start(ctx context.Context, s scenario.Scenario) (testbed.Testbed, error) {
	switch b.name {
	case "istio":
		cfg := istio.Config{Scenario: s, Kubeconfig: b.kubeconfig, Context: b.cluster, Namespace: b.space, Front: b.front, Generator: b.generator}
		if b.block == "fault" {
			cfg.Blocking = istio.FaultBlocking
		}
		return istio.New(ctx, cfg)
	case "virtual":
		return virtual.New(virtual.Config{Scenario: s})
	}
	return local.New(ctx, local.Config{Scenario: s, TimeScale: b.scale, Front: b.front, Dir: b.dir, Databases: strings.Fields(b.dsn)})
}
