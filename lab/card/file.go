package card

import (
	"archive/zip"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/meshbench/meshbench/lab/internal/atomicfile"
	"github.com/meshbench/meshbench/lab/internal/regular"
	"github.com/meshbench/meshbench/lab/ppo"
)

const (
	// Key is the card's in the metadata of a policy's file.
	Key = "card"
	// entry is the card in the archive of a model's file.
	entry = "card.json"
	// maxCard bounds a card, bytes.
	maxCard = 1 << 20
)

// open opens an archive; end closes it.
func open(path string) (z *zip.Reader, end func() error, err error) {
	f, size, err := regular.Read(path)
	if err != nil {
		return nil, nil, err
	}
	if z, err = zip.NewReader(f, size); err != nil {
		f.Close()
		return nil, nil, err
	}
	return z, f.Close, nil
}

// Kind says what a file is, Policy or Model, by what its archive holds. Another
// file is an error.
func Kind(path string) (string, error) {
	z, end, err := open(path)
	if errors.Is(err, zip.ErrFormat) || errors.Is(err, zip.ErrAlgorithm) || errors.Is(err, zip.ErrChecksum) {
		return "", fmt.Errorf("card: %s is truncated, or neither a policy nor a model", path)
	}
	if err != nil {
		return "", fmt.Errorf("card: %w", err)
	}
	defer end()
	for _, f := range z.File {
		switch f.Name {
		case "policy.json":
			return Policy, nil
		case "model.json":
			return Model, nil
		}
	}
	return "", fmt.Errorf("card: %s is neither a policy nor a model", path)
}

// Read reads the card of a policy or a model; ok is false for a file that has
// none, as those of older versions.
func Read(path string) (c Card, ok bool, err error) {
	kind, err := Kind(path)
	if err != nil {
		return c, false, err
	}
	var text []byte
	if kind == Policy {
		p, err := ppo.Load(path)
		if err != nil {
			return c, false, err
		}
		text = []byte(p.Metadata[Key])
	} else if text, err = readEntry(path); err != nil {
		return c, false, fmt.Errorf("card: %s: %w", path, err)
	}
	if len(text) == 0 {
		return c, false, nil
	}
	if c, err = Parse(text); err != nil {
		return c, false, fmt.Errorf("%s: %w", path, err)
	}
	if c.What != kind {
		return c, false, fmt.Errorf("card: %s is a %s with the card of a %s", path, kind, c.What)
	}
	return c, true, nil
}

// readEntry returns the card of a model's file, nil where there is none.
func readEntry(path string) ([]byte, error) {
	z, end, err := open(path)
	if err != nil {
		return nil, err
	}
	defer end()
	f, err := z.Open(entry)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxCard+1))
	if len(text) > maxCard {
		return nil, fmt.Errorf("%s: more than %d bytes", entry, maxCard)
	}
	return text, err
}

// Saver is a policy or a model that is written to a file.
type Saver interface {
	Save(path string) error
}

// SavePolicy writes a policy with its card, and the card as Markdown beside it.
// net is the policy's network, whose Metadata it sets.
func (c Card) SavePolicy(path string, p Saver, net *ppo.Policy) error {
	text, err := c.Text()
	if err != nil {
		return err
	}
	net.Metadata[Key] = string(text)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("card: %w", err)
	}
	if err := p.Save(path); err != nil {
		return err
	}
	return c.describe(path)
}

// SaveModel writes a model with its card, and the card as Markdown beside it.
func (c Card) SaveModel(path string, m Saver) error {
	text, err := c.Text()
	if err != nil {
		return err
	}
	// The model makes its archive, to which the card is added before the file is in
	// its place.
	dir, err := os.MkdirTemp("", "meshbench-model-")
	if err != nil {
		return fmt.Errorf("card: %w", err)
	}
	defer os.RemoveAll(dir)
	plain := filepath.Join(dir, "model")
	if err := m.Save(plain); err != nil {
		return err
	}
	data, err := add(plain, entry, text)
	if err == nil {
		err = atomicfile.Write(path, data)
	}
	if err != nil {
		return fmt.Errorf("card: save %s: %w", path, err)
	}
	return c.describe(path)
}

// add returns the archive at path with one more entry.
func add(path, name string, data []byte) ([]byte, error) {
	r, end, err := open(path)
	if err != nil {
		return nil, err
	}
	defer end()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for _, f := range r.File {
		if err := w.Copy(f); err != nil {
			return nil, err
		}
	}
	e, err := w.CreateHeader(&zip.FileHeader{Name: name, Method: zip.Store})
	if err == nil {
		_, err = e.Write(data)
	}
	if err == nil {
		err = w.Close()
	}
	return b.Bytes(), err
}

// Beside is the path of a file beside an artefact: "policy.md" for policy or
// policy.zip, and ".md". Other endings stay, so that shop.model and shop.policy
// have a card each.
func Beside(path, extension string) string {
	return strings.TrimSuffix(path, ".zip") + extension
}

// Free reports what keeps an artefact from being written: no regular file of its
// name, or a file where the Markdown of its card goes that is none and would be
// lost.
func Free(path string) error {
	at := Beside(path, ".md")
	if err := regular.Free(path); err != nil {
		return fmt.Errorf("card: %w", err)
	}
	f, _, err := regular.Read(at)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("card: %w", err)
	}
	defer f.Close()
	begin := make([]byte, len(heading))
	if _, err := io.ReadFull(f, begin); err != nil || string(begin) != heading {
		return fmt.Errorf("card: %s, where the card goes, is another file; choose another name", at)
	}
	return nil
}

func (c Card) describe(path string) error {
	if err := Free(path); err != nil {
		return err
	}
	if err := atomicfile.Write(Beside(path, ".md"), c.Markdown()); err != nil {
		return fmt.Errorf("card: %w", err)
	}
	return nil
}
