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
package istio
