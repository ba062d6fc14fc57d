// Package regular opens files that end: not pipes, which wait for another
// process, nor devices, which may give bytes for ever.
package regular

import (
	"fmt"
	"io/fs"
	"os"
)

// Open is os.OpenFile for regular files. Anything else at path is refused
// without being opened, since to open a pipe may wait for ever.
func Open(path string, flag int, perm fs.FileMode) (*os.File, error) {
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
