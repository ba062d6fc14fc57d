package http

import (
	"time"

	"github.com/meshbench/meshbench/lab/scenario"
	"github.com/meshbench/meshbench/lab/service"
)

// FrontConfig describes the front of an application.
type FrontConfig struct {
	Scenario scenario.Scenario // with an Application
	Listen   string            // address for requests; default 127.0.0.1 and a free port
	Control  string            // address for control; default 127.0.0.1 and a free port
	Token    string            // that control asks for; it must not be empty
}

// Front is a front that runs.
type Front struct {
	requests, control *service.Running
}

// NewFront starts the front of the scenario's application: it spreads requests
// evenly and blocks none until its control endpoint is told otherwise.
func NewFront(cfg FrontConfig) (*Front, error) {
	if _, err := check(cfg.Scenario); err != nil {
		return nil, err
	}
	s := cfg.Scenario.Defaults()
	c := s.Client.Defaults()
	fc := service.FrontConfig{Mesh: s.Mesh, Token: cfg.Token, Timeout: -1,
		Application: &service.Application{Requests: s.Requests, Client: c, Node: s.NodeOf()}}
	write := time.Duration(-1)
	if c.Timeout > 0 {
		// The generator gives up first; the front's is for other clients.
		fc.Timeout = c.Timeout + 10
		write = time.Duration((fc.Timeout + 1) * 1e9)
	}
	for _, name := range s.Mesh.NodeNames() {
		fc.Nodes = append(fc.Nodes, s.Application.Nodes[name])
	}
	front, err := service.NewFront(fc)
	if err != nil {
		return nil, err
	}
	f := &Front{}
	if f.requests, err = service.Serve("the front", cfg.Listen, front, service.Limits{Write: write, Read: write}); err != nil {
		return nil, err
	}
	if f.control, err = service.Serve("the front's control", cfg.Control, front.Control(), service.Limits{}); err != nil {
		f.requests.Close()
		return nil, err
	}
	return f, nil
}

// URL is where the front takes requests.
func (f *Front) URL() string { return "http://" + f.requests.Address }

// ControlURL is where it is controlled.
func (f *Front) ControlURL() string { return "http://" + f.control.Address }

// Close breaks all connections.
func (f *Front) Close() {
	f.requests.Close()
	f.control.Close()
}
