package trace

import (
	"fmt"
	"math"
	"slices"
	"strings"
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
	UnroutedDelays = "unrouted-delays" // delays where the routing weight is 0
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
// left out of all tests but their own. The published trace has four findings:
// ZeroDelays, SwappedLabels, CarriedLoad and NotRandom.
func Audit(t *Table) []Finding {
	a := auditor{Table: t}
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
	rows      []int   // neither marked nor reference
	reference []int   // repeats of the reference cell, unmarked
	owner     []int   // owner[i] is the service whose label the weights of service i have
	agree     [][]int // rows x nodes with p_kj = 0 in which d_ij is absent, by i, k
	zeroed    []int   // rows x nodes with p_kj = 0, by k
}

// absent reports whether no delay of service i on node j was measured in row r.
func (a *auditor) absent(r, i, j int) bool {
	d := a.node[(r*a.m+i)*a.n+j].Mean
	return math.IsNaN(d) || d == 0
}

func (a *auditor) weight(r, i, j int) float64 { return a.route[(r*a.m+i)*a.n+j] }

// assignWeights finds for each service the weights that decide where its
// requests go: a node with weight 0 must have no delay. Labels are doubted
// only when their own service contradicts them and another fits.
func (a *auditor) assignWeights() {
	a.owner, a.zeroed = make([]int, a.m), make([]int, a.m)
	a.agree = make([][]int, a.m)
	for i := range a.m {
		a.owner[i] = i
		a.agree[i] = make([]int, a.m)
	}
	for _, r := range a.rows {
		for k := range a.m {
			for j := range a.n {
				if a.weight(r, k, j) > 0 {
					continue
				}
				a.zeroed[k]++
				for i := range a.m {
					if a.absent(r, i, j) {
						a.agree[i][k]++
					}
				}
			}
		}
	}
	for i := range a.m {
		if a.share(i, i) > .9 {
			continue
		}
		for k := range a.m {
			if a.share(i, k) > .99 && a.share(i, k) > a.share(i, a.owner[i]) {
				a.owner[i] = k
			}
		}
	}
}

// share is the part of the zero weights labelled k that leave service i
// without a delay; 1 where there are too few to tell.
func (a *auditor) share(i, k int) float64 {
	if a.zeroed[k] < 20 {
		return 1
	}
	return float64(a.agree[i][k]) / float64(a.zeroed[k])
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
		note(a.meta.Mesh.DelayName(i), total, 0)
		for j := range a.n {
			total, routed := 0, 0
			for r := range a.Len() {
				if a.node[(r*a.m+i)*a.n+j].Mean == 0 {
					total++
					if a.weight(r, a.owner[i], j) == 0 {
						routed++
					}
				}
			}
			note(a.meta.Mesh.NodeDelayName(i, j), total, routed)
		}
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
	name := a.meta.Mesh
	for i, k := range a.owner {
		if k == i {
			continue
		}
		for j := range a.n {
			rows, own, other := 0, 0, 0
			for _, r := range a.rows {
				if a.weight(r, k, j) > 0 {
					continue
				}
				rows++
				if a.absent(r, k, j) {
					own++
				}
				if a.absent(r, i, j) {
					other++
				}
			}
			p, d, dOwn := name.RouteName(k, j), name.NodeDelayName(i, j), name.NodeDelayName(k, j)
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

func (a *auditor) unroutedDelays() *Finding {
	figures := map[string]float64{}
	var parts []string
	for i, k := range a.owner {
		if present := a.zeroed[k] - a.agree[i][k]; 1-a.share(i, k) > material {
			service := a.meta.Mesh.ServiceNames()[i]
			figures[service+"_delays"], figures[service+"_zero_weights"] = float64(present), float64(a.zeroed[k])
			parts = append(parts, fmt.Sprintf("%s has a delay in %d of %d cases of weight 0", service, present, a.zeroed[k]))
		}
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
	for mark, n := range figures {
		parts = append(parts, fmt.Sprintf("%s: %.0f", mark, n))
	}
	slices.Sort(parts)
	return &Finding{MarkedSteps, "steps were disturbed",
		fmt.Sprintf("%d of %d steps are marked (%s).", total, a.Len(), strings.Join(parts, "; ")), figures}
}

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
