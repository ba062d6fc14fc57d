// Package regular opens files that end: not pipes, which wait for another
// process, nor devices, which may give bytes for ever.
package regular

import (
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"regexp"
)

// scheme begins a URL. One letter is a drive.
var scheme = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9+.-]+://`)

// Path refuses a URL, which as a path would be folders of that name. Of it only
// the scheme is shown, since a password may follow.
func Path(path string) error {
	if s := scheme.FindString(path); s != "" {
		return fmt.Errorf("%s... is a URL; accepted: a path on this machine", s)
	}
	return nil
}

// Open is os.OpenFile for regular files. Anything else at path is refused
// without being opened, since to open a pipe may wait for ever.
func Open(path string, flag int, perm fs.FileMode) (*os.File, error) {
	if err := Path(path); err != nil {
		return nil, err
	}
	info, err := os.Stat(path)
	if err == nil {
		err = check(path, info)
	} else if flag&os.O_CREATE != 0 && os.IsNotExist(err) {
		err = nil
	}
	if err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path, flag, perm)
	if err != nil {
		return nil, err
	}
	if info, err = f.Stat(); err == nil {
		err = check(path, info)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// Read opens a regular file for reading, and tells its size.
func Read(path string) (f *os.File, size int64, err error) {
	if f, err = Open(path, os.O_RDONLY, 0); err != nil {
		return nil, 0, err
	}
	info, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, 0, err
	}
	return f, info.Size(), nil
}

// Any is the bound of ReadFile for files of whatever size.
const Any = math.MaxInt64

// ReadFile reads a whole regular file of at most so many bytes.
func ReadFile(path string, most int64) ([]byte, error) {
	f, size, err := Read(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if size > most {
		return nil, fmt.Errorf("%s has %d bytes; accepted: at most %d", path, size, most)
	}
	b := bytes.NewBuffer(make([]byte, 0, size+bytes.MinRead))
	_, err = b.ReadFrom(io.LimitReader(f, most))
	return b.Bytes(), err
}

// Create is os.Create for regular files, whose folder it makes.
func Create(path string) (*os.File, error) {
	if err := Free(path); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, err
	}
	return Open(path, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o666)
}

// Free reports what is at path and no regular file: to write there would replace
// a device or a pipe. A URL is no path. Who makes the file's folder asks before.
func Free(path string) error {
	if err := Path(path); err != nil {
		return err
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil // that it cannot be written is said by who writes
	}
	return check(path, info)
}

// Folder reports what is at path and no folder, so that it is said before the work
// whose results are to go there. A URL is no path.
func Folder(path string) error {
	if err := Path(path); err != nil {
		return err
	}
	if info, err := os.Stat(path); err == nil && !info.IsDir() {
		return fmt.Errorf("%s is no folder; accepted: a folder, which is made where there is none", path)
	}
	return nil
}

func check(path string, info fs.FileInfo) error {
	what := "something else"
	switch mode := info.Mode(); {
	case mode.IsRegular():
		return nil
	case mode.IsDir():
		what = "a folder"
	case mode&fs.ModeNamedPipe != 0:
		what = "a pipe"
	case mode&fs.ModeSocket != 0:
		what = "a socket"
	case mode&fs.ModeDevice != 0:
		what = "a device"
	}
	return fmt.Errorf("%s is %s; accepted: a regular file", path, what)
}
