package main

import (
	"context"
	"fmt"
	"os"

	"github.com/meshbench/meshbench/lab/testbed/http"
)

// frontCommand runs the front of an application until it is interrupted.
func frontCommand(ctx context.Context, args []string) error {
	o := newOptions("front")
	listen := o.String("listen", "127.0.0.1:8080", "`ADDRESS` for the application's requests")
	control := o.String("control", "127.0.0.1:8081", "`ADDRESS` for control, health and metrics")
	s, help, err := o.parse(args, "front -scenario FILE [options]\n\nRuns the front of an application that is deployed: it routes requests to the\napplication's nodes by weight and blocks a share of them, as the control address\nis told (with the token in $"+tokenVariable+"). collect and evaluate use it with\n-testbed http -front URL -control URL.")
	if help || err != nil {
		return err
	}
	if o.NArg() > 0 {
		return fmt.Errorf("front: %q: only options are accepted; meshbench front -help lists them", o.Arg(0))
	}
	token := os.Getenv(tokenVariable)
	if token == "" {
		return fmt.Errorf("front: $%s is not set; it is what control of the front asks for", tokenVariable)
	}
	f, err := http.NewFront(http.FrontConfig{Scenario: s, Listen: *listen, Control: *control, Token: token})
	if err != nil {
		return fmt.Errorf("front: %w", err)
	}
	defer f.Close()
	fmt.Fprintf(stdout, "front of %s: %s, control %s\n", s.Name, f.URL(), f.ControlURL())
	<-ctx.Done()
	return nil
}
