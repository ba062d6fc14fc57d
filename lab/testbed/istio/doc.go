// Package istio is the testbed on a service mesh of Kubernetes and Istio, the
// paper's own platform. The same front, nodes and generator as those of the
// local testbed run as pods (see cluster/); this package controls them. What
// puts a kind of knob into force is a control.Actuator:
//
//   - Routing weights are the VirtualServices', one for each microservice, in
//     whole percents. A microservice that several services call has an HTTP entry
//     for each, told by the header service.ServiceHeader. They are written with
//     the version that was read, so that no other writer is overwritten unseen,
//     and read back. What others have in an entry stays: of its fault rule the
//     testbed knows its own abort, and touches no other.
//   - Blocking is done by the front's control endpoint, or by Istio's fault
//     abort (FaultBlocking).
//   - Replicas are set by the scale subresource of the nodes' Deployments. They
//     are in force when their pods are ready.
//   - Cores are set by the resize subresource of the nodes' pods, which go on.
//     They are in force when the kubelet says so.
//
// The mesh follows a change after a while. Each writing of a VirtualService has
// a revision, which the mesh adds to its replies (RouteHeader); probes through
// the front tell from when on it is in force, and a step is measured then.
// Probes cost a node nothing to speak of and are not counted.
//
// An action is put into force wholly or not at all. What cannot be put into
// force for a while, such as when the API server is down, leaves the one before
// in force; the step is then measured all the same and marked, for its row names
// an action that it did not have. What cannot be put into force at all, such as
// when a permission was withdrawn, ends the run. There is one moment that
// nothing can be done about: a process that is killed between the writing of
// two objects leaves one of them for the next run to put right.
//
// # Applications that are not of this project
//
// A scenario whose application is on a mesh (scenario.Application) names its
// VirtualServices, HTTP entries, destinations and Deployments. Front and generator
// are deployed beside it; nothing else is. Of a VirtualService the weights of the
// named HTTP entry are changed, and its fault abort where that blocks; other
// entries, whatever they match, TCP and TLS stay byte for byte. Two annotations of
// the metadata (WrittenAnnotation, AbortsAnnotation) note what is the testbed's.
//
// Server-side apply cannot own this: the list of HTTP entries has no keys in
// Istio's CRD, so that a field manager owns all of it or nothing, and to force
// that would take the entries of others too. Instead the list is written as it was
// read, with the version that it was read with: what somebody writes in between is
// a conflict, upon which it is read again. Who wrote since the last look is found
// by annotation and generation and named by the object's managed fields. His
// change stays but for the weights, which the next step puts right, and marks the
// step. Who himself applies on the server's side is told by the API server of the
// conflict with "meshbench". A VirtualService that a controller owns is refused.
//
// No header tells when a change is in force, since that would change the routes.
// The front's sidecar tells instead: its own config dump, which the front passes
// on, has the weights. Sidecars of other pods hear of them in the same push; a
// route that the front's has not is waited for (scenario.Application.Follow).
//
// Which node answered is told by a header of the application, or by the front's
// sidecar, to which an EnvoyFilter for that pod alone adds the cluster that it sent
// a request to: request by request, so that delays have percentiles, where Envoy's
// statistics of clusters have sums. Else nothing is known, and models are joint.
package istio
