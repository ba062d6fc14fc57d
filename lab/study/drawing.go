package study

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/meshbench/meshbench/lab/figure"
	"github.com/meshbench/meshbench/lab/scenario"
)

// Needs is what has to be there before a drawing is made.
type Needs int

const (
	NeedsScenario Needs = iota // nothing but the scenario and its traces
	NeedsRun                   // the study was run
	NeedsTrial                 // policies were evaluated on a testbed
)

func (n Needs) String() string { return [...]string{"scenario", "study", "trial"}[n] }

// Drawing is a figure or a table of a study. All that is said about drawings
// follows from the list of them: what Draw accepts, usage texts, what is run.
type Drawing struct {
	Name string
	// Title says in a few words what it shows.
	Title string
	Needs Needs
	// Long ones take minutes and are only made when they are named.
	Long bool
	// PerSource makes one for every trace, those after the first with the trace's
	// name added.
	PerSource bool
	// For says which scenarios it is for; nil means all.
	For func(s scenario.Scenario) bool
	// Make makes it for a source, the first one but for PerSource. ErrNoData says
	// that there is nothing to draw.
	Make func(ctx context.Context, r *Result, s Source) (Output, error)
}

// Output is what a drawing makes: either or both.
type Output struct {
	Figure *figure.Figure
	Table  *figure.Table
}

// ErrNoData is why something cannot be drawn.
var ErrNoData = errors.New("there is no data for it")

var (
	drawingsMu sync.Mutex
	drawings   []Drawing
)

// RegisterDrawing adds a drawing to those that Draw makes. It panics for a name
// that is there.
func RegisterDrawing(d Drawing) {
	drawingsMu.Lock()
	defer drawingsMu.Unlock()
	for _, have := range drawings {
		if have.Name == d.Name {
			panic(fmt.Sprintf("study: RegisterDrawing of %q, which is there", d.Name))
		}
	}
	drawings = append(drawings, d)
}

// Drawings are all that are registered and are for a scenario, in the order in
// which they were.
func Drawings(s scenario.Scenario) []Drawing {
	drawingsMu.Lock()
	defer drawingsMu.Unlock()
	var list []Drawing
	for _, d := range drawings {
		if d.For == nil || d.For(s) {
			list = append(list, d)
		}
	}
	return list
}

// Chosen are the drawings of the given names: without a name all that are not
// long. Its error is the first name that is unknown.
func Chosen(s scenario.Scenario, names []string) ([]Drawing, error) {
	all := Drawings(s)
	var list []Drawing
	var known []string
	for _, d := range all {
		known = append(known, d.Name)
		if len(names) == 0 && !d.Long || slices.Contains(names, d.Name) {
			list = append(list, d)
		}
	}
	for _, n := range names {
		if !slices.Contains(known, n) {
			return nil, fmt.Errorf("study: no figure or table %q for scenario %s; accepted: %s", n, s.Name, strings.Join(known, ", "))
		}
	}
	return list, nil
}

// Need is the most that any of the drawings needs.
func Need(list []Drawing) Needs {
	most := NeedsScenario
	for _, d := range list {
		most = max(most, d.Needs)
	}
	return most
}

// Draw writes figures and tables into dir: those of names, or all that the
// result has the data for when there is none. It returns what it wrote.
func (r *Result) Draw(ctx context.Context, dir string, names ...string) ([]string, error) {
	list, err := Chosen(r.Config.Scenario(), names)
	if err != nil {
		return nil, err
	}
	var wrote []string
	for _, d := range list {
		for k, s := range r.Config.Sources {
			if k > 0 && !d.PerSource {
				break
			}
			name := d.Name
			if k > 0 {
				name += "-" + s.Name
			}
			out, err := d.Make(ctx, r, s)
			if errors.Is(err, ErrNoData) && (len(names) == 0 || k > 0) {
				continue
			}
			if err != nil {
				return wrote, fmt.Errorf("draw %s: %w", name, err)
			}
			if out.Figure != nil {
				err = out.Figure.Save(dir, name)
			}
			if out.Table != nil && err == nil {
				if len(out.Table.Rows) == 0 {
					continue
				}
				err = out.Table.Save(dir, name)
			}
			if err != nil {
				return wrote, err
			}
			wrote = append(wrote, name)
		}
	}
	return wrote, nil
}

// drawn is the output of a function that draws a figure.
func drawn(f figure.Figure, err error) (Output, error) { return Output{Figure: &f}, err }

// listed is the output of a function that makes a table.
func listed(t figure.Table, err error) (Output, error) { return Output{Table: &t}, err }
