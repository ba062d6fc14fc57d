package service_test

import (
	"context"
	"database/sql"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/meshbench/meshbench/lab/internal/pgtest"
	"github.com/meshbench/meshbench/lab/service"
	"github.com/meshbench/meshbench/lab/service/cause"
	"github.com/meshbench/meshbench/lab/service/item"
)

// A real PostgreSQL server holds the same items as SQLite does, and nodes serve
// the same replies from either.
func TestPostgres(t *testing.T) {
	server := pgtest.Start(t)
	c := catalogue(t, few, 1)
	dsn := server.DSN("items")
	d := open(t, dsn, c)
	if !same(contents(t, d, c), contents(t, open(t, ":memory:", c), c)) {
		t.Error("PostgreSQL and SQLite hold different items")
	}
	if _, err := d.Lookup(context.Background(), 0, c.Len(0)); err != sql.ErrNoRows {
		t.Errorf("a key beyond the last: error %v", err)
	}
	ours := newNode(t, service.NodeConfig{Catalogue: c, Database: d, TimeScale: 1000})
	reference := newNode(t, service.NodeConfig{Catalogue: c, TimeScale: 1000})
	for _, name := range two.ServiceNames() {
		for key := range 20 {
			path := fmt.Sprintf("/%s/items/%d", name, key)
			a, b := ask(ours, "GET", path, "", ""), ask(reference, "GET", path, "", "")
			if a.Code != http.StatusOK || a.Body.String() != b.Body.String() {
				t.Errorf("%s: %d %s, from SQLite %d %s", path, a.Code, a.Body, b.Code, b.Body)
			}
		}
	}
	if w := ask(ours, "GET", "/readyz", "", ""); w.Code != http.StatusOK {
		t.Errorf("/readyz: %d %s", w.Code, w.Body)
	}

	// Without the server the node says what it lacks, and recovers by itself.
	server.Stop()
	w := ask(ours, "GET", "/service2/items/1", "", "")
	if w.Code != 500 || w.Header().Get(service.FailureHeader) != cause.Database {
		t.Errorf("without the server: %d %q %s", w.Code, w.Header().Get(service.FailureHeader), w.Body)
	}
	if w := ask(ours, "GET", "/readyz", "", ""); w.Code != 503 {
		t.Errorf("/readyz without the server: %d %s", w.Code, w.Body)
	}
	server.Start()
	for begin := time.Now(); ; time.Sleep(10 * time.Millisecond) {
		w := ask(ours, "GET", "/service2/items/1", "", "")
		if w.Code == http.StatusOK {
			break
		}
		if time.Since(begin) > 10*time.Second {
			t.Fatalf("after the server's return: %d %s", w.Code, w.Body)
		}
	}
}

// A database is filled once for a catalogue, and anew for another.
func TestPostgresFill(t *testing.T) {
	server := pgtest.Start(t)
	dsn := server.DSN("items")
	first, second := catalogue(t, few, 1), catalogue(t, few, 2)
	open(t, dsn, first).Close()
	db, err := sql.Open("pgx", dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	const mine = `{"key": 3}`
	if _, err := db.Exec("UPDATE items1 SET content = $1 WHERE item_key = 3", mine); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		catalogue *item.Catalogue
		want      string
	}{{first, mine}, {second, second.Content(0, 3)}} {
		d := open(t, dsn, c.catalogue)
		if got, err := d.Lookup(context.Background(), 0, 3); err != nil || got != c.want {
			t.Errorf("%s: item 3 is %q, %v; want %q", c.catalogue.ID(), got, err, c.want)
		}
	}
}
