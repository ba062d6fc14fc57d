// Package extend shows, in its examples, how the parts that one may want to add
// are added from outside, through public interfaces alone: a kind of knob, a
// model, an objective, a learner, a drawing, a testbed, each in a file of its own, and all of them from
// a scenario to a policy.
package extend
