package importer

import (
	"embed"
	"fmt"
	"slices"
	"strings"
)

//go:embed presets/*.yaml
var presets embed.FS

// Presets names the mappings that are built in.
func Presets() []string {
	entries, err := presets.ReadDir("presets")
	if err != nil {
		panic("importer: " + err.Error()) // they are part of the program
	}
	var names []string
	for _, e := range entries {
		names = append(names, strings.TrimSuffix(e.Name(), ".yaml"))
	}
	slices.Sort(names)
	return names
}

// Preset returns the preset of that name.
func Preset(name string) (Mapping, error) {
	b, err := presets.ReadFile("presets/" + name + ".yaml")
	if err != nil {
		return Mapping{}, fmt.Errorf("unknown preset %q; accepted: %s", name, strings.Join(Presets(), ", "))
	}
	return Parse("preset "+name, b)
}
