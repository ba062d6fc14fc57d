// Command node is the entry point of a processing node's image: the information
// services and their database. Settings come from the environment:
//
//	SCENARIO    name or file of the scenario; default paper
//	LISTEN      address, default :8080
//	NODE        name of this node, one of the scenario's; default its first
//	DATABASE    DSN; default /data/items.sqlite
//	TIME_SCALE  by which service times are divided; default 1
package main

import (
	"context"

	"github.com/meshbench/meshbench/cluster/cmd/internal/pod"
	"github.com/meshbench/meshbench/lab/service"
	"github.com/meshbench/meshbench/lab/service/item"
)

func main() { pod.Main("node", run) }

func run(ctx context.Context) error {
	var s pod.Settings
	sc := s.Scenario()
	cfg := service.NodeConfig{Name: s.Text("NODE", ""), Mesh: sc.Mesh, Queue: sc.Queue, TimeScale: s.Positive("TIME_SCALE", 1)}
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
	return pod.Serve(ctx, pod.Port{Address: s.Text("LISTEN", ":8080"), Handler: node})
}
