package service

// Headers of replies.
const (
	NodeHeader    = "Meshbench-Node"    // the processing node that the request was routed to; of several calls the one that failed
	SecondsHeader = "Meshbench-Seconds" // time in the node's queue and in service, real s
	CallsHeader   = "Meshbench-Calls"   // the calls of a service that makes several, as package call has them, real s
	FailureHeader = "Meshbench-Failure" // why there is no item, as package cause has it
)

// Headers of requests.
const (
	// RunHeader tells the requests of a run's generator from those of others.
	RunHeader = "Meshbench-Run"
	// ServiceHeader is the service for which a microservice is called, so that a
	// mesh can route the calls of each service in its own way.
	ServiceHeader = "Meshbench-Service"
	// ProbeHeader marks the requests of /probe, so that a mesh which blocks can
	// let them through.
	ProbeHeader = "Meshbench-Probe"
)

// propagated are the headers of a request that its calls have too, by which a
// mesh joins them to one trace: those of W3C Trace Context, and of Envoy.
var propagated = []string{"Traceparent", "Tracestate", "Baggage", "X-Request-Id", "B3", "X-B3-Traceid", "X-B3-Spanid",
	"X-B3-Parentspanid", "X-B3-Sampled", "X-B3-Flags", "X-Ot-Span-Context"}
