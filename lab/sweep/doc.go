// Package sweep trains many policies: every combination of scenarios, objectives,
// settings, loads and seeds that a Spec names, or some drawn from them.
//
// A Spec becomes a list of Tasks, each of which says all that its result depends
// on. A result is an object of a Store under the hash of its task, so that what is
// there is never done again, whoever did it: a sweep that was cut short goes on,
// and one that overlaps with another shares with it. The same Worker does tasks in
// goroutines (Do) and as pods of a cluster (package sweep/jobs), with the same
// bytes as result.
//
// What a store has:
//
//	scenarios/HASH      a scenario's file
//	models/HASH         a system model's file
//	plans/HASH          a list of tasks, as JSON
//	results/KEY         a Result, as JSON; KEY is the task's
//	policies/KEY        the policy's file, as learner.Load reads it
package sweep
