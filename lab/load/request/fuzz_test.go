package request

import (
	"net/http"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// A mix that compiles draws requests that can be sent, the same ones again.
func FuzzCompile(f *testing.F) {
	f.Add(shop, uint64(3))
	f.Add("- {path: '/{a}', values: {a: {min: 1, max: 9007199254740993}}}", uint64(0))
	f.Add("- {path: '/%zz?{a}#x', values: {a: ['%', ' ', \"\\n\"]}, headers: {A: '{a}'}}", uint64(1))
	f.Add("- {path: /, weight: .inf}", uint64(1))
	f.Fuzz(func(t *testing.T, text string, draw uint64) {
		var m Mix
		if len(text) > 1<<12 || yaml.Unmarshal([]byte(text), &m) != nil {
			return
		}
		p, err := Compile(m)
		if err != nil {
			if strings.ContainsAny(err.Error(), "\r\n") || len(err.Error()) > 2000 {
				t.Fatalf("%d bytes of error: %.300q", len(err.Error()), err)
			}
			return
		}
		calls, pause := p.Draw(draw)
		if !(pause >= 0) || len(calls) == 0 {
			t.Fatalf("%d requests, %v s apart", len(calls), pause)
		}
		for _, c := range calls {
			if _, err := http.NewRequest(c.Method, "http://127.0.0.1"+c.Path, nil); err != nil {
				t.Errorf("%+v cannot be sent: %v", c, err)
			}
		}
	})
}
