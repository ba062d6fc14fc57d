// Command front is the entry point of the front node's image. The mesh routes;
// the front blocks. Settings come from the environment:
//
//	LISTEN              address for the mesh, default :8080
//	CONTROL             address for those who control it, default :8090
//	CONTROL_TOKEN_FILE  file of the token of /control and /probe
//	SERVICES, NODES     names, separated by commas; default the paper's
//	UPSTREAM            URL of a service, %s for its name; default http://%s:8080
//	LINK                emulated time of a request on the network, s unscaled; default 0.005
//	TIME_SCALE          by which times are divided; default 1
//	SEED                of the order of blocking; default 0
package main

import (
	"context"
	"net/http"
	"strings"

	"github.com/meshbench/meshbench/cluster/cmd/internal/pod"
	"github.com/meshbench/meshbench/lab/service"
	"github.com/meshbench/meshbench/lab/service/item"
)

func main() { pod.Main("front", run) }

func run(ctx context.Context) error {
	var s pod.Settings
	m := s.Mesh()
	cfg := service.FrontConfig{Mesh: m, Token: s.Token(), Seed: s.Whole("SEED", 0),
		Link: s.Positive("LINK", item.Link) / s.Positive("TIME_SCALE", 1)}
	upstream := s.Text("UPSTREAM", "http://%s:8080")
	for _, name := range m.ServiceNames() {
		cfg.Upstreams = append(cfg.Upstreams, strings.ReplaceAll(upstream, "%s", name))
	}
	if err := s.Err(); err != nil {
		return err
	}
	c, err := item.NewCatalogue(item.Paper(m.M()), 0)
	if err != nil {
		return err
	}
	for i := range m.M() {
		cfg.Items = append(cfg.Items, c.Len(i))
	}
	front, err := service.NewFront(cfg)
	if err != nil {
		return err
	}
	return pod.Serve(ctx, pod.Port{Address: s.Text("LISTEN", ":8080"), Handler: front},
		pod.Port{Address: s.Text("CONTROL", ":8090"), Handler: control(front)})
}

// control serves what does not come from the mesh: no items.
func control(front http.Handler) http.Handler {
	mux := http.NewServeMux()
	for _, path := range []string{"/control", "/probe/", "/healthz"} {
		mux.Handle(path, front)
	}
	return mux
}
