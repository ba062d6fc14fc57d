package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/meshbench/meshbench/lab/artefact"
	"github.com/meshbench/meshbench/lab/controller"
	"github.com/meshbench/meshbench/lab/internal/appendfile"
	"github.com/meshbench/meshbench/lab/internal/regular"
	"github.com/meshbench/meshbench/lab/lease"
	"github.com/meshbench/meshbench/lab/load"
	"github.com/meshbench/meshbench/lab/mesh"
	"github.com/meshbench/meshbench/lab/nb"
	"github.com/meshbench/meshbench/lab/objective"
	"github.com/meshbench/meshbench/lab/policy"
	"github.com/meshbench/meshbench/lab/scenario"
	"github.com/meshbench/meshbench/lab/service"
)

const runText = `run [options] POLICY

Drives a mesh by a policy until it is interrupted. A guard takes the policy out
of charge, and a fallback in, when steps are not measured, goals are missed for
long, the load is none that the policy was trained for or, with -model, the mesh
is slower than its model; it lets the policy back by rule. One process at a time has
the lease of a testbed; others wait and take over. What is going on is on a page
for people (-listen), with metrics for Prometheus at /metrics.`

// Modes of a run.
const (
	actMode    = "act"
	shadowMode = "shadow"
	dryMode    = "dry"
)

// running is the options of the command.
type running struct {
	bed
	sc                                                    scenario.Scenario
	path, mode, model, objective, before, safe, load, log string
	listen                                                string
	announced                                             bool
	seed                                                  uint64
	steps, every, missed, missing, back, calibrate        int
	move                                                  float64

	policy   artefact.File
	fallback policy.Policy
	pattern  load.Pattern
	value    func(mesh.Load, mesh.Action) (float64, error)
	checks   []controller.Check
}

func runCommand(ctx context.Context, args []string) error {
	o := newOptions("run")
	var r running
	r.bed.register(o.FlagSet)
	o.StringVar(&r.mode, "mode", actMode, "act; shadow: decide, compare with what is in force, and change nothing; dry: say what would be done, and end")
	o.StringVar(&r.model, "model", "", "`FILE` of the mesh's model, to see drift by and to value what the policy would have done")
	o.StringVar(&r.objective, "objective", "", "`NAME` of the objective that values it (default the policy's own)")
	o.StringVar(&r.before, "before", "", "`FILE` of the policy to fall back on, the one before (default the proportional rule, or what -safe says)")
	o.StringVar(&r.safe, "safe", "", "`VALUES` of the action to fall back on, with commas between, in the order of a trace's columns")
	o.StringVar(&r.load, "load", "sinusoidal", "load that the testbed offers: "+strings.Join(load.Names(), ", "))
	o.BoolVar(&r.announced, "announced", false, "tell the policy the load of the step to come, as evaluate does, rather than the one counted in the step before")
	o.Uint64Var(&r.seed, "seed", 1, "of loads and requests")
	o.IntVar(&r.steps, "steps", 0, "steps of the run (default until it is interrupted)")
	o.Float64Var(&r.move, "move", 1, "how far the policy may move a value in a step, as a share of its range; 1 for all the way")
	o.IntVar(&r.every, "every", 0, "steps for which the policy leaves a knob as it is after a change")
	o.IntVar(&r.missed, "missed", 10, "steps in a row with a goal missed that take the policy out of charge; 0 for any number")
	o.IntVar(&r.missing, "missing", 2, "steps in a row without a measurement that do")
	o.IntVar(&r.back, "return", 10, "steps in a row without an objection that bring it back; twice as many each time that it has to go again soon after")
	o.IntVar(&r.calibrate, "calibrate", 50, "steps that the look for drift is calibrated by")
	o.StringVar(&r.listen, "listen", "127.0.0.1:8095", "`ADDRESS` of the status page; none for no page")
	o.StringVar(&r.log, "log", "", "`FILE` to append every step to, as a line of JSON (default none)")
	sc, help, err := o.parse(args, runText)
	if help || err != nil {
		return err
	}
	if o.NArg() != 1 {
		return errors.New("run: name the policy's file, one; meshbench run -help lists the options")
	}
	r.sc, r.path = sc.Defaults(), o.Arg(0)
	if err := r.prepare(); err != nil {
		return fmt.Errorf("run: %w", err)
	}
	if r.mode == dryMode {
		return r.dry(ctx)
	}
	return r.run(ctx)
}

// prepare checks the options and opens the files.
func (r *running) prepare() (err error) {
	if err := r.bed.check(r.sc); err != nil {
		return err
	}
	switch {
	case r.mode != actMode && r.mode != shadowMode && r.mode != dryMode:
		return fmt.Errorf("-mode %q; accepted: %s, %s, %s", r.mode, actMode, shadowMode, dryMode)
	case r.mode == shadowMode && r.control != "":
		return errors.New("-mode shadow with -control: to begin a run at a front that runs apart changes what it does; accepted: testbed istio, or one that is started here")
	case r.before != "" && r.safe != "":
		return errors.New("-before beside -safe; accepted: one of both")
	}
	for _, c := range []count{{"steps", r.steps, 0, maxSteps}, {"missed", r.missed, 0, maxSteps}, {"missing", r.missing, 1, maxSteps},
		{"return", r.back, 1, maxSteps}, {"calibrate", r.calibrate, 20, 100_000}, {"every", r.every, 0, maxSteps}} {
		if err := c.check(); err != nil {
			return err
		}
	}
	if !(r.move > 0 && r.move <= 1) {
		return fmt.Errorf("-move %v; accepted: above 0, to 1 for all the way", r.move)
	}
	if r.log != "" {
		if err := regular.Free(r.log); err != nil {
			return fmt.Errorf("-log: %w", err)
		}
	}
	r.keep, r.watch = true, r.mode == shadowMode
	space := r.sc.MustSpace()
	if r.policy, err = artefact.Open(r.path, space); err != nil {
		return err
	}
	if r.policy.Policy == nil {
		return fmt.Errorf("%s is a model; accepted: a policy", r.path)
	}
	if r.pattern, err = load.Parse(r.load, r.sc.Loads); err != nil {
		return fmt.Errorf("-load: %w", err)
	}
	if r.fallback, err = r.fallBack(space); err != nil {
		return err
	}
	return r.guard(space)
}

// fallBack is the policy to fall back on.
func (r *running) fallBack(space *mesh.Space) (policy.Policy, error) {
	switch {
	case r.before != "":
		f, err := artefact.Open(r.before, space)
		if err == nil && f.Policy == nil {
			err = fmt.Errorf("-before %s is a model; accepted: a policy", r.before)
		}
		if err != nil {
			return nil, err
		}
		return named{f.Policy, "the policy before, " + filepath.Base(r.before)}, nil
	case r.safe != "":
		var a mesh.Action
		for _, text := range strings.Split(r.safe, ",") {
			v, err := strconv.ParseFloat(strings.TrimSpace(text), 64)
			if err != nil {
				return nil, fmt.Errorf("-safe: %q is not a number", text)
			}
			a = append(a, v)
		}
		if err := space.Validate(a); err != nil {
			return nil, fmt.Errorf("-safe: %w; the values are %s", err, strings.Join(space.Columns(), ", "))
		}
		return policy.Static{Label: "the safe action", Action: a}, nil
	}
	times := make([]float64, len(r.sc.Work))
	for k, w := range r.sc.Work {
		times[k] = w.Time
	}
	return named{policy.Proportional{Space: space, Time: times}, "the proportional rule"}, nil
}

// named is a policy under another name.
type named struct {
	policy.Policy
	name string
}

func (n named) Name() string { return n.name }

// SeesDelays says what the policy does.
func (n named) SeesDelays() bool { return policy.SeesDelays(n.Policy) }

// guard makes the checks, and what values actions.
func (r *running) guard(space *mesh.Space) error {
	loads, err := r.policy.Loads()
	if err != nil {
		return err
	}
	names := r.sc.Mesh.ServiceNames()
	seconds := r.sc.Timing.Defaults().Step
	if r.announced {
		seconds = 0
	}
	r.checks = []controller.Check{&controller.Missing{Steps: r.missing}, &controller.Outside{Loads: loads, Names: names, Seconds: seconds}}
	if r.missed > 0 {
		r.checks = append(r.checks, &controller.Missed{Goals: r.sc.Goals(), Names: names, Steps: r.missed})
	}
	if r.model == "" {
		return nil
	}
	f, err := artefact.Open(r.model, space)
	if err != nil {
		return err
	}
	if f.Model == nil {
		return fmt.Errorf("-model %s is a policy; accepted: a model", r.model)
	}
	r.checks = append(r.checks, &controller.Drift{Model: f.Model, Calibrate: r.calibrate})
	name := r.objective
	if c := r.policy.Card; name == "" && c != nil {
		name = c.Objective
	}
	obj, err := r.sc.Objective(name)
	if err != nil {
		return fmt.Errorf("-objective: %w", err)
	}
	e, err := obj.Bind(space)
	if err != nil {
		return err
	}
	r.value = func(l mesh.Load, a mesh.Action) (float64, error) {
		at, err := f.Model.At(mesh.State{Load: l})
		if err == nil {
			err = at.Set(a)
		}
		if err != nil {
			return 0, err
		}
		x := mesh.NewMeasurement(space.Layout())
		at.Mean(&x)
		return e.Reward(objective.Steady(space, l, a, x)), nil
	}
	return nil
}

// dry says what a run would do, and looks whether it could.
func (r *running) dry(ctx context.Context) error {
	fmt.Fprintf(stdout, "%s would drive %s on testbed %s; without it: %s\n", r.path, r.sc.MustSpace(), r.name, r.fallback.Name())
	if r.move < 1 || r.every > 0 {
		fmt.Fprintf(stdout, "limits: a value moves by at most %g of its range, a knob is left alone for %d steps after a change\n", r.move, r.every)
	}
	for _, c := range r.checks {
		fmt.Fprintf(stdout, "check %s: %s\n", c.Name(), c.State())
	}
	const rows = 16
	t, err := r.policy.Decisions(rows)
	if err != nil {
		return fmt.Errorf("run: %w", err)
	}
	fmt.Fprintln(stdout, "what it would decide:")
	stdout.Write(t.Markdown())
	if r.name == "istio" {
		if err := r.checkIstio(ctx, r.sc); err != nil {
			return fmt.Errorf("run: %w", err)
		}
		fmt.Fprintln(stdout, "the cluster is ready; nothing was changed")
	}
	return nil
}

// run waits for the lease, drives the mesh, and waits again where it was lost.
func (r *running) run(ctx context.Context) error {
	log := &stepLog{path: r.log}
	note := func(bool, string, string) {}
	if r.name == "istio" {
		n, flush, err := r.eventsIstio(r.sc)
		if err != nil {
			return fmt.Errorf("run: %w", err)
		}
		defer flush()
		note = n
	}
	live := nb.NewLive()
	defer live.Close()
	m := &later{space: r.sc.MustSpace()}
	c, err := controller.New(r.config(m, live, log.add, note))
	if err != nil {
		return fmt.Errorf("run: %w", err)
	}
	stop, err := r.serve(c)
	if err != nil {
		return fmt.Errorf("run: %w", err)
	}
	defer stop()
	l, err := r.lease(r.sc, "run", true, func(owner string) {
		c.Lead(false, owner)
		live.Text("waiting: %s drives the mesh", owner)
	})
	if err != nil {
		return fmt.Errorf("run: %w", err)
	}
	for {
		err := l.Hold(ctx, func(ctx context.Context) error {
			c.Lead(true, "")
			note(false, "Leading", lease.Process()+" drives the mesh")
			defer c.Lead(false, "")
			if err := log.open(); err != nil { // not while another still writes it
				return err
			}
			defer log.close()
			return r.drive(ctx, c, m)
		})
		switch {
		case errors.Is(err, lease.ErrLost) && ctx.Err() == nil:
			live.Text("the lease was lost; waiting for it")
			continue
		case errors.Is(err, context.Canceled) && ctx.Err() != nil:
			err = nil
		}
		if err != nil {
			return fmt.Errorf("run: %w", err)
		}
		s := c.Status()
		live.Text("%d steps: %d by the policy, %d by the fallback, %d switches; what was in force stays", s.Step,
			s.Steps[controller.ByPolicy], s.Steps[controller.ByFallback], s.Switched[controller.ByFallback]+s.Switched[controller.ByPolicy])
		return nil
	}
}

// config is that of the controller.
func (r *running) config(m controller.Mesh, live *nb.Live, log func(controller.Entry), note func(bool, string, string)) controller.Config {
	return controller.Config{
		Mesh: m, Policy: named{r.policy.Policy, filepath.Base(r.path)}, Fallback: r.fallback, Checks: r.checks, Return: r.back,
		Limit: controller.Limit{Move: r.move, Every: r.every}, Shadow: r.mode == shadowMode, Value: r.value, Steps: r.steps,
		Timeout: r.patience(),
		OnStep: func(e controller.Entry) {
			log(e)
			text := fmt.Sprintf("step %d, %s in charge", e.Step, e.Charge)
			for i, d := range e.Delay {
				took := "none answered"
				if ms := 1e3 * float64(d); !math.IsNaN(ms) {
					took = fmt.Sprintf("%.0f ms", ms)
				}
				text += fmt.Sprintf("; %s %.1f requests/s, %s", r.sc.Mesh.Services[i].Name, float64(e.Load[i]), took)
			}
			if e.Error != "" {
				text += "; " + e.Error
			}
			live.Text("%s", text)
		},
		OnSwitch: func(s controller.Switch) {
			fmt.Fprintf(stdout, "from step %d on the %s is in charge: %s\n", s.Step, s.To, s.Why)
			reason := "PolicyInCharge"
			if s.To != controller.ByPolicy {
				reason = "FellBack"
			}
			note(s.To != controller.ByPolicy, reason, fmt.Sprintf("from step %d on the %s is in charge: %s", s.Step, s.To, s.Why))
		},
		Names: controller.Names{Title: fmt.Sprintf("%s, scenario %s", filepath.Base(r.path), r.sc.Name), Testbed: r.name,
			Services: r.sc.Mesh.ServiceNames(), Goals: r.sc.Goals()},
	}
}

// patience is for how long a step may last in real time: several of them.
func (r *running) patience() time.Duration {
	scale := r.scale
	if r.name != "local" { // that of a cluster is only known there
		scale = 1
	}
	return time.Duration(6*r.sc.Timing.Seconds()/scale*1e9) + 30*time.Second
}

// drive starts the testbed, and drives it until ctx ends.
func (r *running) drive(ctx context.Context, c *controller.Controller, m *later) (err error) {
	t, err := r.start(ctx, r.sc)
	if err != nil {
		return err
	}
	defer func() {
		if e := t.Close(); err == nil {
			err = e
		}
	}()
	past := r.policy.Policy.Description().Observation.Past
	m.Mesh = &controller.Offered{System: t, Pattern: r.pattern, Seed: r.seed, Announced: r.announced, Past: past, Seconds: t.Timing().Seconds()}
	return c.Run(ctx)
}

// later is a mesh that is started when the lease is there.
type later struct {
	controller.Mesh
	space *mesh.Space
}

func (l *later) Space() *mesh.Space { return l.space }

func (l *later) First() mesh.State {
	return l.Mesh.(interface{ First() mesh.State }).First()
}

// stepLog is where steps are appended to, if it has a path.
type stepLog struct {
	path string
	file *appendfile.File
}

func (l *stepLog) open() (err error) {
	if l.path == "" {
		return nil
	}
	if l.file, err = appendfile.Open(l.path, appendfile.Lines); err != nil {
		return fmt.Errorf("-log: %w", err)
	}
	return nil
}

func (l *stepLog) add(e controller.Entry) {
	if l.file == nil {
		return
	}
	b, err := json.Marshal(e)
	if err == nil {
		err = l.file.Append(append(b, '\n'))
	}
	if err == nil {
		err = l.file.Sync()
	}
	if err != nil {
		warn("-log: %v", err)
	}
}

func (l *stepLog) close() {
	if l.file == nil {
		return
	}
	if err := l.file.Close(); err != nil {
		warn("-log: %v", err)
	}
	l.file = nil
}

// serve serves the status page.
func (r *running) serve(c *controller.Controller) (stop func(), err error) {
	if r.listen == "none" {
		return func() {}, nil
	}
	l, err := service.Listen(r.listen)
	if err != nil {
		return nil, fmt.Errorf("-listen: %w; give another, or none", err)
	}
	s := service.NewServer(c.Handler(), service.Limits{Connections: 256})
	go s.Serve(l)
	fmt.Fprintf(stdout, "status: http://%s\n", l.Addr())
	return func() { s.Close() }, nil
}
