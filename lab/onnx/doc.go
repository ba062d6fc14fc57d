// Package onnx writes policies and models as ONNX (https://onnx.ai), which other
// languages run. All that a policy does is inside, from loads in requests/s to the
// values of an action; N is the number of rows that are decided at once:
//
//	load      N x services          offered loads, requests/s
//	past      N x steps x services  loads of the steps before, the last one first
//	delay     N x services          response times of the step before, s; NaN for a missing one
//	in_force  N x values            the action in force, 0 before the first step
//	ahead     N x 3·knobs           of each knob that takes its time, what it will be set to after one, two and three thirds of it
//	asked     N x values            where knobs move by increments: what was asked for last, NaN before the first step
//
// A policy has those of them, all float64, that it sees. Its outputs are
//
//	action    N x values            what the knobs are to be set to, float64
//	choice    N x heads             the most probable choice of each head, int64
//	logits    N x choices           what it is the most probable by, float32; minus infinity where it may not be chosen
//
// A model has one input and one output, whose columns its documentation names:
//
//	x         N x features          loads, and the values of the knobs that determine the rest, float64
//	targets   N x targets           as model.Learned's PredictMatrix has them, float32
package onnx
