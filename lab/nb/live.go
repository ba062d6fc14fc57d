package nb

import (
	"bytes"
	"fmt"
	"html"
	"io"
	"sync"
	"time"

	"github.com/janpfeifer/gonb/gonbui"
)

// Live is a place in a notebook whose content is replaced while work goes on.
// It may be used by several goroutines. Outside a notebook texts are printed
// every five seconds, and the last one by Close.
type Live struct {
	mu     sync.Mutex
	id     string
	last   time.Time
	closed bool
	held   func() // what came too soon after the one before
	text   string
}

// interval between two updates of the same place.
const interval = 150 * time.Millisecond

// NewLive makes a place below what has been shown.
func NewLive() *Live {
	l := &Live{}
	if inNotebook {
		l.id = "meshbench-" + gonbui.UniqueID()
	}
	return l
}

// Text replaces the content by a line of text.
func (l *Live) Text(format string, args ...any) {
	line := fmt.Sprintf(format, args...)
	l.put(func() { l.update("<code>" + html.EscapeString(line) + "</code>") }, line)
}

// Figure replaces the content by a figure that draw makes; it is not called for
// updates that are skipped because they follow too fast.
func (l *Live) Figure(draw func() (io.WriterTo, error)) {
	l.put(func() {
		svg, err := draw()
		if err != nil {
			l.update("<code>" + html.EscapeString(err.Error()) + "</code>")
			return
		}
		var b bytes.Buffer
		if _, err := svg.WriteTo(&b); err == nil {
			l.update(inline(b.String()))
		}
	}, "")
}

func (l *Live) put(f func(), text string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return
	}
	l.text = text
	if !inNotebook {
		// A log gets a line now and then.
		if text != "" && time.Since(l.last) >= 5*time.Second {
			if !l.last.IsZero() {
				fmt.Fprintln(out, text)
			}
			l.last = time.Now()
		}
		return
	}
	if time.Since(l.last) < interval {
		l.held = f
		return
	}
	l.held, l.last = nil, time.Now()
	f()
}

func (l *Live) update(content string) { gonbui.UpdateHTML(l.id, content) }

// Close shows the last content, also when it came too soon, and ends updates.
func (l *Live) Close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return
	}
	l.closed = true
	if !inNotebook {
		if l.text != "" {
			fmt.Fprintln(out, l.text)
		}
		return
	}
	if l.held != nil {
		l.held()
	}
	gonbui.Sync()
}

// Progress returns a function that shows how far a piece of work is, in the
// form that study.Config.Progress asks for, and one that ends the display.
func Progress() (report func(stage string, done, total int), end func()) {
	l := NewLive()
	begin := time.Now()
	report = func(stage string, done, total int) {
		l.Text("%s: %d of %d, %s", stage, done, total, time.Since(begin).Round(time.Second))
	}
	return report, l.Close
}
