package nb

import (
	"bytes"
	"encoding/json"
	"fmt"
	"html"
	"io"
	"strings"
)

// Control is something that a person moves: its name and the values that it
// takes.
type Control struct {
	Name   string
	Values []string
	At     int // the value that it begins at
}

// maxPositions bounds what Explore draws: each position is a figure in the page.
const maxPositions = 256

// Explore shows controls, and below them what draw makes of the values, by number,
// that they are at: a line of text and a figure, either of which may be missing.
// All positions are drawn beforehand, so that the controls work without a kernel
// too, in a page that was saved. Outside a notebook it prints the first position.
func Explore(draw func(at []int) (text string, svg io.WriterTo, err error), controls ...Control) error {
	positions, start := 1, 0
	for _, c := range controls {
		if c.At < 0 || c.At >= len(c.Values) {
			return fmt.Errorf("nb: control %s of %d values begins at %d", c.Name, len(c.Values), c.At)
		}
		positions *= len(c.Values)
		start = start*len(c.Values) + c.At
	}
	if positions > maxPositions {
		return fmt.Errorf("nb: the controls have %d positions; accepted: at most %d", positions, maxPositions)
	}
	var page strings.Builder
	page.WriteString(`<div class="meshbench-explore">`)
	for _, c := range controls {
		page.WriteString(c.html())
	}
	for k := range positions {
		if !inNotebook && k != start {
			continue
		}
		at := make([]int, len(controls))
		for j, rest := len(controls)-1, k; j >= 0; j-- {
			at[j], rest = rest%len(controls[j].Values), rest/len(controls[j].Values)
		}
		text, svg, err := draw(at)
		if err != nil {
			return err
		}
		if !inNotebook {
			for j, c := range controls {
				fmt.Fprintf(out, "%s: %s\n", c.Name, c.Values[at[j]])
			}
			if text != "" {
				fmt.Fprintln(out, text)
			}
			if svg != nil {
				return Figure(svg)
			}
			return nil
		}
		style := ` style="display:none"`
		if k == start {
			style = ""
		}
		fmt.Fprintf(&page, `<div data-k="%d"%s>`, k, style)
		if text != "" {
			page.WriteString("<p>" + html.EscapeString(text) + "</p>")
		}
		if svg != nil {
			var b bytes.Buffer
			if _, err := svg.WriteTo(&b); err != nil {
				return fmt.Errorf("nb: draw: %w", err)
			}
			page.WriteString(inline(b.String()))
		}
		page.WriteString("</div>")
	}
	page.WriteString("</div>")
	show(page.String())
	return nil
}

// moved shows the position that the controls of a page are at. It stands in the
// controls themselves: a page's scripts are not run where it is shown again.
const moved = `const e=this.closest('.meshbench-explore');let k=0;` +
	`e.querySelectorAll('[data-values]').forEach(c=>{const v=JSON.parse(c.dataset.values);k=k*v.length+ +c.value;c.nextElementSibling.textContent=v[c.value]});` +
	`e.querySelectorAll('[data-k]').forEach(d=>{d.style.display=+d.dataset.k===k?'':'none'})`

// html is a slider with its name and value.
func (c Control) html() string {
	values, _ := json.Marshal(c.Values) // strings always have a form
	return fmt.Sprintf(`<label style="display:block;margin:.3em 0"><span style="display:inline-block;min-width:16em">%s</span>`+
		`<input type="range" min="0" max="%d" step="1" value="%d" data-values="%s" oninput="%s" aria-label="%[1]s"> <span>%[6]s</span></label>`,
		html.EscapeString(c.Name), len(c.Values)-1, c.At, html.EscapeString(string(values)), moved, html.EscapeString(c.Values[c.At]))
}
