package local

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
)

// temporary is a folder for databases that nobody else uses. All are below one
// folder of the user's in os.TempDir: "0", "1" and so on, each beside a file that
// its process has locked, "0.lock". The lock goes with the process, so that the
// next to start finds and removes what one that was killed has left.
type temporary struct {
	parent string
	dir    string
	lock   *os.File
}

// maxTemporary bounds the testbeds of a user at one time.
const maxTemporary = 1000

// newTemporary makes a folder, and removes those that were left.
func newTemporary() (*temporary, error) {
	parent := filepath.Join(os.TempDir(), "meshbench-local"+owner())
	for range 100 { // others that end remove the parent when it is empty
		if err := own(parent); err != nil {
			return nil, err
		}
		clear, err := left(parent)
		if err != nil {
			return nil, err
		}
		t, err := take(parent)
		for _, l := range clear {
			l.remove()
		}
		if !errors.Is(err, os.ErrNotExist) {
			return t, err
		}
	}
	return nil, fmt.Errorf("%s comes and goes", parent)
}

// own makes the parent folder, which must be the user's alone.
func own(parent string) error {
	if err := os.Mkdir(parent, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	info, err := os.Lstat(parent)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil // removed meanwhile
	case err != nil:
		return err
	case !info.IsDir() || info.Mode().Perm()&0o022 != 0 || !mine(info):
		return fmt.Errorf("%s is not a folder that only its owner, this user, can write to; remove it, or set TMPDIR", parent)
	}
	return nil
}

// left are the folders whose processes have gone.
func left(parent string) ([]*temporary, error) {
	if !locking {
		return nil, nil
	}
	locks, err := filepath.Glob(filepath.Join(parent, "*.lock"))
	if err != nil {
		return nil, err
	}
	var list []*temporary
	for _, path := range locks {
		if t := lockAt(parent, path[:len(path)-len(".lock")], 0); t != nil {
			list = append(list, t)
		}
	}
	return list, nil
}

// take makes the first folder that is free.
func take(parent string) (*temporary, error) {
	for k := range maxTemporary {
		dir := filepath.Join(parent, strconv.Itoa(k))
		flag := os.O_CREATE
		if !locking {
			flag |= os.O_EXCL // one that is there may be in use
		}
		t := lockAt(parent, dir, flag)
		if t == nil {
			if _, err := os.Stat(parent); err != nil {
				return nil, err
			}
			continue
		}
		err := os.RemoveAll(dir)
		if err == nil {
			err = os.Mkdir(dir, 0o700)
		}
		if err != nil {
			t.remove()
			return nil, err
		}
		return t, nil
	}
	return nil, fmt.Errorf("no free folder in %s, which has %d or cannot be written to", parent, maxTemporary)
}

// lockAt locks a folder; nil where another has it.
func lockAt(parent, dir string, flag int) *temporary {
	f, err := os.OpenFile(dir+".lock", os.O_RDWR|flag, 0o600)
	if err != nil {
		return nil
	}
	if lock(f) {
		// The file must be the one that others find: who ends removes it.
		if have, err := f.Stat(); err == nil {
			if there, err := os.Stat(dir + ".lock"); err == nil && os.SameFile(have, there) {
				return &temporary{parent, dir, f}
			}
		}
	}
	f.Close()
	return nil
}

// remove removes the folder, and the parent when it was the last.
func (t *temporary) remove() error {
	err := os.RemoveAll(t.dir)
	if e := os.Remove(t.dir + ".lock"); err == nil {
		err = e
	}
	t.lock.Close()
	os.Remove(t.parent) // not when there are others
	return err
}
