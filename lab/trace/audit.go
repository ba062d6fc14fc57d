package trace

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/meshbench/meshbench/lab/internal/csvfile"
	"github.com/meshbench/meshbench/lab/mesh"
)

// Finding is one reason not to trust a trace as it is.
type Finding struct {
	Code    string             // one of the constants below
	Title   string             // what is wrong, in a few words
	Detail  string             // the same with figures
	Figures map[string]float64 // the figures by name
}

// Codes of the findings.
const (
	ZeroDelays     = "zero-delays"     // delays of 0, which mean that there was no request
	SwappedLabels  = "swapped-labels"  // routing weights labelled as those of another service
	UnroutedDelays = "unrouted-delays" // delays where no request was sent
	CarriedLoad    = "carried-load"    // carried load does not follow l(1-b)
	GeneratedLoad  = "generated-load"  // the generator did not send what was configured
	NotRandom      = "not-random"      // actions in an order or a grid, not drawn at random
	ReferenceDrift = "reference-drift" // the repeated reference cell changed over the run
	MarkedSteps    = "marked-steps"    // disturbed steps
	StepNumbers    = "step-numbers"    // steps missing or there twice
)

// How far from chance a figure must be, in standard deviations, and how large
// in itself, before it is a finding. Six deviations leave room for the many
// groups that are looked at; two percent, for the edges of a step.
const (
	significant = 6
	material    = .02
)

// Audit looks for what would mislead who learns from the trace, and returns
// nothing for a sound one. Marked steps and repeats of the reference cell are
// left out of all tests but their own. It says only what fits the space: of
// routing where calls are routed, of swapped labels where services could be
// taken for each other, of order where knobs may move freely. The published trace has four findings:
// ZeroDelays, SwappedLabels, CarriedLoad and NotRandom.
func Audit(t *Table) []Finding {
	a := auditor{Table: t, layout: t.meta.Space.Layout()}
	for r := range t.Len() {
		reference := t.meta.Reference > 0 && t.step[r]%t.meta.Reference == 0
		switch {
		case t.mark[r] != "":
		case reference:
			a.reference = append(a.reference, r)
		default:
			a.rows = append(a.rows, r)
		}
	}
	a.highest = make([]float64, t.m)
	for k, l := range t.load {
		a.highest[k%t.m] = max(a.highest[k%t.m], l)
	}
	a.assignWeights()
	var findings []Finding
	for _, test := range []func() *Finding{
		a.zeroDelays, a.swappedLabels, a.unroutedDelays, a.carriedLoad, a.generatedLoad,
		a.notRandom, a.referenceDrift, a.markedSteps, a.stepNumbers,
	} {
		if f := test(); f != nil {
			findings = append(findings, *f)
		}
	}
	return findings
}

type auditor struct {
	*Table
	layout    *mesh.Layout
	rows      []int     // neither marked nor reference
	reference []int     // repeats of the reference cell, unmarked
	owner     []int     // owner[c] is the call whose label the weights of call c have
	agree     [][]int   // rows x nodes with weight 0 of call k in which call c's delay is absent, by c, k
	zeroed    []int     // rows x nodes with weight 0, by k
	highest   []float64 // load of each service
}

// absent reports whether no delay of endpoint e was measured in row r.
func (a *auditor) absent(r, e int) bool {
	d := a.endpoint[r*a.e+e].Mean
	return missing(d) || d == 0
}

// weights are the shares of call c's requests in row r, by its own label.
func (a *auditor) weights(r, c int) []float64 { return a.meta.Space.RouteOf(a.actionOf(r), c) }

// weight is what decides whether endpoint e gets requests in row r.
func (a *auditor) weight(r, e int) float64 {
	c := a.layout.Endpoints[e].Call
	return a.weights(r, a.owner[c])[e-a.layout.Calls[c].First]
}

// alike reports whether every call is a service of its own that is routed to the
// same nodes, so that weights may bear each other's labels.
func (a *auditor) alike() bool {
	for c, at := range a.layout.Calls {
		if at.Service != c || a.meta.Space.Find(mesh.Route, c) < 0 || !slices.Equal(at.Nodes, a.layout.Calls[0].Nodes) {
			return false
		}
	}
	return true
}

// assignWeights finds for each call the weights that decide where its requests
// go: a node with weight 0 must have no delay. Labels are doubted only when
// their own call contradicts them and another fits.
func (a *auditor) assignWeights() {
	calls := len(a.layout.Calls)
	a.owner, a.zeroed, a.agree = make([]int, calls), make([]int, calls), make([][]int, calls)
	for c := range calls {
		a.owner[c] = c
		a.agree[c] = make([]int, calls)
	}
	if !a.alike() {
		return
	}
	for _, r := range a.rows {
		for k := range calls {
			for j, p := range a.weights(r, k) {
				if p > 0 {
					continue
				}
				a.zeroed[k]++
				for c := range calls {
					if a.absent(r, a.layout.Calls[c].First+j) {
						a.agree[c][k]++
					}
				}
			}
		}
	}
	for c := range calls {
		if a.share(c, c) > .9 {
			continue
		}
		for k := range calls {
			if a.share(c, k) > .99 && a.share(c, k) > a.share(c, a.owner[c]) {
				a.owner[c] = k
			}
		}
	}
}

// enough is the number of cases from which a share of them says something.
const enough = 20

// share is the part of the zero weights labelled k that leave call c without a
// delay; 1 where there are too few to tell.
func (a *auditor) share(c, k int) float64 {
	if a.zeroed[k] < enough {
		return 1
	}
	return float64(a.agree[c][k]) / float64(a.zeroed[k])
}

func (a *auditor) zeroDelays() *Finding {
	figures := map[string]float64{"rows": float64(a.Len())}
	var parts []string
	note := func(name string, total, routed int) {
		if total == 0 {
			return
		}
		figures[name+"_zero"], figures[name+"_zero_by_routing"] = float64(total), float64(routed)
		parts = append(parts, fmt.Sprintf("%s %d (%d where the weight is 0)", name, total, routed))
	}
	for i := range a.m {
		total := 0
		for r := range a.Len() {
			if a.service[r*a.m+i].Mean == 0 {
				total++
			}
		}
		note(a.Mesh().DelayName(i), total, 0)
	}
	for e, name := range a.DelayNames() {
		total, routed := 0, 0
		for r := range a.Len() {
			if a.endpoint[r*a.e+e].Mean == 0 {
				total++
				if a.weight(r, e) == 0 {
					routed++
				}
			}
		}
		note(name, total, routed)
	}
	if parts == nil {
		return nil
	}
	return &Finding{ZeroDelays, "zeros stand for missing delays",
		fmt.Sprintf("No request is answered in 0 s: these zeros mean that none was sent. Rows of %d with a zero: %s.",
			a.Len(), strings.Join(parts, ", ")), figures}
}

func (a *auditor) swappedLabels() *Finding {
	figures := map[string]float64{}
	var parts []string
	names := a.DelayNames()
	for c, k := range a.owner {
		if k == c {
			continue
		}
		knob := a.meta.Space.Knobs()[a.meta.Space.Find(mesh.Route, k)]
		for j, p := range knob.Columns {
			of, ownOf := a.layout.Calls[c].First+j, a.layout.Calls[k].First+j
			rows, own, other := 0, 0, 0
			for _, r := range a.rows {
				if a.weights(r, k)[j] > 0 {
					continue
				}
				rows++
				if a.absent(r, ownOf) {
					own++
				}
				if a.absent(r, of) {
					other++
				}
			}
			d, dOwn := names[of], names[ownOf]
			figures[p+"_zero"] = float64(rows)
			figures[p+"_zero_without_"+d] = float64(other)
			figures[p+"_zero_without_"+dOwn] = float64(own)
			parts = append(parts, fmt.Sprintf("%s = 0 leaves %s without a delay in %d of %d rows, %s in %d", p, d, other, rows, dOwn, own))
		}
	}
	if parts == nil {
		return nil
	}
	return &Finding{SwappedLabels, "routing weights bear the label of another service", strings.Join(parts, "; ") + ".", figures}
}

// unrouted reports whether no request went to endpoint e in row r: its weight is
// 0, or there was no load or all of it was blocked. Load that was carried
// nevertheless went somewhere; that is another finding.
func (a *auditor) unrouted(r, e int) bool {
	if a.weight(r, e) == 0 {
		return true
	}
	i := a.layout.Calls[a.layout.Endpoints[e].Call].Service
	return !(a.carried[r*a.m+i] > 0) && !a.meta.Space.Reaches(a.loadOf(r), a.actionOf(r), e)
}

func (a *auditor) unroutedDelays() *Finding {
	figures := map[string]float64{}
	var parts []string
	for c := range a.layout.Calls {
		cases, present := 0, 0
		first, end := a.layout.Of(c)
		for _, r := range a.rows {
			for e := first; e < end; e++ {
				if a.unrouted(r, e) {
					cases++
					if !a.absent(r, e) {
						present++
					}
				}
			}
		}
		if cases < enough || float64(present) <= material*float64(cases) {
			continue
		}
		name := a.layout.CallName(c)
		figures[name+"_delays"], figures[name+"_cases"] = float64(present), float64(cases)
		parts = append(parts, fmt.Sprintf("%s has a delay in %d of %d cases in which a node got none of its requests", name, present, cases))
	}
	if parts == nil {
		return nil
	}
	return &Finding{UnroutedDelays, "delays where no request was routed", strings.Join(parts, "; ") + ".", figures}
}

func (a *auditor) markedSteps() *Finding {
	figures, total := map[string]float64{}, 0
	for _, mark := range a.mark {
		if mark != "" {
			figures[mark]++
			total++
		}
	}
	if total == 0 {
		return nil
	}
	var parts []string
	for _, mark := range slices.Sorted(maps.Keys(figures)) {
		if len(parts) == maxMarks {
			parts = append(parts, fmt.Sprintf("%d further marks", len(figures)-maxMarks))
			break
		}
		parts = append(parts, fmt.Sprintf("%s: %.0f", csvfile.Cut(mark, 100), figures[mark]))
	}
	return &Finding{MarkedSteps, "steps were disturbed",
		fmt.Sprintf("%d of %d steps are marked (%s).", total, a.Len(), strings.Join(parts, "; ")), figures}
}

// maxMarks bounds the marks that a finding lists.
const maxMarks = 20

func (a *auditor) stepNumbers() *Finding {
	repeated, missing := 0, 0
	first := -1
	for r := 1; r < a.Len(); r++ {
		gap := a.step[r] - a.step[r-1]
		switch {
		case gap <= 0:
			repeated++
		case gap > 1:
			missing += gap - 1
		}
		if gap != 1 && first < 0 {
			first = r
		}
	}
	if first < 0 {
		return nil
	}
	return &Finding{StepNumbers, "steps are missing or there twice",
		fmt.Sprintf("%d steps are missing and %d there again; the first such place is row %d, step %d after step %d.",
			missing, repeated, first+1, a.step[first], a.step[first-1]),
		map[string]float64{"missing": float64(missing), "repeated": float64(repeated), "first_row": float64(first + 1)}}
}
