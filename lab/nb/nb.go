// Package nb shows things in a notebook: tables, figures, text and the
// progress of long work. Outside a notebook the same calls print plain text, so
// that code which shows something runs anywhere.
package nb

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"fmt"
	"html"
	"io"
	"os"
	"strings"
	"text/tabwriter"

	"github.com/janpfeifer/gonb/gonbui"
	"github.com/meshbench/meshbench/lab/internal/regular"
)

// SizeVariable is the environment variable that asks for short runs: "small".
const SizeVariable = "MESHBENCH_SIZE"

// Small reports whether work is to be kept short, as when notebooks are only
// tested.
func Small() bool { return os.Getenv(SizeVariable) == "small" }

// out is where text goes outside a notebook.
var out io.Writer = os.Stdout

// Output sets where text goes outside a notebook, for a program that looks at what
// cannot be written. A terminal is known by its Fd.
func Output(w io.Writer) { out = w }

// inNotebook is a variable for tests.
var inNotebook = gonbui.IsNotebook

// show sends HTML to the notebook and waits until it has arrived: what is on
// its way when the cell's process ends is lost.
func show(text string) {
	gonbui.DisplayHTML(text)
	gonbui.Sync()
}

const tableStyle = `style="border-collapse:collapse;font-size:90%"`

// Table shows rows under a header. Cells that look like numbers are aligned
// right.
func Table(header []string, rows [][]string) {
	if inNotebook {
		show(tableHTML(header, rows))
		return
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, strings.Join(header, "\t"))
	for _, row := range rows {
		fmt.Fprintln(w, strings.Join(row, "\t"))
	}
	w.Flush()
}

// TableFile shows a table from a CSV file whose first row is its header.
func TableFile(path string) error {
	f, _, err := regular.Read(path)
	if err != nil {
		return fmt.Errorf("nb: %w", err)
	}
	defer f.Close()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil {
		return fmt.Errorf("nb: %s: %w", path, err)
	}
	if len(rows) == 0 {
		return fmt.Errorf("nb: %s: no header", path)
	}
	Table(rows[0], rows[1:])
	return nil
}

func tableHTML(header []string, rows [][]string) string {
	var b strings.Builder
	b.WriteString("<table " + tableStyle + "><thead><tr>")
	for _, h := range header {
		fmt.Fprintf(&b, `<th style="text-align:left;border-bottom:1px solid">%s</th>`, html.EscapeString(h))
	}
	b.WriteString("</tr></thead><tbody>")
	for _, row := range rows {
		b.WriteString("<tr>")
		for _, c := range row {
			align := "left"
			if numeric(c) {
				align = "right"
			}
			fmt.Fprintf(&b, `<td style="text-align:%s">%s</td>`, align, html.EscapeString(c))
		}
		b.WriteString("</tr>")
	}
	b.WriteString("</tbody></table>")
	return b.String()
}

func numeric(cell string) bool {
	return cell != "" && strings.ContainsAny(cell[:1], "0123456789-+.")
}

// Markdown shows text.
func Markdown(text string) {
	if inNotebook {
		gonbui.DisplayMarkdown(text)
		gonbui.Sync()
		return
	}
	fmt.Fprintln(out, text)
}

// Figure shows what writes itself as SVG, several side by side. Outside a
// notebook it prints a line for each that says so.
func Figure(svg ...io.WriterTo) error {
	var html strings.Builder
	for _, f := range svg {
		var b bytes.Buffer
		if _, err := f.WriteTo(&b); err != nil {
			return fmt.Errorf("nb: draw: %w", err)
		}
		if inNotebook {
			html.WriteString(`<span style="margin-right:2em">` + inline(b.String()) + "</span>")
			continue
		}
		fmt.Fprintf(out, "[figure, %d bytes of SVG]\n", b.Len())
	}
	if inNotebook {
		show(html.String())
	}
	return nil
}

// inline returns the <svg> element of an SVG document.
func inline(svg string) string {
	if k := strings.Index(svg, "<svg"); k > 0 {
		return svg[k:]
	}
	return svg
}

// Check ends the cell with one line and exit code 1 when err is not nil.
func Check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

// Must is Check for calls that return a value with their error.
func Must[T any](v T, err error) T {
	Check(err)
	return v
}

// Must2 is Must for two values.
func Must2[A, B any](a A, b B, err error) (A, B) {
	Check(err)
	return a, b
}

// SVGFile shows an SVG file.
func SVGFile(path string) error {
	f, _, err := regular.Read(path)
	if err != nil {
		return fmt.Errorf("nb: %w", err)
	}
	defer f.Close()
	return Figure(bufio.NewReader(f))
}
