// Package adapt keeps a mesh under control while it changes. A Loop looks at each
// step, and decides the next action:
//
//	step ──► Monitor ── alarm ──► Identify ──► the present model ──► rollout, at once
//	         CUSUM of              how much       Slower, late         or
//	         measured over         slower, lost,  start-ups,           training, in the
//	         predicted             late           residuals            background
//	                                                                    │
//	action ◄── bounds ◄── the policy in charge, a value that is swapped ◄─┘
//
// The monitor compares what was measured with what the model says of the load and
// the knobs in force. An alarm also says since when, so that the steps from then
// on are data of the changed mesh. From them a few numbers are estimated: by what
// factor each node or microservice is slower, which node is lost, by how much
// replicas start later. A model that can foresee itself in slow motion
// (model.Slower) needs no more to foresee the changed mesh; what is left of the
// ratios is corrected by residuals. Whoever takes charge then decides by the
// present model: rollout over the policies that are there, from the next step on,
// or a policy that goes on learning on it, when it is done.
//
// What is in force is always a whole action of the space. Who is in charge changes
// between two steps, never within one.
package adapt
