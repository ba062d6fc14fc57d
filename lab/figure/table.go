package figure

import (
	"bytes"
	"encoding/csv"
	"fmt"
	"math"
	"path/filepath"
	"strings"
	"unicode/utf8"

	"github.com/meshbench/meshbench/lab/internal/atomicfile"
)

// Table is a table of text.
type Table struct {
	Header []string
	Rows   [][]string
}

// Number formats v with the given decimals; missing (NaN) is empty.
func Number(v float64, decimals int) string {
	if math.IsNaN(v) {
		return ""
	}
	return fmt.Sprintf("%.*f", decimals, v)
}

// CSV returns the table as comma-separated values.
func (t Table) CSV() []byte {
	var b bytes.Buffer
	w := csv.NewWriter(&b)
	w.Write(t.Header)
	w.WriteAll(t.Rows)
	return b.Bytes()
}

// Markdown returns the table in Markdown, its columns aligned.
func (t Table) Markdown() []byte {
	width := make([]int, len(t.Header))
	for _, row := range append([][]string{t.Header}, t.Rows...) {
		for c, cell := range row {
			width[c] = max(width[c], utf8.RuneCountInString(cell), 3)
		}
	}
	var b bytes.Buffer
	write := func(row []string) {
		for c, cell := range row {
			fmt.Fprintf(&b, "| %s%s ", cell, strings.Repeat(" ", width[c]-utf8.RuneCountInString(cell)))
		}
		b.WriteString("|\n")
	}
	write(t.Header)
	for _, w := range width {
		b.WriteString("|" + strings.Repeat("-", w+2))
	}
	b.WriteString("|\n")
	for _, row := range t.Rows {
		write(row)
	}
	return b.Bytes()
}

// Save writes name.csv and name.md into dir, each whole or not at all.
func (t Table) Save(dir, name string) error {
	for k, row := range t.Rows {
		if len(row) != len(t.Header) {
			return fmt.Errorf("figure: table %s: row %d has %d cells, the header %d", name, k+1, len(row), len(t.Header))
		}
	}
	if err := atomicfile.Write(filepath.Join(dir, name+".csv"), t.CSV()); err != nil {
		return fmt.Errorf("figure: table %s: %w", name, err)
	}
	if err := atomicfile.Write(filepath.Join(dir, name+".md"), t.Markdown()); err != nil {
		return fmt.Errorf("figure: table %s: %w", name, err)
	}
	return nil
}
