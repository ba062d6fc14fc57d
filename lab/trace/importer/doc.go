// Package importer makes a trace of a CSV file that another program wrote: a
// mapping says which column of the file is which of the trace, in which unit,
// and how its rows follow each other in time. What cannot be used is counted and
// listed by reason, nothing is dropped in silence. Presets are the mappings of
// traces that were published; Suggest proposes one for a file that is unknown.
//
// # Mapping
//
// A mapping is a YAML file:
//
//	title: what the file is
//	delimiter: ";"        # one character, or tab; default a comma
//	decimal: ","          # default a point
//	comments: true        # lines that begin with # are passed over; default: they are rows
//	missing: [NA, "-1"]   # cells that stand for nothing; default NA, N/A, NaN, nan, null, None, none, \N
//	row: 1                # s that a row is about; default 5
//	step: 5               # s of a step of the trace, a multiple of row; default row
//	columns:
//	  - {column: when, field: time, unit: unix ms}
//	  - {column: asked, field: l1}
//	  - {column: sent, field: lg1, unit: requests/5s}
//	  - {column: weight_a, field: p11, unit: "%"}
//	  - {column: latency, field: d1, unit: ms, zero: missing}
//	  - {column: blocked, field: b1, optional: true}  # left out where the scenario has no b1
//	set: {b1: 0}          # fields that are the same in all rows
//	gaps: refuse          # steps without a row; default report
//	duplicates: refuse    # rows of a step that is there; default report: the first counts
//	back: report          # a clock that goes back; default refuse
//	unusable: refuse      # rows that cannot be used; default report
//	about: {testbed: staging, load: random, actions: grid, operator: me}
//
// The first line of the file names its columns. They may stand in any order, and
// there may be more than are mapped; spaces around names and cells do not count.
// A column may be mapped several times. Empty cells are missing ones.
//
// A field is a numeric column of the trace by its name (trace.Fields), for
// instance l1, or one of
//
//	time      when the row was measured; unit rfc3339 (default), unix, unix ms,
//	          unix us, unix ns, s or ms since any moment, or a layout of package
//	          time such as "2006-01-02 15:04:05", in UTC where it has no zone
//	step      number of the row, a whole number
//	mark      what disturbed the row, as text
//
// Without time and step rows are taken to follow each other without a gap. Units
// are, by what the field holds (first the default):
//
//	load             requests/s, requests/min, requests/h, requests/Ns for N
//	                 seconds, for instance requests/5s, requests/row
//	requests         requests (per row), requests/s
//	shares           fraction, %
//	delays           s, ms, us, ns, min
//	other knobs      their own; scale says the rest, for instance .001 for millicores
//
// and scale is a further factor, default 1. All loads (l1 ...) and knobs need a
// column or a value that is set; of the weights of a call one may be left out and
// is then what the others leave of 1.
//
// # Rows that are not steps
//
// Where step is more than row, rows are joined: step/row of them are one step.
// Loads are then means, requests sums, delays means weighted by the number of
// requests, or where it is unknown by the load carried; percentiles cannot be
// joined and are missing. A step needs all its rows, and one action.
//
// Where rows are about a service each, rather than about all, the mapping says
// which columns name it:
//
//	services:
//	  columns: [name, method]                 # their cells are joined by a space
//	  names: {frontend GET: shop}             # service of an entry; default the one of its name
//
// and {i} in a field is the number of the row's service: "l{i}", "d{i}_p99",
// "p{i}1". Rows of the same time or step, else those until a service comes
// again, belong together.
package importer
