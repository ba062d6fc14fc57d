// Command front is the entry point of the front node's image. The mesh routes;
// the front blocks, and makes the calls of services that make several. Of a
// scenario whose application is not of this project it passes requests on to that.
//
//	front [HOST...]
//
// The hosts are those of the scenario's microservices, in its order; default
// their names. Settings come from the environment:
//
//	SCENARIO            name or file of the scenario; default paper
//	LISTEN              address for the mesh, default :8080
//	CONTROL             address for those who control it, default :8090
//	CONTROL_TOKEN_FILE  file of the token of /control and /probe
//	UPSTREAM            URL of a microservice, %s for its host; default http://%s:8080
//	LINK                emulated time of a stage's requests on the network, s unscaled; default the scenario's
//	TIME_SCALE          by which times are divided; default 1
//	SIDECAR             URL of the sidecar's admin endpoint, of an application; default http://127.0.0.1:15000
//	SEED                of the order of blocking; default 0
package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"strings"

	"github.com/meshbench/meshbench/cluster/cmd/internal/pod"
	"github.com/meshbench/meshbench/lab/scenario"
	"github.com/meshbench/meshbench/lab/service"
)

func main() { pod.Main("front", run) }

func run(ctx context.Context) error {
	var s pod.Settings
	sc := s.Scenario()
	cfg := service.FrontConfig{Mesh: sc.Mesh, Token: s.Token(), Seed: s.Whole("SEED", 0),
		Link: max(s.Positive("LINK", sc.Link), 0) / s.Positive("TIME_SCALE", 1)}
	upstream := s.Text("UPSTREAM", "http://%s:8080")
	listen, control := s.Text("LISTEN", ":8080"), s.Text("CONTROL", ":8090")
	if err := s.Err(); err != nil {
		return err
	}
	if sc.Application.Meshed() {
		cfg.Sidecar = s.Text("SIDECAR", "http://127.0.0.1:15000")
		return application(ctx, sc, cfg, listen, control)
	}
	hosts, err := hosts(sc, os.Args[1:])
	if err != nil {
		return err
	}
	for _, host := range hosts {
		cfg.Upstreams = append(cfg.Upstreams, strings.ReplaceAll(upstream, "%s", host))
	}
	if cfg.Items, err = pod.Items(sc); err != nil {
		return err
	}
	front, err := service.NewFront(cfg)
	if err != nil {
		return err
	}
	return pod.Serve(ctx, pod.Port{Address: listen, Handler: front}, pod.Port{Address: control, Handler: controlled(front)})
}

// application serves the front of an application that is not of this project,
// which emulates no link.
func application(ctx context.Context, sc scenario.Scenario, cfg service.FrontConfig, listen, control string) error {
	cfg.Link, cfg.Upstreams = 0, sc.Upstreams()
	limits := service.Limits{Read: -1, Write: -1} // of requests the generator's time-out is the limit
	cfg.Timeout = -1
	if c := sc.Client.Defaults(); c.Timeout > 0 {
		cfg.Timeout = c.Timeout + 10 // the generator gives up first
	}
	cfg.Application = &service.Application{Requests: sc.Requests, Client: sc.Client, Node: sc.NodeOf(), Aborted: sc.Application.Blocking == scenario.FaultBlocks}
	front, err := service.NewFront(cfg)
	if err != nil {
		return err
	}
	return pod.Serve(ctx, pod.Port{Address: listen, Handler: front, Limits: limits}, pod.Port{Address: control, Handler: front.Control()})
}

func hosts(sc scenario.Scenario, args []string) ([]string, error) {
	names := sc.Mesh.Layout().Microservices
	if len(args) == 0 {
		return names, nil
	}
	if len(args) != len(names) {
		return nil, fmt.Errorf("%d hosts; scenario %s has %d microservices: %s", len(args), sc.Name, len(names), strings.Join(names, ", "))
	}
	return args, nil
}

// controlled serves what does not come from the mesh: no items.
func controlled(front http.Handler) http.Handler {
	mux := http.NewServeMux()
	for _, path := range []string{"/control", "/probe/", "/healthz"} {
		mux.Handle(path, front)
	}
	return mux
}
