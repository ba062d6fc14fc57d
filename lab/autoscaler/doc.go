// Package autoscaler holds the rules that operators set on meshes in service, as
// policies: what a learned policy has to beat where replicas can be controlled
// and requests turned away.
//
//   - HPA is the Horizontal Pod Autoscaler as Kubernetes documents it; Fast are
//     the settings of a quick one.
//   - Steps is the rule of event-driven autoscalers such as KEDA: so many
//     replicas from such a metric on, or so much of it for each replica.
//   - Lookahead provides for the load that will be there when new replicas are.
//   - Admission and Concurrency are Envoy's admission control and its adaptive
//     concurrency limit, as knobs that turn requests away.
//   - Spread routes each call to its nodes by what they can do.
//
// Each is a rule in plain numbers, which knows no mesh and is tested by itself,
// and a policy that reads the metrics of a mesh.State and sets knobs. A policy
// sets the knobs that its rule is about; the others stay as they are without
// control, or are those of its Base: HPA on top of Spread, Admission on top of
// that. Where a knob moves by increments, a policy asks for as far as one step
// allows, and goes on in the next.
//
// A rule is a fair baseline when it is calibrated: Calibrate tries a grid of
// settings, such as HPAGrid, on training loads.
package autoscaler
