// Package controller drives a mesh by a policy for as long as it is let: step by
// step it asks the policy what to do, bounds how much and how often that changes,
// puts it into force, and looks at what came of it.
//
// A guard decides who is in charge: the policy, or a fallback that needs no
// learning. Each of its Checks sees every step and may object to the policy: drift
// of the mesh from its model, goals missed, measurements missing, a load that the
// policy was not trained for. With an objection the fallback is in charge from the
// next step on. The policy comes back when nothing spoke against it for some steps
// in a row; each time that it has to go again soon after, it waits twice as long.
//
// In shadow mode nothing is changed: the policy decides, and what it decided is
// compared with what is in force.
//
// What is driven is a Mesh, for instance a testbed under a load of its own
// (Offered). Who decides is a policy.Policy; one that learns while it acts is one,
// too. One owner at a time is package lease's affair.
package controller
