// Command node is the entry point of a processing node's image: the information
// services and their database. Settings come from the environment:
//
//	LISTEN           address, default :8080
//	NODE             name of this node, one of NODES
//	SERVICES, NODES  names, separated by commas; default the paper's
//	DATABASE         DSN; default /data/items.sqlite
//	TIME_SCALE       by which service times are divided; default 1
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
	m := s.Mesh()
	cfg := service.NodeConfig{Name: s.Text("NODE", m.NodeNames()[0]), Mesh: m, TimeScale: s.Positive("TIME_SCALE", 1)}
	if err := s.Err(); err != nil {
		return err
	}
	if _, err := m.Node(cfg.Name); err != nil {
		return err
	}
	var err error
	if cfg.Catalogue, err = item.NewCatalogue(item.Paper(m.M()), 0); err != nil {
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
