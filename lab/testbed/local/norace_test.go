//go:build !race

package local_test

const slower = 1
