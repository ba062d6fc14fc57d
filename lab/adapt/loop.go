package adapt

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"time"

	"github.com/meshbench/meshbench/lab/control"
	"github.com/meshbench/meshbench/lab/mesh"
	"github.com/meshbench/meshbench/lab/model"
	"github.com/meshbench/meshbench/lab/optimum"
	"github.com/meshbench/meshbench/lab/policy"
	"github.com/meshbench/meshbench/lab/rollout"
)

// Config is what a Loop goes by.
type Config struct {
	// Model is of the mesh as it was learned. One that is a model.Slower can be told
	// how the mesh has changed; any other is corrected by residuals alone.
	Model control.Model
	// Value values a model of the present mesh, of which knobs are late by so many s
	// (see optimum.Config.Late; nil for none).
	Value func(m control.Model, late []float64) (*optimum.Rewards, error)
	// Base makes the policy that is in charge while nothing has changed.
	Base func() (policy.Policy, error)
	// Monitor was calibrated with Model and Base.
	Monitor *Monitor
	// Seconds is the time from one step to the next.
	Seconds float64

	// Rollout takes charge after an alarm; nil does not.
	Rollout *Rollout
	// Learn learns a policy for the present mesh, in the background; it takes charge
	// when it is done, or where there is Rollout becomes one of its bases. nil does
	// not learn.
	Learn func(ctx context.Context, present *optimum.Rewards, seed uint64) (policy.Policy, error)
	// LearnAfter is how many steps after an alarm learning begins. Default 12.
	LearnAfter int
	// LearnFor is how many steps later the learned policy is taken, waited for where
	// it is not done; 0 takes it when it is done, so that the run depends on how fast
	// the machine is.
	LearnFor int
	// Explore is how data is gathered after an alarm. Default not at all.
	Explore Explore
	// Residuals corrects the model by what the estimate does not explain, from so many
	// steps after an alarm on. Default 12; negative never does.
	Residuals int
	// Told is the mesh's estimate from step At on, known without a measurement: an
	// oracle. nil for none.
	Told func(t int) *Estimate
}

// Rollout is how rollout decides; see rollout.Policy.
type Rollout struct {
	Loads rollout.Loads
	// Horizon is that of a mesh in time; what is late is added.
	Horizon, Samples int
	Gamma            float64
	Joint            bool
	Budget           time.Duration
}

// Who is in charge.
type Who int

const (
	// Base is the policy of the mesh as it was.
	Base Who = iota
	// Rollout over the policies that are there, by the present model.
	ByRollout
	// Learned is a policy that was learned for the present mesh.
	Learned
	// Hold asks for what was asked for last, because whoever was in charge failed.
	Hold
)

func (w Who) String() string { return [...]string{"base", "rollout", "learned", "hold"}[w] }

// Charge says who is in charge, since which step, and why. It is a value that is
// never changed: a new one takes its place.
type Charge struct {
	Who   Who
	Since int
	Why   string
	// Estimate is how the mesh is thought to differ.
	Estimate Estimate

	policy policy.Policy
}

// Status is what a Loop can be asked at any time, from any goroutine.
type Status struct {
	Charge
	Statistic float64 // of the monitor, 1 for an alarm
	Alarms    []int   // steps, after which there was one
	// Acted are those of them whose steps, looked at closely, say that the mesh has
	// changed; the others were dismissed.
	Acted    []int
	Overdue  float64 // s for which a knob is not in force that was to be by now
	Learning bool
	Trained  []float64 // s that each training that has ended took
	Explored int       // steps
	Failed   int       // decisions that whoever was in charge could not make
	Err      error     // why the last of them failed
}

// Loop keeps a mesh under control while it changes. It is a policy.Policy whose
// Observe is told of every step: episode.Run(ctx, env, loop, steps, seed,
// loop.Observe) is all of it. It is for one goroutine, but for Status.
type Loop struct {
	cfg    Config
	space  *mesh.Space
	status atomic.Pointer[Status]

	monitor *Monitor
	late    *lateness
	base    policy.Policy
	charge  Charge
	now     Status
	seed    uint64
	t       int
	rows    []Row // since from, at most window
	from    int   // step at which the mesh is thought to have changed; -1 never
	alarmed int   // last alarm
	told    *Estimate
	present *optimum.Rewards // nil while nothing has changed
	learned policy.Policy    // for the mesh of the alarm of step taught
	taught  int
	taughtE Estimate
	// learnedAt is when it was.
	learnedAt int
	job       *job
	explore   explorer
	last      mesh.Action // asked for
	state     mesh.State
}

const (
	// window bounds the rows that an estimate is from: the last ones, since queues of
	// the first are those of a mesh that nobody had looked after.
	window = 24
	// kept bounds the rows of before an alarm.
	kept = 64
	// leastRows are needed for an estimate.
	leastRows = 3
	// settles is for how many steps after an alarm the estimate is made anew in each, so
	// that what does not fit yet is no further alarm; then it is every `often` steps,
	// until rows are a window.
	settles, often = 8, 4
)

// job is a training in the background.
type job struct {
	begun, alarmed int
	estimate       Estimate // that the mesh is learned for
	cancel         context.CancelFunc
	done           chan struct{}
	policy         policy.Policy
	seconds        float64
	err            error
}

// New returns a loop that is to be Reset.
func New(cfg Config) (*Loop, error) {
	if cfg.Model == nil || cfg.Value == nil || cfg.Base == nil || cfg.Monitor == nil || !(cfg.Seconds > 0) {
		return nil, errors.New("adapt: a loop needs Model, Value, Base, Monitor and Seconds")
	}
	if cfg.LearnAfter == 0 {
		cfg.LearnAfter = 12
	}
	if cfg.Residuals == 0 {
		cfg.Residuals = 12
	}
	cfg.Explore = cfg.Explore.defaults()
	l := &Loop{cfg: cfg, space: cfg.Model.Space(), monitor: cfg.Monitor.Clone()}
	l.late = newLateness(l.space, cfg.Seconds)
	var err error
	if l.base, err = cfg.Base(); err != nil {
		return nil, fmt.Errorf("adapt: base: %w", err)
	}
	l.Reset(0)
	return l, nil
}

// Name is "adaptive ppo" over a base "ppo".
func (l *Loop) Name() string { return "adaptive " + l.base.Name() }

// SeesDelays is true: measurements decide who is in charge.
func (l *Loop) SeesDelays() bool { return true }

// Reset begins a run; a training under way is given up.
func (l *Loop) Reset(seed uint64) {
	l.Close()
	l.seed, l.t, l.rows, l.from, l.told = seed, 0, nil, -1, nil
	l.present, l.learned, l.last = nil, nil, nil
	l.monitor.Reset()
	l.late.reset()
	l.base.Reset(seed)
	l.explore = explorer{Explore: l.cfg.Explore, rng: rand.New(rand.NewPCG(seed, 0x6578706c6f7265))}
	l.now = Status{}
	l.charge = Charge{Who: Base, Why: "nothing has changed", Estimate: newEstimate(l.space), policy: l.base}
	l.publish()
}

// Close gives up a training under way.
func (l *Loop) Close() {
	if l.job != nil {
		l.job.cancel()
		<-l.job.done
		l.job = nil
	}
}

// Status says who is in charge, and why.
func (l *Loop) Status() Status { return *l.status.Load() }

func (l *Loop) publish() {
	s := l.now
	s.Charge, s.Learning = l.charge, l.job != nil
	s.Alarms, s.Acted, s.Trained = slices.Clone(l.now.Alarms), slices.Clone(l.now.Acted), slices.Clone(l.now.Trained)
	l.status.Store(&s)
}

// takeOver puts another in charge from the next decision on.
func (l *Loop) takeOver(who Who, p policy.Policy, e Estimate, why string) {
	l.charge = Charge{Who: who, Since: l.t, Why: why, Estimate: e, policy: p}
}

// Act decides. What it returns is an action of the space that may be asked for in
// s; where whoever is in charge has none, it is the base's, and where that has none
// what was asked for last.
func (l *Loop) Act(s mesh.State) (mesh.Action, error) {
	if l.cfg.Told != nil {
		if e := l.cfg.Told(l.t); e != nil && l.told == nil {
			l.told = e
			if err := l.adapt(*e, "told so"); err != nil {
				return nil, err
			}
		}
	}
	a, err := l.decide(s)
	if err != nil {
		l.now.Failed++
		l.now.Err = err
		if a, err = l.valid(l.base, s); err != nil {
			if l.last == nil {
				return nil, fmt.Errorf("adapt: %w", err)
			}
			a = l.last
			if l.charge.Who != Hold {
				l.takeOver(Hold, hold{l.last.Clone()}, l.charge.Estimate, err.Error())
			}
		}
	}
	l.last = append(l.last[:0], a...)
	l.publish()
	return l.last, nil
}

func (l *Loop) decide(s mesh.State) (mesh.Action, error) {
	a, err := l.valid(l.charge.policy, l.overdue(s))
	if err != nil {
		return nil, err
	}
	if l.charge.Estimate.unequal && (l.charge.Who == ByRollout || l.charge.Who == Learned) { // how late a knob is needs no exploring
		b, err := l.explore.try(s, a, l.t-l.alarmed)
		if err != nil {
			return nil, err
		}
		if b != nil {
			l.now.Explored++
			a = b
		}
	}
	return a, nil
}

// valid is what a policy asks for, if that may be asked for. Where knobs move by
// increments it is as far towards it as one step goes.
func (l *Loop) valid(p policy.Policy, s mesh.State) (mesh.Action, error) {
	a, err := p.Act(s)
	if err != nil {
		return nil, err
	}
	if err := l.space.Validate(a); err != nil {
		return nil, fmt.Errorf("policy %s: %w", p.Name(), err)
	}
	return a, nil
}

// overdue is s as rollout takes it: the time that is left of what is late is below
// 0 by how long it is overdue.
func (l *Loop) overdue(s mesh.State) mesh.State {
	if l.charge.Who != ByRollout || l.charge.Estimate.late() == nil {
		return s
	}
	l.state.Pending = append(l.state.Pending[:0], s.Pending...)
	for n := range l.state.Pending {
		if p := &l.state.Pending[n]; p.Left <= 0 {
			p.Left = -l.late.waiting(p.Knob, s.Time)
		}
	}
	s.Pending = l.state.Pending
	return s
}

// Observe takes the step that followed the last decision. It is an episode.Watch.
func (l *Loop) Observe(x control.Step) {
	if err := l.observe(x); err != nil {
		l.now.Failed++
		l.now.Err = err
	}
	l.publish()
}

func (l *Loop) observe(x control.Step) error {
	var before *Row
	if len(l.rows) > 0 {
		before = &l.rows[len(l.rows)-1]
	}
	r := newRow(x, l.space, before)
	l.t = x.T + 1
	l.rows = append(l.rows, r)
	if len(l.rows) > kept {
		l.rows = l.rows[1:]
	}
	late := l.late.observe(x)
	if late >= 0 && l.gone(late, l.charge.Estimate) {
		late = -1
	}
	l.now.Overdue = 0
	for h := range l.space.Knobs() {
		l.now.Overdue = max(l.now.Overdue, l.late.waiting(h, x.Next.Time))
	}
	if l.cfg.Told != nil {
		return l.finish()
	}
	m, factor := l.cfg.Model, [][]float64(nil)
	if l.present != nil {
		m, factor = l.present.Model(), l.charge.Estimate.factors()
	}
	statistic, said, err := l.monitor.Add(m, factor, r)
	if err != nil {
		return err
	}
	l.now.Statistic = statistic
	lost, back := l.lost(), l.back(r)
	switch {
	case back >= 0:
		l.alarm(r.T, l.space.Mesh().Nodes[back].Name+" answers again")
		l.charge.Estimate = l.charge.Estimate.found(back)
	case lost >= 0:
		l.alarm(max(l.t-lostSteps, 0), l.space.Mesh().Nodes[lost].Name+" answers nothing")
	case statistic >= 1 && (l.from < 0 || l.t-l.alarmed > settles):
		onset, k := l.monitor.chart.Onset()
		l.alarm(l.t-onset, l.monitor.Name(k))
	case late >= 0 && l.charge.Estimate.Late[late] == 0:
		l.alarm(l.t, l.space.Knobs()[late].Name+" in force at another time than expected")
	case late >= 0 || l.from >= 0 && (l.t-l.alarmed <= settles || l.adapts() && said && (l.t-l.alarmed)%often == 0 && l.t-l.alarmed <= kept):
		// The estimate is made anew.
	default:
		return l.finish()
	}
	if err := l.estimate(); err != nil {
		return err
	}
	return l.finish()
}

// adapts reports whether anybody acts on an estimate.
func (l *Loop) adapts() bool { return l.cfg.Rollout != nil || l.cfg.Learn != nil }

// alarm takes note of one: the mesh is thought to have changed before step from.
func (l *Loop) alarm(from int, what string) {
	l.now.Alarms = append(l.now.Alarms, l.t)
	l.from, l.alarmed = from, l.t
	l.charge.Why = "alarm: " + what
	l.Close()
	l.explore.lost = 0
	l.monitor.Reset()
}

// gone reports whether a knob is of a node that is lost by an estimate: what is asked
// of it does not come at all, and is not late.
func (l *Loop) gone(knob int, e Estimate) bool {
	k := &l.space.Knobs()[knob]
	return k.Info.Scope == mesh.PerNode && math.IsInf(e.Node[k.Of], 1)
}

// lost is a node that answers nothing of what is sent to it, and is not known to
// be lost; -1 for none.
func (l *Loop) lost() int {
	for j, f := range l.charge.Estimate.Node {
		if rows := l.rows[max(0, len(l.rows)-lostSteps):]; !math.IsInf(f, 1) && l.monitor.lost(rows, j) {
			return j
		}
	}
	return -1
}

// back is a node that is thought to be lost and answers, -1 for none.
func (l *Loop) back(r Row) int {
	for e, at := range l.space.Layout().Endpoints {
		if math.IsInf(l.charge.Estimate.Node[at.Node], 1) && r.Measurement.Endpoint[e].Count > 0 {
			return at.Node
		}
	}
	return -1
}

// since are the rows of the present mesh that an estimate is from.
func (l *Loop) since() []Row {
	var rows []Row
	for _, r := range l.rows {
		if r.T >= l.from {
			rows = append(rows, r)
		}
	}
	return rows[max(0, len(rows)-window):]
}

// estimate says how the mesh differs, by the rows since it has, and puts in charge
// who is to be.
func (l *Loop) estimate() error {
	rows := l.since()
	e := l.charge.Estimate.clone()
	if j := l.lost(); j >= 0 {
		e.Node[j], e.unequal = math.Inf(1), true
	} else if len(rows) >= leastRows {
		lost := make([]bool, len(e.Node))
		for j, f := range e.Node {
			lost[j] = math.IsInf(f, 1) // until it answers
		}
		now, err := l.monitor.identify(l.cfg.Model, rows, lost)
		if err != nil {
			return err
		}
		better, err := l.explains(now, e, rows)
		if err != nil {
			return err
		}
		if better {
			e = now
		}
	}
	copy(e.Late, l.late.late)
	for h := range e.Late {
		if l.gone(h, e) {
			e.Late[h] = 0
		}
	}
	switch {
	case !e.Same():
	case l.present != nil:
		l.present, l.learned, l.explore.pays = nil, nil, nil
		l.monitor.Reset()
		l.takeOver(Base, l.base, e, "as it was learned, again")
		return nil
	default:
		return nil
	}
	if n := len(l.now.Acted); n == 0 || l.now.Acted[n-1] != l.alarmed {
		l.now.Acted = append(l.now.Acted, l.alarmed)
	}
	return l.adapt(e, e.Say(l.space))
}

// explains reports whether estimate e explains rows better than what is thought
// now: where they say nothing of it, that stays as it is, and a mesh is not taken
// for the one that was learned before they say so.
func (l *Loop) explains(e, now Estimate, rows []Row) (bool, error) {
	var misfit [2]float64
	for k, x := range []Estimate{e, now} {
		m, err := l.slower(x)
		if err != nil {
			return false, err
		}
		if misfit[k], err = l.monitor.misfit(m, x.factors(), rows); err != nil {
			return false, err
		}
	}
	margin := 0.0
	if !e.unequal && now.unequal {
		margin = worthAFactor / 2
	}
	return misfit[0] < misfit[1]-margin, nil
}

// adapt makes the present model of an estimate, and has rollout decide by it.
func (l *Loop) adapt(e Estimate, why string) error {
	m, err := l.foresee(e)
	if err != nil {
		return err
	}
	if l.present, err = l.cfg.Value(m, e.late()); err != nil {
		return fmt.Errorf("adapt: %w", err)
	}
	l.monitor.Reset()
	if l.cfg.Explore.Share > 0 {
		if err := l.bound(e); err != nil {
			return err
		}
	}
	if l.cfg.Rollout == nil {
		if l.learned == nil {
			l.takeOver(Base, l.base, e, why)
		} else {
			l.takeOver(Learned, l.learned, e, why)
		}
		return nil
	}
	p, err := l.rollout(e)
	if err != nil {
		return err
	}
	l.takeOver(ByRollout, p, e, why)
	return nil
}

// slower is the model as an estimate of it says, without residuals.
func (l *Loop) slower(e Estimate) (control.Model, error) {
	s, ok := l.cfg.Model.(model.Slower)
	if !ok {
		return l.cfg.Model, nil
	}
	m, err := s.Slower(e.factors())
	if err != nil {
		return nil, fmt.Errorf("adapt: %w", err)
	}
	return m, nil
}

// foresee is the model of the mesh that an estimate is of.
func (l *Loop) foresee(e Estimate) (control.Model, error) {
	m, err := l.slower(e)
	if err != nil {
		return nil, err
	}
	if rows := l.since(); l.cfg.Residuals > 0 && l.told == nil && l.t-l.alarmed >= l.cfg.Residuals && len(rows) >= leastRows {
		return l.monitor.NewResiduals(m, e.factors(), rows)
	}
	return m, nil
}

// bound gives the explorer the present mesh and one that is slower.
func (l *Loop) bound(e Estimate) (err error) {
	worse := e.clone()
	worse.unequal = true
	for j := range worse.Node {
		worse.Node[j] *= l.cfg.Explore.Pessimism
	}
	m, err := l.foresee(worse)
	if err != nil {
		return err
	}
	l.explore.pays = l.present
	l.explore.careful, err = l.cfg.Value(m, e.late())
	return err
}

// rollout is over what would be done if the load were as much higher as the mesh is
// slower, what pays most if it were in force at once, what is done already, and what
// was learned.
func (l *Loop) rollout(e Estimate) (policy.Policy, error) {
	base, err := l.cfg.Base()
	if err != nil {
		return nil, fmt.Errorf("adapt: base: %w", err)
	}
	r := l.cfg.Rollout
	longest := 0.0
	for _, v := range e.Late {
		longest = max(longest, v)
	}
	p := &rollout.Policy{Rewards: l.present, Base: &equivalent{Policy: base, space: l.space, estimate: e}, Loads: r.Loads,
		Horizon: r.Horizon + int(math.Ceil(longest/l.cfg.Seconds)), Samples: r.Samples, Gamma: r.Gamma, Joint: r.Joint, Sweeps: 2, Budget: r.Budget}
	p.Also = append(p.Also, policy.Greedy{Optimum: l.present}, rollout.Stay{Space: l.space})
	if l.learned != nil {
		p.Also = append(p.Also, l.learned)
	}
	p.Reset(l.seed + uint64(l.t)<<32)
	return p, nil
}

// finish begins a training where it is time, and takes what one has learned.
func (l *Loop) finish() error {
	if j := l.job; j != nil {
		if l.cfg.LearnFor > 0 {
			if l.t-j.begun < l.cfg.LearnFor {
				return nil
			}
			<-j.done
		} else {
			select {
			case <-j.done:
			default:
				return nil
			}
		}
		l.job = nil
		j.cancel()
		if j.err != nil {
			return fmt.Errorf("adapt: training: %w", j.err)
		}
		l.now.Trained = append(l.now.Trained, j.seconds)
		l.learned, l.taught, l.taughtE, l.learnedAt = j.policy, j.alarmed, j.estimate, l.t
		if l.cfg.Rollout != nil {
			return l.adapt(l.charge.Estimate, l.charge.Estimate.Say(l.space)+"; a policy was learned for it")
		}
		l.takeOver(Learned, l.learned, l.charge.Estimate, l.charge.Estimate.Say(l.space))
		return nil
	}
	if l.cfg.Learn == nil || l.present == nil || l.learned != nil && l.taught >= l.alarmed && (l.t-l.learnedAt < kept || !l.charge.Estimate.far(l.taughtE, l.space)) || l.told == nil && l.t-l.alarmed < l.cfg.LearnAfter {
		return nil
	}
	ctx, cancel := context.WithCancel(context.Background())
	j := &job{begun: l.t, alarmed: l.alarmed, estimate: l.charge.Estimate.clone(), cancel: cancel, done: make(chan struct{})}
	present, seed := l.present, l.seed+uint64(l.t)
	go func() {
		defer close(j.done)
		begin := time.Now()
		j.policy, j.err = l.cfg.Learn(ctx, present, seed)
		j.seconds = time.Since(begin).Seconds()
	}()
	l.job = j
	return nil
}

// equivalent is a policy that sees as much more load as a mesh has become slower.
type equivalent struct {
	policy.Policy
	space    *mesh.Space
	estimate Estimate
	state    mesh.State
}

// Act is what the policy does under the equivalent load.
func (p *equivalent) Act(s mesh.State) (mesh.Action, error) {
	l := p.space.Layout()
	for len(p.state.Past) < len(s.Past) {
		p.state.Past = append(p.state.Past, nil)
	}
	p.state.Load = append(p.state.Load[:0], s.Load...)
	for k := range s.Past {
		p.state.Past[k] = append(p.state.Past[k][:0], s.Past[k]...)
	}
	for i := range s.Load {
		share := max(p.estimate.Capacity(l, i), .01)
		p.state.Load[i] /= share
		for k := range s.Past {
			p.state.Past[k][i] /= share
		}
	}
	s.Load, s.Past = p.state.Load, p.state.Past[:len(s.Past)]
	return p.Policy.Act(s)
}

// hold asks for the same again.
type hold struct{ action mesh.Action }

func (hold) Name() string                          { return "hold" }
func (hold) Reset(uint64)                          {}
func (h hold) Act(mesh.State) (mesh.Action, error) { return h.action, nil }

// Factor is the estimate of a mesh whose factors are known: of service times per
// node and per microservice, +Inf for a lost node, and lateness of knobs, s.
func Factor(space *mesh.Space, node, work, late []float64) Estimate {
	e := newEstimate(space)
	copy(e.Node, node)
	copy(e.Work, work)
	copy(e.Late, late)
	for _, f := range append(append([]float64(nil), e.Node...), e.Work...) {
		e.unequal = e.unequal || f != 1 && !math.IsNaN(f)
	}
	return e
}
