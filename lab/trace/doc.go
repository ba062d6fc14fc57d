// Package trace holds what a testbed measured, one row per control step: the
// table in memory, its CSV file (read strictly, written atomically, appended
// to row by row), splits into training and test rows, matrices for learning, and
// an audit that tells whether a trace can be trusted. Package importer makes one
// of a file that another program wrote.
//
// Missing is missing: NaN in memory, an empty cell in a file, never 0.
//
// # Format
//
// A trace file is text in UTF-8: a head of lines that begin with #, one line of
// column names, one line for each control step. Lines end with LF; a reader also
// takes CR LF, CR, and a byte order mark at the beginning. Cells are separated
// by commas, and quoted as in RFC 4180 where they have a comma, quote or line
// break. Empty lines, and lines after the head that begin with #, are passed
// over. Only regular files are read.
//
// # Head
//
// The first line is "# meshbench trace 2", with the version of the format. Each
// other line of the head is "# KEY: VALUE". All of these keys are there, in any
// order:
//
//	scenario         name of the scenario; empty where it is not known
//	space            mesh and knobs, as JSON on one line; see below
//	step seconds     measured length of a step, s > 0, in unscaled time
//	time scale       > 0: what the testbed divided its times by; all values in
//	                 the file are unscaled
//	testbed          where it was measured, for instance local, virtual, istio
//	load             load pattern, for instance random
//	actions          how actions were chosen, for instance random
//	seed             whole number >= 0, of loads, actions and arrivals
//	reference every  so many steps one fixed cell of load and action was
//	                 repeated: in steps that it divides; 0 for never
//	units            for people; not read
//
// One more may be there:
//
//	platform         names of the columns that the platform measured, such as
//	                 Prometheus, beside the client; separated by commas
//
// Any other key is a further fact (Meta.Extra); a key has no colon and comes
// once. Lines of the head without a colon are passed over.
//
// The space is the JSON of mesh.Space: "mesh" with "nodes" (each "name",
// "speed"; default 1) and "services" (each "name" and "stages", a list of lists
// of calls, each "microservice" and "nodes"), and "knobs", each "kind",
// "service" and "call", or "service", or "node", and its fields as in mesh.Knob.
//
// # Columns
//
// The columns are these, written in this order and read in any; there is none
// missing and none more. Services i, calls within a service, and nodes j count
// from 1.
//
//	step              whole number >= 0, of the step; it does not fall from row to row
//	start             time at which the step began, RFC 3339, written in UTC to the ms
//	l1 l2 ...         load of each service as configured, requests/s, never missing
//	lg1 ...           load as the generator sent it, requests/s
//	cl1 ...           load that the front let through, requests/s
//	blocked1 ...      requests turned away at the front in the step
//	failed1 ...       requests without a good answer in the step
//	p11 p12 ... b1    the action: the values of the space's knobs, knob by knob
//	                  (mesh.Space.Columns), never missing. Shares p of a call sum
//	                  to 1; b is the share blocked; other knobs have their own
//	                  unit, and the names that their kinds say
//	d1_n              number of requests of service 1 that were answered
//	d1                their mean response time, s
//	d1_p50 _p95 _p99  percentiles of it, s
//	d2_n ...          the same for every other service
//	d11_n d11 ...     the same for every endpoint, that is call on a node
//	                  (mesh.Layout.DelayNames): d12 is of service 1 on node 2 where
//	                  every service is one call that any node serves (d1_12 where
//	                  there are more than 9 of either); else d1.2.3 is of the
//	                  second call of service 1 on node 3
//	NAME              what the platform measured, for each name in the head, in the
//	                  unit of its query; a finite number
//	mark              what disturbed the step, on one line; empty for a sound one
//
// All numbers are finite and >= 0, but for those of knobs of a kind of one's
// own, which decides itself. Response times are written to 0.1 microseconds,
// those above 1e7 s and all other numbers exactly. An empty cell is a missing value; spellings of NaN and
// infinity are not numbers. Where no request was answered the number is 0 and
// the times are missing; where it is not known the number is missing too.
//
// # Version 1
//
// Files of "# meshbench trace 1" are read as well. In place of scenario and
// space they have
//
//	services         names of the services, separated by ", "
//	nodes            names of the nodes
//
// and are of the mesh in which every service is one call that any node may
// serve, with the routing of every call and the blocking of every service at six
// levels as its knobs. Columns are as above: p11 p12 ... then b1 b2 .... An
// Appender adds rows to such a file as it is.
package trace
