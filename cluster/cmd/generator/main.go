// Command generator is the entry point of the load generator's image. It makes
// the steps that a controller asks it for (see httpload.Handler). Settings come
// from the environment:
//
//	CONTROL             address, default :8090
//	CONTROL_TOKEN_FILE  file of the token of those who control it
//	SERVICES, NODES     names, separated by commas; default the paper's
//	TARGET              base URL of the front; default http://front:8080
//	TIME_SCALE          divides times and multiplies rates; default 1
package main

import (
	"context"
	"fmt"
	"net/http"

	"github.com/meshbench/meshbench/cluster/cmd/internal/pod"
	"github.com/meshbench/meshbench/lab/load/httpload"
	"github.com/meshbench/meshbench/lab/service"
	"github.com/meshbench/meshbench/lab/service/item"
)

func main() { pod.Main("generator", run) }

func run(ctx context.Context) error {
	var s pod.Settings
	m := s.Mesh()
	token := s.Token()
	cfg := httpload.Config{Target: s.Text("TARGET", "http://front:8080"), Mesh: m, TimeScale: s.Positive("TIME_SCALE", 1),
		NodeHeader: service.NodeHeader, FailureHeader: service.FailureHeader}
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
	g, err := httpload.New(cfg, 0)
	if err != nil {
		return err
	}
	defer g.Close()
	h, err := httpload.NewHandler(g, token)
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.Handle("/", h)
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, r *http.Request) { fmt.Fprintln(w, "ok") })
	return pod.Serve(ctx, pod.Port{Address: s.Text("CONTROL", ":8090"), Handler: mux})
}
