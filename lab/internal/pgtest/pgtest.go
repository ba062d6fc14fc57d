// Package pgtest starts throw-away PostgreSQL servers for tests. server.sh,
// beside it, installs the programs that it needs.
package pgtest

import (
	"context"
	"database/sql"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver
)

// Server is a PostgreSQL server on a free port of 127.0.0.1.
type Server struct {
	t    testing.TB
	bin  string // directory of the programs
	data string
	port int
	cmd  *exec.Cmd
	log  *os.File
}

// Start starts a server with an empty data directory, which ends with the test.
// Where the programs are missing the test is skipped.
func Start(t testing.TB) *Server {
	t.Helper()
	bin := programs()
	if bin == "" {
		t.Skip("no PostgreSQL server on this machine (initdb is missing); on Debian and Ubuntu: apt install postgresql")
	}
	s := &Server{t: t, bin: bin, port: freePort(t)}
	// The server runs as another user when the test is root's, and must reach
	// its directory: t.TempDir may be closed to others.
	dir, err := os.MkdirTemp("", "meshbench-postgres-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	s.data = filepath.Join(dir, "data")
	if s.log, err = os.Create(filepath.Join(dir, "log")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.log.Close() })
	cmd := s.program("initdb", "--pgdata", s.data, "--username", "meshbench", "--auth", "trust", "--no-sync", "--encoding", "UTF8", "--locale", "C")
	if c := cmd.SysProcAttr; c != nil {
		if err := os.Chown(dir, int(c.Credential.Uid), int(c.Credential.Gid)); err != nil {
			t.Fatal(err)
		}
	}
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %v\n%s", cmd, err, text)
	}
	s.Start()
	t.Cleanup(s.Stop)
	return s
}

// programs is the directory of initdb and postgres, "" when there is none.
func programs() string {
	candidates, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb") // Debian keeps them off the PATH
	if path, err := exec.LookPath("initdb"); err == nil {
		candidates = append(candidates, path)
	}
	slices.Reverse(candidates)
	for _, path := range candidates {
		if path, err := filepath.EvalSymlinks(path); err == nil {
			if _, err := os.Stat(filepath.Join(filepath.Dir(path), "postgres")); err == nil {
				return filepath.Dir(path)
			}
		}
	}
	return ""
}

func freePort(t testing.TB) int {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// program is a command of PostgreSQL, which refuses to run as root.
func (s *Server) program(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(s.bin, name), args...)
	cmd.Dir = "/"
	if os.Getuid() != 0 {
		return cmd
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, e1 := strconv.ParseUint(u.Uid, 10, 32)
		gid, e2 := strconv.ParseUint(u.Gid, 10, 32)
		if e1 == nil && e2 == nil {
			cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}
			return cmd
		}
	}
	s.t.Skip("PostgreSQL does not run as root, and there is no user postgres or nobody")
	return nil
}

// Start brings the server up, at the port it had.
func (s *Server) Start() {
	s.t.Helper()
	s.cmd = s.program("postgres", "-D", s.data, "-p", strconv.Itoa(s.port), "-k", "", "-c", "listen_addresses=127.0.0.1", "-c", "fsync=off")
	s.cmd.Stdout, s.cmd.Stderr = s.log, s.log
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	db := s.open("postgres")
	defer db.Close()
	for begin := time.Now(); ; time.Sleep(20 * time.Millisecond) {
		err := db.Ping()
		if err == nil {
			return
		}
		if time.Since(begin) > 30*time.Second {
			text, _ := os.ReadFile(s.log.Name())
			s.Stop()
			s.t.Fatalf("the server does not answer: %v\n%s", err, text)
		}
	}
}

// Stop takes the server down as a crash would: connections break.
func (s *Server) Stop() {
	if s.cmd == nil {
		return
	}
	s.cmd.Process.Signal(syscall.SIGQUIT)
	s.cmd.Wait() // its error is that it was told to quit
	s.cmd = nil
}

// DSN makes an empty database and returns its address.
func (s *Server) DSN(name string) string {
	s.t.Helper()
	db := s.open("postgres")
	defer db.Close()
	if _, err := db.ExecContext(context.Background(), "CREATE DATABASE "+name); err != nil {
		s.t.Fatal(err)
	}
	return s.address(name)
}

func (s *Server) address(name string) string {
	return fmt.Sprintf("postgres://meshbench@127.0.0.1:%d/%s?sslmode=disable", s.port, name)
}

func (s *Server) open(name string) *sql.DB {
	db, err := sql.Open("pgx", s.address(name))
	if err != nil {
		s.t.Fatal(err)
	}
	return db
}
