// Package figure draws the paper's figures and tables, and those that go with
// a model or a benchmark, from plain data: one style, one function per figure.
//
//	f, err := figure.Lines(figure.Axes{X: "step", Y: "NR"}, figure.Series{Name: "learned", X: x, Y: y})
//	if err != nil {
//		return err
//	}
//	return f.SaveAs("figures", "fig4", figure.Also{PNG: 300, CSV: true})
//
// # Which drawing
//
//	Lines, Panels, LearningCurve     lines with bands, in one panel or several
//	Timelines                        steps over time with events
//	Dots, DotPanels                  values with intervals, policies by loads
//	Ratios                           how many times faster, about a line at 1
//	Stacked                          parts of a sum: cost and violations
//	Tradeoffs                        points with intervals both ways: cost against violations
//	HeatMap                          numbers in a matrix: trained on by deployed on
//	Waterfalls                       what each cause takes from a value
//	PredictedVsMeasured              a model against what was measured
//	Evaluation, Loads, Watch, ...    runs of the paper and of a testbed
//	CallGraph, Architecture          services and their parts, from names
//	Mesh, Topology, Framework        the testbed as it is declared and deployed
//
// # What every figure keeps to
//
// Figures are 3.5 in wide, a column of a page, unless said otherwise, with
// texts of 8 pt. Lines and points are told apart without colour, by dashes and
// marks, and by colours that the colour-blind tell apart.
//
// SVG, PDF and PNG show the same, on any machine: Liberation Sans is part of
// the program. A PDF file holds the letters that it uses, as TrueType; SVG draws
// them as shapes, with the text over them to search and copy. A character that
// the font lacks becomes a box. The same data gives the same bytes. A
// figure keeps a copy of its data: what changes later is not in it.
//
// Nothing that is given is cut off, and nothing panics: values that are NaN or
// infinite, or not above 0 on a logarithmic axis, are left out, as gaps of a
// line; a series of nothing else is marked "(no data)" in the legend, and a
// panel without any value says "no data". Intervals that reach below a
// logarithmic axis end at its lower edge. Bounds in Axes are what an axis shows
// at least. Too many names turn, wrap or are shortened in the middle; the whole
// name is then the SVG's tooltip and in the data file. Nothing to draw at all, and
// lengths that do not agree, are errors of one line that begin with "figure: ".
//
// An axis has 3 to 7 ticks in steps of 1, 2 or 5 times a power of ten (2.5
// where these are too coarse), in whole steps where all values are whole. Values within about a thousandth of each other
// are drawn flat, not as magnified noise. Panels that are there to be compared
// have the same axes.
//
// # How to add a drawing
//
// Write a file of its own with an input type of plain fields and a function
// that returns (Figure, error); stacked.go is a short one to start from:
//
//  1. Take a copy of slices by own, check lengths, and return an error that begins with "figure: ".
//  2. Make a chart of two axes by newChart. Let its axes see all values that
//     are to be shown (axis.see ignores those without a place), and set empty to
//     false once one is.
//  3. Add layers that draw on a pane; pane.at turns values into points. Use ink,
//     dash and shape for the k-th of several, and entries for the legend.
//  4. Return a grid of charts, with data for the CSV file. The grid measures
//     texts and places the panes.
//
// A drawing without axes draws on the page itself, as architecture.go does;
// write and boxed keep texts inside a width.
//
// Then write an Example and a test that compares it with testdata/name.svg, and
// add the function to drawings in property_test.go, which tries it on any input.
//
//	go test ./lab/figure -regen   # writes the golden files again: look at what changed
//	go test ./lab/figure -fuzz FuzzDrawings -fuzztime 1m
package figure
