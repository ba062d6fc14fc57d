package service_test

import (
	"database/sql"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/meshbench/meshbench/lab/internal/pgtest"
	"github.com/meshbench/meshbench/lab/service"
)

// openTogether opens one database from several places at the same moment.
func openTogether(t *testing.T, dsn string, seed uint64) {
	t.Helper()
	c := catalogue(t, few, seed)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			d, err := service.OpenDatabase(t.Context(), dsn, c)
			if err != nil {
				t.Errorf("seed %d: %v", seed, err)
				return
			}
			defer d.Close()
			if got, err := d.Lookup(t.Context(), 1, 7); err != nil || got != c.Content(1, 7) {
				t.Errorf("seed %d: item 7 is %q, %v", seed, got, err)
			}
		})
	}
	wg.Wait()
}

// Several that start at the same moment fill one database once; all of them
// find its items, whether it was new or had others.
func TestFillTogether(t *testing.T) {
	path := filepath.Join(t.TempDir(), "shop.sqlite")
	for seed := range uint64(6) {
		openTogether(t, path, seed)
	}
}

func TestFillTogetherPostgres(t *testing.T) {
	dsn := pgtest.Start(t).DSN("items")
	for seed := range uint64(3) {
		openTogether(t, dsn, seed)
	}
}

// A database is a regular file: no pipe is waited for.
func TestDatabaseInPipe(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Skip(err)
	}
	c := catalogue(t, few, 1)
	for _, p := range []string{path, "/dev/null", t.TempDir()} {
		if _, err := service.OpenDatabase(t.Context(), p, c); err == nil || err.Error() != "service: database: "+p+" is not a regular file" {
			t.Errorf("%s: error %v", p, err)
		}
	}
}

// A table of another's that is called as one of the items stays.
func TestTableOfAnother(t *testing.T) {
	path := filepath.Join(t.TempDir(), "theirs.sqlite")
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec("CREATE TABLE items2 (theirs TEXT); INSERT INTO items2 VALUES ('kept')"); err != nil {
		t.Fatal(err)
	}
	if _, err := service.OpenDatabase(t.Context(), path, catalogue(t, few, 1)); err == nil || !strings.Contains(err.Error(), "making items2, a table that nobody else has there: ") {
		t.Errorf("error %v", err)
	}
	var theirs string
	if err := db.QueryRow("SELECT theirs FROM items2").Scan(&theirs); err != nil || theirs != "kept" {
		t.Errorf("theirs is %q, %v", theirs, err)
	}
}
