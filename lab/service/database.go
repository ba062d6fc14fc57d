// Package service holds the programs of the mesh as http.Handlers: processing
// nodes, which look items up in a database by key and render them, and the
// front node, which blocks requests, makes the calls of the rest, and shows a
// page (paper, Section III). Testbeds run them in one process over loopback or
// in pods.
package service

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	_ "github.com/jackc/pgx/v5/stdlib" // PostgreSQL
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/meshbench/meshbench/lab/service/item"
)

// Database holds the items of all microservices, a table for each.
type Database struct {
	db     *sql.DB
	dsn    dsn
	lookup []*sql.Stmt
}

// OpenDatabase opens the database and, where it was not filled from catalogue c
// before, fills it in one transaction; of several that do so at the same moment
// one fills it and the others wait. A dsn is postgres://..., or host=...
// dbname=... and so on, for a PostgreSQL server, ":memory:" for a database in
// memory, or else the path of a SQLite file, made when missing. No error has a
// password in it.
func OpenDatabase(ctx context.Context, dsn string, c *item.Catalogue) (*Database, error) {
	at, err := parseDSN(dsn)
	if err != nil {
		return nil, fmt.Errorf("service: database: %w", err)
	}
	wrap := func(err error) error { return fmt.Errorf("service: database %s: %w", at.shown, at.clean(err)) }
	db, err := sql.Open(at.driver, at.name)
	if err != nil {
		return nil, wrap(err)
	}
	if at.memory {
		db.SetMaxOpenConns(1) // each connection would have a database of its own
	}
	d := &Database{db: db, dsn: at}
	if err = d.connect(ctx); err == nil {
		err = d.prepare(ctx, c)
	}
	if err != nil {
		db.Close()
		return nil, wrap(err)
	}
	return d, nil
}

// connectTimeout bounds the wait for a server that does not refuse but never
// answers.
const connectTimeout = 10 * time.Second

func (d *Database) connect(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, connectTimeout, fmt.Errorf("no answer within %v", connectTimeout))
	defer cancel()
	err := d.db.PingContext(ctx)
	for d.busy(err) && ctx.Err() == nil {
		// Two that make a file's journal at the same moment do not wait for each
		// other, whatever the driver is told.
		time.Sleep(10 * time.Millisecond)
		err = d.db.PingContext(ctx)
	}
	var failed *pgconn.ConnectError
	switch {
	case err != nil && ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.As(err, &failed):
		return &connectError{failed}
	}
	return err
}

// connectError is a failed connection to PostgreSQL in one line. The driver has
// a line for each try, with and without TLS and for every address of the host.
type connectError struct{ err *pgconn.ConnectError }

func (e *connectError) Error() string {
	return strings.Join(slices.Compact(strings.Split(e.err.Unwrap().Error(), "\n")), "; ")
}

func (e *connectError) Unwrap() error { return e.err }

func (d *Database) prepare(ctx context.Context, c *item.Catalogue) error {
	if err := d.fill(ctx, c); err != nil {
		return err
	}
	for i := range c.Services() {
		stmt, err := d.db.PrepareContext(ctx, fmt.Sprintf("SELECT content FROM items%d WHERE item_key = $1", i+1))
		if err != nil {
			return err
		}
		d.lookup = append(d.lookup, stmt)
	}
	return nil
}

// busy reports whether SQLite gave up on a lock.
func (d *Database) busy(err error) bool {
	var e *sqlite.Error
	return errors.As(err, &e) && e.Code()&0xff == sqlite3.SQLITE_BUSY
}

// filled reports whether the tables are there and hold the items of c.
func (d *Database) filled(ctx context.Context, c *item.Catalogue) bool {
	var id string
	return d.db.QueryRowContext(ctx, "SELECT id FROM catalogue").Scan(&id) == nil && id == c.ID()
}

// fillLock is a number that those who fill a PostgreSQL database agree on.
const fillLock = 0x6d657368

// fill makes the tables unless they hold the items of c already.
func (d *Database) fill(ctx context.Context, c *item.Catalogue) error {
	if d.filled(ctx, c) {
		return nil // without the lock, which may take long to get
	}
	tx, err := d.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	if d.dsn.driver == "pgx" {
		if _, err := tx.ExecContext(ctx, "SELECT pg_advisory_xact_lock($1)", fillLock); err != nil {
			return err
		}
	}
	if _, err := tx.ExecContext(ctx, "CREATE TABLE IF NOT EXISTS catalogue (id TEXT)"); err != nil {
		return err
	}
	var id string
	if err := tx.QueryRowContext(ctx, "SELECT id FROM catalogue").Scan(&id); err == nil && id == c.ID() {
		return nil
	} else if err != nil && err != sql.ErrNoRows {
		return err
	}
	if _, err := tx.ExecContext(ctx, "DELETE FROM catalogue"); err != nil {
		return err
	}
	for i := range c.Services() {
		table := fmt.Sprintf("items%d", i+1)
		fill := "CREATE TABLE " + table + " (item_key INTEGER PRIMARY KEY, content TEXT NOT NULL)"
		if id != "" { // else a table of that name is another's
			fill = "DROP TABLE IF EXISTS " + table + "; " + fill
		}
		if _, err := tx.ExecContext(ctx, fill); err != nil {
			return fmt.Errorf("making %s, a table that nobody else has there: %w", table, err)
		}
		const batch = 200 // rows of one statement
		for from := 0; from < c.Len(i); from += batch {
			var values []string
			var args []any
			for key := from; key < min(from+batch, c.Len(i)); key++ {
				values = append(values, fmt.Sprintf("($%d, $%d)", len(args)+1, len(args)+2))
				args = append(args, key, c.Content(i, key))
			}
			if _, err := tx.ExecContext(ctx, "INSERT INTO "+table+" VALUES "+strings.Join(values, ", "), args...); err != nil {
				return fmt.Errorf("filling %s: %w", table, err)
			}
		}
	}
	if _, err := tx.ExecContext(ctx, "INSERT INTO catalogue VALUES ($1)", c.ID()); err != nil {
		return err
	}
	return tx.Commit()
}

// Lookup returns the item of microservice i with the given key; sql.ErrNoRows when
// there is none.
func (d *Database) Lookup(ctx context.Context, i, key int) (string, error) {
	var content string
	err := d.lookup[i].QueryRowContext(ctx, key).Scan(&content)
	return content, err
}

// Ping reports whether the database answers.
func (d *Database) Ping(ctx context.Context) error { return d.db.PingContext(ctx) }

// Close closes the database.
func (d *Database) Close() error { return d.db.Close() }
