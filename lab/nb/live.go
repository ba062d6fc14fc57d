package nb

import (
	"bytes"
	"fmt"
	"html"
	"io"
	"sync"
	"time"

	"github.com/janpfeifer/gonb/gonbui"
	"golang.org/x/sys/unix"
)

// Live is a place in a notebook whose content is replaced while work goes on.
// It may be used by several goroutines. Outside a notebook texts are printed on
// one line of a terminal; in a log every five seconds, and the last one by Close.
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
		l.id = "meshbench-" + gonbui.UniqueId()
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
	if !inNotebook && terminal() > 0 {
		if text != "" && time.Since(l.last) >= interval {
			fmt.Fprint(out, "\r\033[K"+cut(text, terminal()-1))
			l.last = time.Now()
		}
		return
	}
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
		if l.text != "" && terminal() > 0 {
			fmt.Fprint(out, "\r\033[K")
		}
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

// terminal is the width of the terminal that out is, 0 when it is none.
func terminal() int {
	f, ok := out.(interface{ Fd() uintptr })
	if !ok {
		return 0
	}
	size, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ)
	if err != nil {
		return 0
	}
	return int(size.Col)
}

// cut cuts a line to so many letters.
func cut(line string, n int) string {
	if r := []rune(line); len(r) > n {
		return string(r[:max(n, 0)])
	}
	return line
}

// Progress returns a function that shows how far a piece of work is, in the
// form that study.Config.Progress asks for, and one that ends the display. The
// time that is left is that of the stage, at the rate since its first report.
func Progress() (report func(stage string, done, total int), end func()) {
	l := NewLive()
	begin := time.Now()
	var mu sync.Mutex
	var now string
	var entered time.Time
	var first int // done when the stage was entered
	report = func(stage string, done, total int) {
		mu.Lock()
		defer mu.Unlock()
		if stage != now {
			now, entered, first = stage, time.Now(), done
		}
		line := fmt.Sprintf("%s: %d of %d, %s", stage, done, total, time.Since(begin).Round(time.Second))
		if done > first && done < total {
			left := time.Duration(float64(time.Since(entered)) / float64(done-first) * float64(total-done))
			line += fmt.Sprintf(", about %s left", left.Round(time.Second))
		}
		l.Text("%s", line)
	}
	return report, l.Close
}
