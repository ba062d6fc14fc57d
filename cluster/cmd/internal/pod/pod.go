// Package pod is what the entry points of the images share: settings from the
// environment, each checked, and an HTTP server that ends gracefully.
package pod

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/meshbench/meshbench/lab/scenario"
	"github.com/meshbench/meshbench/lab/service"
	"github.com/meshbench/meshbench/lab/service/item"
)

// Settings reads the environment and gathers what is wrong with it.
type Settings struct {
	Lookup func(string) (string, bool) // default os.LookupEnv
	errs   []error
}

func (s *Settings) lookup(name string) (string, bool) {
	if s.Lookup == nil {
		return os.LookupEnv(name)
	}
	return s.Lookup(name)
}

func (s *Settings) fail(format string, args ...any) {
	s.errs = append(s.errs, fmt.Errorf(format, args...))
}

// Err is all that was wrong, nil for nothing.
func (s *Settings) Err() error { return errors.Join(s.errs...) }

// Text is a setting, or its default.
func (s *Settings) Text(name, def string) string {
	if v, ok := s.lookup(name); ok {
		return v
	}
	return def
}

// Positive is a number above 0.
func (s *Settings) Positive(name string, def float64) float64 {
	v, ok := s.lookup(name)
	if !ok {
		return def
	}
	x, err := strconv.ParseFloat(v, 64)
	if err != nil || !(x > 0) || x > 1e9 {
		s.fail("%s is %q; accepted: a number above 0", name, v)
	}
	return x
}

// Whole is a whole number not below 0.
func (s *Settings) Whole(name string, def uint64) uint64 {
	v, ok := s.lookup(name)
	if !ok {
		return def
	}
	x, err := strconv.ParseUint(v, 10, 64)
	if err != nil {
		s.fail("%s is %q; accepted: a whole number not below 0", name, v)
	}
	return x
}

// Token is the content of the file that CONTROL_TOKEN_FILE names.
func (s *Settings) Token() string {
	path, ok := s.lookup("CONTROL_TOKEN_FILE")
	if !ok {
		s.fail("CONTROL_TOKEN_FILE is missing; accepted: the file of the control token")
		return ""
	}
	b, err := os.ReadFile(path)
	if err != nil {
		s.fail("CONTROL_TOKEN_FILE: %w", err)
		return ""
	}
	token := strings.TrimSpace(string(b))
	if token == "" {
		s.fail("CONTROL_TOKEN_FILE: %s is empty", path)
	}
	return token
}

// Scenario is the one that SCENARIO names: a built-in one, or a file; by default
// the paper's.
func (s *Settings) Scenario() scenario.Scenario {
	sc, err := scenario.Open(s.Text("SCENARIO", "paper"))
	if err != nil {
		s.fail("SCENARIO: %w", err)
		return scenario.Paper() // for what else may be wrong
	}
	return sc
}

// Items are the numbers of items of a scenario's microservices.
func Items(sc scenario.Scenario) ([]int, error) {
	c, err := item.NewCatalogue(sc.Kinds(), 0)
	if err != nil {
		return nil, err
	}
	items := make([]int, c.Services())
	for u := range items {
		items[u] = c.Len(u)
	}
	return items, nil
}

// Main runs a program until a signal ends it, and exits with one line on
// standard error when it fails.
func Main(name string, run func(context.Context) error) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintf(os.Stderr, "%s: %s\n", name, strings.ReplaceAll(err.Error(), "\n", "; "))
		os.Exit(1)
	}
}

// Linger returns a context that ends a while after ctx does, when leave is
// called: a pod that is told to end serves on until nobody sends it requests any
// more.
func Linger(ctx context.Context, while time.Duration, leave func()) context.Context {
	longer, end := context.WithCancel(context.WithoutCancel(ctx))
	context.AfterFunc(ctx, func() {
		leave()
		time.AfterFunc(while, end)
	})
	return longer
}

// grace is how long requests under way may take after a signal.
const grace = 5 * time.Second

// Port is an address with what is served at it.
type Port struct {
	Address string // such as :8080
	Handler http.Handler
	Limits  service.Limits // of its clients; default that of the service package, but for Idle
}

// idle is longer than a proxy of the mesh keeps an unused connection, by default
// an hour, so that none is closed while a request is sent on it.
const idle = 2 * time.Hour

// Serve serves all ports until the context ends, and then what is under way.
func Serve(ctx context.Context, ports ...Port) error {
	failed := make(chan error, len(ports))
	var servers []*http.Server
	defer func() {
		for _, s := range servers {
			s.Close()
		}
	}()
	for _, p := range ports {
		l, err := service.Listen(p.Address)
		if err != nil {
			return err
		}
		slog.Info("serving", "address", l.Addr().String())
		if p.Limits.Idle == 0 {
			p.Limits.Idle = idle
		}
		server := service.NewServer(p.Handler, p.Limits)
		servers = append(servers, server)
		go func() { failed <- server.Serve(l) }()
	}
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	end, cancel := context.WithTimeout(context.Background(), grace)
	defer cancel()
	for _, s := range servers {
		s.Shutdown(end) // what outlasts the grace is closed
	}
	return nil
}
