package request

import (
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/meshbench/meshbench/lab/internal/csvfile"
	"github.com/meshbench/meshbench/lab/internal/regular"
)

const (
	maxValues = 1_000_000 // of a list
	maxCA     = 1 << 20   // bytes
)

// Load reads the lists of a mix that are in files, named relative to the folder
// dir, and returns a mix that has them.
func Load(m Mix, dir string) (Mix, error) {
	m = slices.Clone(m)
	for n := range m {
		m[n].Values = maps.Clone(m[n].Values)
		for _, name := range slices.Sorted(maps.Keys(m[n].Values)) {
			v := m[n].Values[name]
			if v.CSV == "" {
				continue
			}
			var err error
			if v.List, err = readList(in(dir, v.CSV), v.Column); err != nil {
				return nil, fmt.Errorf("request %d: value %q: %w", n+1, name, err)
			}
			m[n].Values[name] = v
		}
	}
	return m, nil
}

// Load reads the certificates of a client from the file that CA names, relative
// to the folder dir.
func (c Client) Load(dir string) (Client, error) {
	if c.CA == "" || strings.HasPrefix(strings.TrimSpace(c.CA), "-----BEGIN") {
		return c, nil
	}
	text, err := regular.ReadFile(in(dir, c.CA), maxCA)
	if err != nil {
		return c, fmt.Errorf("client: ca: %w", err)
	}
	c.CA = string(text)
	return c, nil
}

func in(dir, name string) string {
	if filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(dir, name)
}

// readList is a column of a CSV file, whose first line names the columns.
func readList(path, column string) ([]string, error) {
	f, _, err := regular.Read(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	r := csvfile.NewReader(f)
	header, err := r.Read()
	if err != nil && err != io.EOF {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	at := 0
	if column != "" {
		at = slices.Index(header, column)
	}
	if len(header) == 0 || at < 0 {
		return nil, fmt.Errorf("%s: no column %q%s; it has %s", path, column, csvfile.Suggest(column, header), csvfile.List(header))
	}
	var list []string
	for {
		cells, err := r.Read()
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		if list = append(list, strings.Clone(cells[at])); len(list) > maxValues {
			return nil, fmt.Errorf("%s: more than %d values", path, maxValues)
		}
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("%s: no row after the header", path)
	}
	return list, nil
}
