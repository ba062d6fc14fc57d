// Command node is the entry point of a processing node's image: the information
// services and their database. Settings come from the environment:
//
//	SCENARIO    name or file of the scenario; default paper
//	LISTEN      address, default :8080
//	NODE        name of this node, one of the scenario's; default its first
//	DATABASE    DSN; default /data/items.sqlite
//	TIME_SCALE  by which service times are divided; default 1
//	CORES       CPU limit at which the node has the scenario's speed: it works at
//	            the share of it that its cgroup has; default the limit is no matter
//	CONTROL     address for controllers, outside of the mesh; default :8090
//
// Told to end it says that it is not ready, and serves on for a while and until
// what is under way is done.
package main

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/meshbench/meshbench/cluster/cmd/internal/pod"
	"github.com/meshbench/meshbench/lab/service"
	"github.com/meshbench/meshbench/lab/service/item"
)

func main() { pod.Main("node", run) }

// linger is longer than proxies take to hear that a pod is on its way out.
const linger = 3 * time.Second

func run(ctx context.Context) error {
	var s pod.Settings
	sc := s.Scenario()
	cfg := service.NodeConfig{Name: s.Text("NODE", ""), Mesh: sc.Mesh, Line: service.NewLine(sc.Queue), TimeScale: s.Positive("TIME_SCALE", 1)}
	unit := s.Positive("CORES", 0)
	if err := s.Err(); err != nil {
		return err
	}
	if cfg.Name != "" { // before the database is filled
		if _, err := sc.Mesh.Node(cfg.Name); err != nil {
			return err
		}
	}
	var err error
	if cfg.Catalogue, err = item.NewCatalogue(sc.Kinds(), 0); err != nil {
		return err
	}
	if cfg.Database, err = service.OpenDatabase(ctx, s.Text("DATABASE", "/data/items.sqlite"), cfg.Catalogue); err != nil {
		return err
	}
	defer cfg.Database.Close()
	node, err := service.NewNode(cfg)
	if err != nil {
		return err
	}
	defer node.Close()
	if unit > 0 {
		if err := pod.FollowCores(ctx, unit, cfg.Line.SetSpeed); err != nil {
			return err
		}
	}
	control := http.NewServeMux()
	control.HandleFunc("GET "+service.WorkedPath, func(w http.ResponseWriter, r *http.Request) {
		worked, _ := cfg.Line.Worked()
		fmt.Fprintln(w, worked.Seconds())
	})
	return pod.Serve(pod.Linger(ctx, linger, node.Leave), pod.Port{Address: s.Text("LISTEN", ":8080"), Handler: node},
		pod.Port{Address: s.Text("CONTROL", ":8090"), Handler: control})
}
