package load

import (
	"bytes"
	"math"
	"testing"
)

// Whatever a file holds, it gives finite loads or an error of bounded length.
func FuzzReadLoads(f *testing.F) {
	for _, seed := range []string{
		"", "l1,l2\n1,2\n", "# c\nstep,l2,l1,mark\n0,2,1,\n1,4.5,3,\"a\nb\"\n", "\ufeffl1,l2\r\n1,2\r\n", "l1,l2\r1,2\r",
		"l1,l2,l1\n1,2,3\n", "l1,l2\n1,\"2", "l1,l2\n1,1e999\n", "\x1f\x8b\x08", "l1,l2\n1\"2,3\n", "l1,l2\n\"1\"2,3\n",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		loads, err := readLoads(bytes.NewReader(data), 2)
		if (err == nil) == (len(loads) == 0) {
			t.Fatalf("%d loads, %v", len(loads), err)
		}
		if err != nil && len(err.Error()) > 2000 {
			t.Fatalf("an error of %d bytes", len(err.Error()))
		}
		for _, l := range loads {
			if len(l) != 2 || !(l[0] >= 0 && l[1] >= 0) || math.IsInf(l[0]+l[1]/2, 1) && l[0] < 1e308 && l[1] < 1e308 {
				t.Fatalf("load %v", l)
			}
		}
	})
}
