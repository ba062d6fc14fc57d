package importer

import (
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/meshbench/meshbench/lab/internal/csvfile"
	"github.com/meshbench/meshbench/lab/mesh"
	"github.com/meshbench/meshbench/lab/trace"
)

// assembler puts rows together: those of a moment to an interval, intervals to a
// step.
type assembler struct {
	*plan
	table *trace.Table
	out   *Outcome

	now       interval
	open      bool
	begun     bool
	first     int        // step of the first row
	intervals []interval // of the step that is being put together
	bucket    int        // its number
	action    mesh.Action
}

// interval is what was measured in the time that a row is about.
type interval struct {
	slot   int // number of the interval: steps between them are those without a row
	time   time.Time
	mark   string
	values []float64 // of the fields, NaN for a missing one
	have   []bool    // services that a row was about
	rows   int
	first  Place
	bad    *problem
}

func newAssembler(p *plan, t *trace.Table, out *Outcome) *assembler {
	out.Ignored = p.ignored()
	for _, c := range p.left {
		out.note("%s: the scenario has no %s, for which it is meant", c.Column, c.Field)
	}
	for _, s := range p.sources {
		out.Columns = append(out.Columns, Use{Column: s.Column.Column, Field: s.Field, Unit: s.unit.name})
		if f := p.fields[s.fields[0]]; p.joined() > 1 && percentile(f) {
			out.note("%s: percentiles of rows cannot be joined to those of a step; they are missing", s.Column.Column)
		}
	}
	return &assembler{plan: p, table: t, out: out, action: make(mesh.Action, len(p.knobs))}
}

// refuse counts rows that cannot be used, or is the error that a policy asks for.
func (a *assembler) refuse(policy Policy, rows int, at Place, p *problem) error {
	if policy == Refuse {
		return fmt.Errorf("%s: %s", at, p.detail)
	}
	a.out.add(rows, at, p)
	return nil
}

// add takes the next row of the file, and what is wrong with it.
func (a *assembler) add(r row, bad *problem) error {
	if !r.timed && (a.time >= 0 || a.step >= 0) {
		return a.refuse(a.Unusable, 1, r.place, bad)
	}
	same, amiss, policy := a.place(&r)
	if amiss != nil {
		return a.refuse(policy, 1, r.place, amiss)
	}
	if !same {
		if err := a.next(r); err != nil {
			return err
		}
	}
	if bad != nil {
		return a.refuse(a.Unusable, 1, r.place, bad)
	}
	x := &a.now
	if x.rows == 0 {
		x.first = r.place
	}
	x.rows++
	if r.service >= 0 {
		x.have[r.service] = true
	}
	if r.mark != "" && x.mark == "" {
		x.mark = r.mark
	}
	for _, v := range r.values {
		if have := x.values[v.field]; !math.IsNaN(have) && have != v.v && x.bad == nil {
			name := a.fields[v.field].Name
			x.bad = &problem{"rows of one moment differ in " + name, fmt.Sprintf("%s is %v and, in %s, %v; accepted: one value for all services", name, have, r.place, v.v)}
		}
		x.values[v.field] = v.v
	}
	for _, s := range r.missing {
		a.out.Columns[s].Missing++
	}
	return nil
}

// place tells whether a row belongs to the interval that is open, or what is
// amiss with its time. It sets the row's step to the number of its interval.
func (a *assembler) place(r *row) (same bool, amiss *problem, policy Policy) {
	if !a.begun {
		a.begun = true
		if a.step >= 0 {
			a.first = r.step
			if a.joined() == 1 {
				a.first = 0
			}
			r.step -= a.first
		}
		return false, nil, ""
	}
	several := a.entry != nil
	again := func() bool { return r.service >= 0 && a.now.have != nil && a.now.have[r.service] }
	switch {
	case a.time >= 0:
		passed := r.time.Sub(a.now.time).Seconds()
		half := a.Row / 2
		switch {
		case passed < 0 && (!several || passed < -half):
			return false, a.amiss(r, "clock goes back", fmt.Sprintf("%.6g s before the row before; sort the rows by time", -passed)), a.Back
		case passed < half && several && !again():
			return true, nil, ""
		case passed < half:
			return false, a.amiss(r, "step that is there", fmt.Sprintf("%.6g s after the row before; a row is about %v s", passed, a.Row)), a.Duplicates
		}
		r.step = a.now.slot + max(1, int(math.Round(passed/a.Row)))
	case a.step >= 0:
		r.step -= a.first
		switch {
		case r.step < a.now.slot:
			return false, a.amiss(r, "clock goes back", fmt.Sprintf("after step %d; sort the rows by step", a.now.slot+a.first)), a.Back
		case r.step == a.now.slot && several && !again():
			return true, nil, ""
		case r.step == a.now.slot:
			return false, a.amiss(r, "step that is there", "there was such a row before"), a.Duplicates
		}
	case several && !again():
		return true, nil, ""
	default:
		r.step = a.now.slot + 1
	}
	return false, nil, ""
}

// amiss is a problem of a row's time.
func (a *assembler) amiss(r *row, reason, why string) *problem {
	column, at := a.header[max(a.time, a.step)], fmt.Sprint(r.step+a.first)
	if a.time >= 0 {
		at = r.time.Format(time.RFC3339Nano)
		if !a.clock.dated {
			at = fmt.Sprintf("%v s", float64(r.time.UnixNano())/1e9)
		}
	}
	return &problem{reason, fmt.Sprintf("column %s says %s: %s", csvfile.Short(column), at, why)}
}

// next ends the interval that is open, and opens that of row r.
func (a *assembler) next(r row) error {
	if a.open {
		if err := a.close(); err != nil {
			return err
		}
		if gap := r.step - a.now.slot - 1; gap > 0 {
			if a.Gaps == Refuse {
				return fmt.Errorf("%s: %d steps without a row before it; accepted by gaps: refuse: none", r.place, gap)
			}
			if a.out.Gaps == 0 {
				a.out.Gap = r.place
			}
			a.out.Gaps++
			a.out.Lost += gap
		}
	}
	a.open = true
	values := a.now.values
	if values == nil || a.joined() > 1 { // joined ones are kept until their step is whole
		values = make([]float64, len(a.fields))
	}
	for k := range values {
		values[k] = math.NaN()
	}
	a.now = interval{slot: r.step, time: r.time, values: values}
	if a.entry != nil {
		a.now.have = make([]bool, a.space.Mesh().M())
	}
	return nil
}

// close completes the interval that is open, and hands it on where it is sound.
func (a *assembler) close() error {
	x := &a.now
	if x.rows == 0 {
		return nil // its rows were counted
	}
	bad := x.bad
	for i, ok := range x.have {
		if !ok && bad == nil {
			name := a.space.Mesh().Services[i].Name
			bad = &problem{"a service has no row at that moment", fmt.Sprintf("service %s has no row that can be used; accepted: one of every service", csvfile.Short(name))}
		}
	}
	for _, s := range a.set {
		x.values[s.field] = s.value
	}
	for _, r := range a.rests {
		left := 1.0
		for _, k := range r.others {
			left -= x.values[k]
		}
		// Decimal shares leave a decimal one.
		if left = math.Round(left*1e12) / 1e12; left < 0 && bad == nil {
			bad = &problem{"weights sum to more than 1", fmt.Sprintf("the weights %s sum to %v; accepted: at most 1, and %s is what they leave", r.name, 1-left, a.fields[r.field].Name)}
		}
		x.values[r.field] = left
	}
	if bad == nil {
		for k, at := range a.knobs {
			a.action[k] = x.values[at]
		}
		if err := a.space.ValidateInForce(a.action); err != nil {
			bad = &problem{"the action is not accepted", err.Error()}
		}
	}
	if bad != nil {
		return a.refuse(a.Unusable, x.rows, x.first, bad)
	}
	if a.joined() == 1 {
		return a.append(x.slot, *x, x.rows)
	}
	if bucket := x.slot / a.joined(); bucket != a.bucket || len(a.intervals) == 0 {
		if err := a.flush(); err != nil {
			return err
		}
		a.bucket = bucket
	}
	a.intervals = append(a.intervals, *x)
	if len(a.intervals) == a.joined() {
		return a.flush()
	}
	return nil
}

// end takes the end of the file.
func (a *assembler) end() error {
	if a.open {
		if err := a.close(); err != nil {
			return err
		}
	}
	return a.flush()
}

// flush makes a step of the intervals that were kept.
func (a *assembler) flush() error {
	if len(a.intervals) == 0 {
		return nil
	}
	list := a.intervals
	a.intervals = a.intervals[:0]
	rows := 0
	for _, x := range list {
		rows += x.rows
	}
	if len(list) < a.joined() {
		return a.refuse(a.Unusable, rows, list[0].first, &problem{"a step lacks rows", fmt.Sprintf("the step of %v s that it begins has %d of %d rows that can be used", a.Step, len(list), a.joined())})
	}
	for _, x := range list[1:] {
		for _, k := range a.knobs {
			if x.values[k] != list[0].values[k] {
				name := a.fields[k].Name
				return a.refuse(a.Unusable, rows, list[0].first, &problem{"the action changes within a step", fmt.Sprintf("%s is %v and, in %s, %v within a step of %v s; accepted: one action", name, list[0].values[k], x.first, x.values[k], a.Step)})
			}
		}
	}
	return a.append(a.bucket, a.join(list), rows)
}

// append adds a step to the table.
func (a *assembler) append(step int, x interval, rows int) error {
	for k, f := range a.fields {
		// A mean that is missing is of no request, as far as is known.
		if a.mapped[k] && f.Kind == trace.Seconds && !percentile(f) && math.IsNaN(x.values[k]) {
			if n := a.at[f.Name+"_n"]; math.IsNaN(x.values[n]) {
				x.values[n] = 0
			}
		}
	}
	var start time.Time
	if a.clock.dated {
		start = x.time
	}
	if err := a.table.AppendValues(step, start, x.mark, x.values); err != nil {
		return a.refuse(a.Unusable, rows, x.first, &problem{"the trace does not take it", err.Error()})
	}
	a.out.Steps++
	a.out.Used += rows
	return nil
}

// percentile reports whether a field is a percentile of delays.
func percentile(f trace.Field) bool {
	return f.Kind == trace.Seconds && slices.ContainsFunc([]string{"_p50", "_p95", "_p99"}, func(suffix string) bool {
		return len(f.Name) > len(suffix) && f.Name[len(f.Name)-len(suffix):] == suffix
	})
}
