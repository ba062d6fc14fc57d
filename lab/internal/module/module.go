// Package module names the project's Go module.
package module

// Path is the module's path, as in go.mod.
const Path = "github.com/meshbench/meshbench"
