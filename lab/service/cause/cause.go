// Package cause lists why a request gets no item, as replies say it. It is apart
// from the services so that who reads replies does not need what makes them.
package cause

// Values of the header service.FailureHeader, with the status of the reply.
const (
	Blocked  = "blocked"                    // turned away at the front, 429
	Queue    = "queue full"                 // 503
	Database = "database"                   // 500
	Node     = "node"                       // the front cannot reach the node, 502
	Stopping = "node stopping"              // 503
	Timeout  = "time-out"                   // of the front, for the whole way of a request, 504
	Limited  = "limited by the application" // its own 429, of a request that the front let through
)
