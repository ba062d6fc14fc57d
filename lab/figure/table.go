package figure

import (
	"bytes"
	"encoding/csv"
	"fmt"
	"math"
	"path/filepath"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/meshbench/meshbench/lab/internal/atomicfile"
)

// Table is a table of text.
type Table struct {
	Header []string
	Rows   [][]string
}

// Number formats v with the given decimals; missing (NaN) is empty. From 1e15
// on, where decimals are noise, it has an exponent. The minus is the one that
// programs read; Markdown prints a true one.
func Number(v float64, decimals int) string {
	switch {
	case math.IsNaN(v):
		return ""
	case math.IsInf(v, 0) || math.Abs(v) >= 1e15:
		return strconv.FormatFloat(v, 'g', 4, 64)
	}
	s := strconv.FormatFloat(v, 'f', max(0, decimals), 64)
	if strings.Trim(s, "-0.") == "" {
		s = strings.TrimPrefix(s, "-") // no negative nothing
	}
	return s
}

// CSV returns the table as comma-separated values.
func (t Table) CSV() []byte {
	var b bytes.Buffer
	w := csv.NewWriter(&b)
	w.Write(t.Header) // a buffer's writes do not fail
	w.WriteAll(t.Rows)
	return b.Bytes()
}

// cell is text that Markdown shows as it is, on one line.
var cell = strings.NewReplacer("\\", "\\\\", "|", "\\|", "`", "\\`", "<", "\\<", "*", "\\*", "\r\n", "<br>", "\n", "<br>", "\r", "<br>")

// Markdown returns the table in Markdown, its columns aligned. Cells are
// escaped, and numbers have a true minus. A row that is longer or shorter than
// the header is filled with empty cells, as is a header.
func (t Table) Markdown() []byte {
	columns := len(t.Header)
	for _, row := range t.Rows {
		columns = max(columns, len(row))
	}
	if columns == 0 {
		return nil
	}
	width := make([]int, columns)
	table := make([][]string, 0, len(t.Rows)+1)
	for _, row := range append([][]string{t.Header}, t.Rows...) {
		cells := make([]string, columns)
		for c, text := range row {
			if rest, ok := strings.CutPrefix(text, "-"); ok {
				if _, err := strconv.ParseFloat(rest, 64); err == nil {
					text = "−" + rest
				}
			}
			cells[c] = cell.Replace(text)
		}
		for c, text := range cells {
			width[c] = max(width[c], utf8.RuneCountInString(text), 3)
		}
		table = append(table, cells)
	}
	var b bytes.Buffer
	for k, row := range table {
		for c, text := range row {
			fmt.Fprintf(&b, "| %s%s ", text, strings.Repeat(" ", width[c]-utf8.RuneCountInString(text)))
		}
		b.WriteString("|\n")
		if k == 0 {
			for _, w := range width {
				b.WriteString("|" + strings.Repeat("-", w+2))
			}
			b.WriteString("|\n")
		}
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
