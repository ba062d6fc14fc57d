package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/url"

	"github.com/meshbench/meshbench/lab/learner"
	"github.com/meshbench/meshbench/lab/scenario"
	"github.com/meshbench/meshbench/lab/study"
)

func scenarioCommand(ctx context.Context, args []string) error {
	const text = "accepted: scenario list, scenario show NAME, scenario check NAME|FILE, scenario from-cluster -n NAMESPACE"
	if len(args) == 0 {
		return errors.New("scenario: " + text)
	}
	what, rest := args[0], args[1:]
	o := newOptions("scenario " + what)
	if what == "list" {
		for _, name := range scenario.List() {
			s, err := scenario.Open(name)
			if err != nil {
				return err
			}
			fmt.Fprintf(stdout, "%-16s %s\n", name, s.Title)
		}
		return nil
	}
	if what == "from-cluster" {
		return fromCluster(ctx, rest)
	}
	if what != "show" && what != "check" {
		return fmt.Errorf("scenario: %q; %s", what, text)
	}
	if err := o.Parse(rest); err != nil {
		return fmt.Errorf("scenario: %w; %s", err, text)
	}
	name := *o.scenario
	switch {
	case o.NArg() == 1:
		name = o.Arg(0)
	case o.NArg() > 1 || o.NFlag() == 0:
		return fmt.Errorf("scenario %s: name one scenario or file", what)
	}
	if what == "show" {
		b, err := scenario.Text(name)
		if err != nil {
			return err
		}
		_, err = stdout.Write(b)
		return err
	}
	s, err := scenario.Open(name)
	if err != nil {
		return err
	}
	return check(s)
}

// check says how large a scenario's problem is.
func check(s scenario.Scenario) error {
	space, err := s.Space()
	if err != nil {
		return err
	}
	heads := "one head for each knob"
	if space.Len() <= learner.MaxWhole {
		heads = "one head for all actions"
	}
	optimum := "by enumeration: exact"
	if space.Len() > 1<<14 {
		optimum = "by search: the best found"
	}
	values := 0.0
	for _, r := range s.Loads {
		values += math.Log10(float64(len(r.Discrete())))
	}
	set := study.Best(s)
	l := set.Learner.(learner.PPO)
	step := s.Timing.Seconds()
	state, row := "", step
	if space.Slow() {
		heads = "one head for each knob"
		if l.Heads == learner.WholeAction {
			heads = "one head for all actions"
		}
		optimum = "none of a step: what is paid depends on what was asked for before"
		for _, k := range space.Knobs() {
			if k.Slow() {
				state += ", " + k.Name
			}
		}
		longest := space.Longest()
		state = fmt.Sprintf("; of%s what is in force and on its way, up to %g s", state[1:], longest)
		row = 2*step + longest/2 // a step more, and the wait of half of the rows
	}
	fmt.Fprintf(stdout, "%s: %s\n", s.Name, s.Title)
	fmt.Fprintf(stdout, "  mesh      %s\n", s.Mesh)
	fmt.Fprintf(stdout, "  actions   %s: %v points of %d knobs\n", space.Size(), space.Choices(), len(space.Knobs()))
	for _, name := range space.LimitNames() {
		fmt.Fprintf(stdout, "  limit     %s\n", name)
	}
	fmt.Fprintf(stdout, "  state     the loads of %d services: %.3g of random load, and any in their ranges%s\n", s.Mesh.M(), math.Pow(10, values), state)
	fmt.Fprintf(stdout, "  optimum   %s\n", optimum)
	fmt.Fprintf(stdout, "  trace     %d steps of %g s: %.1f h on a testbed in real time\n", s.Collect.Steps, step, float64(s.Collect.Steps)*row/3600)
	fmt.Fprintf(stdout, "  training  %d steps of PPO, %s, for each objective and seed: %.1f h on a testbed in real time\n",
		l.Config.TotalSteps, heads, float64(l.Config.TotalSteps)*step/3600)
	for _, o := range s.Defaults().Objectives {
		fmt.Fprintf(stdout, "  objective %s\n", o)
	}
	if s.Deployed() {
		for _, name := range s.Mesh.NodeNames() {
			if u, err := url.Parse(s.Application.Nodes[name]); err == nil && u.Host != "" {
				fmt.Fprintf(stdout, "  node      %s at %s\n", name, u.Redacted())
			}
		}
		if a := s.Defaults().Application; a.Meshed() {
			l := s.Mesh.Layout()
			for c := range l.Calls {
				r := a.Route(l, c)
				fmt.Fprintf(stdout, "  route     %s at %s:%d in namespace %s\n", l.CallName(c), r.Host, r.Port, a.Namespace)
			}
			fmt.Fprintf(stdout, "  blocking  %s; which node answered: %s\n", a.Blocking, a.Attribution)
		}
		for i, mix := range s.Requests {
			fmt.Fprintf(stdout, "  requests  %d kinds for %s\n", len(mix), s.Mesh.Services[i].Name)
		}
	}
	return nil
}
