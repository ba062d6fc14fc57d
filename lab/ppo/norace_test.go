//go:build !race

package ppo

const racing = false
