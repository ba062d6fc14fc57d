package model

import "github.com/meshbench/meshbench/lab/trace"

// Settled returns the rows of trace t that a model of steady control is learned
// from: those before which no node had fallen behind. A step that follows one
// in which a node's mean delay was above limit (s) finds a queue there that its
// own load and action did not make, which a trace of random actions often has
// and a policy worth its name does not. A limit of 0 keeps all rows.
func Settled(t *trace.Table, limit float64) *trace.Table {
	if limit == 0 {
		return t
	}
	return t.Subset(SettledRows(t, limit))
}

// SettledRows is Settled by row numbers, ascending; a limit of 0 keeps all.
func SettledRows(t *trace.Table, limit float64) []int {
	var rows []int
	behind, last := false, -1
	for r := range t.Len() {
		row := t.Row(r)
		if row.Step != last+1 || !behind {
			rows = append(rows, r)
		}
		behind, last = false, row.Step
		for _, d := range row.Measurement.Endpoint {
			if limit > 0 && d.Mean > limit { // not if missing
				behind = true
			}
		}
	}
	return rows
}
