//go:build !unix

package ppo

func processorSeconds() float64 { return 0 }
