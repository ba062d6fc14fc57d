//go:build race

package local_test

// slower is by what the tests' testbeds run slower: the race detector makes a
// database several times as slow.
const slower = 4
