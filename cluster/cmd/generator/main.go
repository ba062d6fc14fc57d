// Command generator is the entry point of the load generator's image. It makes
// the steps that a controller asks it for (see httpload.Handler).
//
//	generator [HOST]
//
// The host is the front's; default front. Settings come from the environment:
//
//	SCENARIO            name or file of the scenario; default paper
//	CONTROL             address, default :8090
//	CONTROL_TOKEN_FILE  file of the token of those who control it
//	TARGET              base URL of the front, %s for its host; default http://%s:8080
//	TIME_SCALE          divides times and multiplies rates; default 1
package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"strings"

	"github.com/meshbench/meshbench/cluster/cmd/internal/pod"
	"github.com/meshbench/meshbench/lab/load/httpload"
	"github.com/meshbench/meshbench/lab/load/request"
	"github.com/meshbench/meshbench/lab/service"
)

func main() { pod.Main("generator", run) }

func run(ctx context.Context) error {
	var s pod.Settings
	sc := s.Scenario()
	token := s.Token()
	cfg := httpload.Config{Target: s.Text("TARGET", "http://%s:8080"), Mesh: sc.Mesh, TimeScale: s.Positive("TIME_SCALE", 1),
		NodeHeader: service.NodeHeader, FailureHeader: service.FailureHeader, CallsHeader: service.CallsHeader, RunHeader: service.RunHeader}
	if err := s.Err(); err != nil {
		return err
	}
	front := "front"
	switch args := os.Args[1:]; len(args) {
	case 0:
	case 1:
		front = args[0]
	default:
		return fmt.Errorf("%d arguments; accepted: the host of the front", len(args))
	}
	cfg.Target = strings.ReplaceAll(cfg.Target, "%s", front)
	var err error
	if cfg.Items, err = pod.Items(sc); err != nil {
		return err
	}
	if sc.Deployed() {
		// Versions and certificates are between the front and the application.
		c := sc.Client
		cfg.Client = request.Client{Timeout: c.Timeout, Redirects: c.Redirects, Fresh: c.Fresh, Idle: c.Idle}
		cfg.Requests, cfg.ServiceHeader, cfg.CallsHeader = sc.Requests, service.ServiceHeader, ""
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
	// A request lasts as long as its step.
	return pod.Serve(ctx, pod.Port{Address: s.Text("CONTROL", ":8090"), Handler: mux, Limits: service.Limits{Read: -1, Write: -1}})
}
