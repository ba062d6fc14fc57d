package model_test

import (
	"archive/zip"
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/meshbench/meshbench/lab/forest"
	"github.com/meshbench/meshbench/lab/internal/modeltest"
	"github.com/meshbench/meshbench/lab/model"
)

// A model's file is refused in one short line, or predicts; what its entries claim
// takes no memory. The entries are fuzzed, since a zip's checksums would keep
// anything else out.
func FuzzUnpack(f *testing.F) {
	space := modeltest.Paper()
	m, err := model.Learn(context.Background(), modeltest.Trace(f, space, 40), model.Config{Forest: forest.Config{Trees: 1, MinLeaf: 10}})
	if err != nil {
		f.Fatal(err)
	}
	path := filepath.Join(f.TempDir(), "model.zip")
	if err := m.Save(path); err != nil {
		f.Fatal(err)
	}
	file, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	z, err := zip.NewReader(bytes.NewReader(file), int64(len(file)))
	if err != nil {
		f.Fatal(err)
	}
	var others []*zip.File
	for _, e := range z.File {
		if e.Name != "model.json" {
			others = append(others, e)
			continue
		}
		r, err := e.Open()
		if err != nil {
			f.Fatal(err)
		}
		var text bytes.Buffer
		if _, err := text.ReadFrom(r); err != nil {
			f.Fatal(err)
		}
		f.Add(text.Bytes())
	}
	f.Add([]byte(`{"version": 1}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		var b bytes.Buffer
		w := zip.NewWriter(&b)
		for _, e := range others {
			if err := w.Copy(e); err != nil {
				t.Fatal(err)
			}
		}
		e, err := w.CreateHeader(&zip.FileHeader{Name: "model.json", Method: zip.Store})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := e.Write(text); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := model.Open(path)
		if err != nil {
			if strings.ContainsAny(err.Error(), "\r\n") || len(err.Error()) > 2000 {
				t.Fatalf("%d bytes of error: %.300q", len(err.Error()), err)
			}
			return
		}
		if s := got.Space(); s == nil || s.Mesh().M() == 0 {
			t.Error("a model of no mesh")
		}
	})
}
