//go:build race

package ppo

// racing is whether the race detector runs, under which pools lose what they hold.
const racing = true
