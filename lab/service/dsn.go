package service

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"regexp"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
)

// dsn is where a database is.
type dsn struct {
	driver string // of database/sql
	name   string // for the driver
	shown  string // for people: no secret is in it
	memory bool   // SQLite, in memory
	hide   []string
}

const dsnForms = "accepted: the path of a SQLite file, :memory:, postgres://USER:PASSWORD@HOST:PORT/DATABASE, or host=... user=... password=... dbname=..."

var (
	schemeForm  = regexp.MustCompile(`^([A-Za-z][A-Za-z0-9+.-]+):`) // one letter is a drive
	addressForm = regexp.MustCompile(`^[^/\\\s]+:[0-9]+(/|$)`)
	keywordForm = regexp.MustCompile(`^\s*[A-Za-z_]+\s*=`)
	secretForm  = regexp.MustCompile(`(?i)(?:password|passwd|pwd|sslpassword|passfile)\s*=\s*('(?:[^'\\]|\\.)*'|[^\s&]*)`)
)

// parseDSN tells what a DSN means. What it does not know is no path. No error
// has any part of a DSN in it that may be a secret.
func parseDSN(text string) (dsn, error) {
	scheme := ""
	if m := schemeForm.FindStringSubmatch(text); m != nil {
		scheme = strings.ToLower(m[1])
	}
	switch {
	case text == "":
		return dsn{}, errors.New("it is empty; " + dsnForms)
	case text == ":memory:":
		return dsn{driver: "sqlite", name: sqliteName(text), shown: text, memory: true}, nil
	case (scheme == "postgres" || scheme == "postgresql") && strings.HasPrefix(text[len(scheme):], "://"):
		return postgresDSN(scheme + text[len(scheme):])
	case scheme != "" && strings.HasPrefix(text[len(scheme):], "://"):
		return dsn{}, fmt.Errorf("scheme %q is not known; %s", scheme, dsnForms)
	case keywordForm.MatchString(text):
		return postgresDSN(text)
	case secretForm.MatchString(text), !isPath(text) && (scheme != "" || addressForm.MatchString(text) || strings.Contains(text, "@") && strings.Contains(text, ":")):
		return dsn{}, errors.New("it looks like the DSN of a server, and of none that is known; " + dsnForms + "; the path of a file whose name has a colon begins with ./")
	}
	if strings.ContainsRune(text, 0) {
		return dsn{}, errors.New("a path has no NUL; " + dsnForms)
	}
	if err := regular(text); err != nil {
		return dsn{}, err
	}
	return dsn{driver: "sqlite", name: sqliteName(text), shown: text}, nil
}

// isPath reports whether a text can be nothing but a path.
func isPath(text string) bool {
	return strings.HasPrefix(text, "./") || strings.HasPrefix(text, "../") || strings.HasPrefix(text, "/") && !strings.HasPrefix(text, "//")
}

// regular reports a path of something that is there and no regular file.
func regular(path string) error {
	for _, p := range []string{path, path + "-wal", path + "-shm"} {
		if info, err := os.Stat(p); err == nil && !info.Mode().IsRegular() {
			return fmt.Errorf("%s is not a regular file", p)
		}
	}
	return nil
}

// sqliteName has transactions take the lock for writing when they begin: of two
// that fill a database the second then waits.
func sqliteName(path string) string {
	return "file:" + (&url.URL{Path: path}).EscapedPath() +
		"?_txlock=immediate&_pragma=busy_timeout(60000)&_pragma=journal_mode(WAL)&_pragma=synchronous(NORMAL)"
}

// postgresDSN is a server's.
func postgresDSN(text string) (dsn, error) {
	c, err := pgx.ParseConfig(text)
	// Of a password with a character that ends it the rest would be read as a
	// database or a host, and shown.
	if _, rest, isURL := strings.Cut(text, "://"); err == nil && isURL {
		if end := strings.IndexAny(rest, "/?#"); strings.Contains(rest, "#") || end >= 0 && strings.Contains(rest[end:], "@") {
			err = errors.New("ambiguous")
		}
	}
	if err != nil {
		// The driver's error repeats what it was given; a password in it is not
		// always where it can be found.
		return dsn{}, fmt.Errorf("not a DSN of PostgreSQL%s; accepted: postgres://USER:PASSWORD@HOST:PORT/DATABASE, with what is special in a URL escaped, or host=... user=... password=... dbname=...", wrongPort(text))
	}
	d := dsn{driver: "pgx", name: text, shown: strings.TrimPrefix(c.Database+" on PostgreSQL at ", " on ") + address(c.Host, c.Port), hide: []string{c.Password}}
	for _, m := range secretForm.FindAllStringSubmatch(text, -1) {
		value := strings.Trim(m[1], "'")
		d.hide = append(d.hide, value)
		if plain, err := url.QueryUnescape(value); err == nil {
			d.hide = append(d.hide, plain)
		}
	}
	return d, nil
}

// wrongPort names the most common mistake, where the text is safe to look at.
func wrongPort(text string) string {
	at := strings.LastIndexByte(text, '@')
	if at < 0 {
		return ""
	}
	host, _, _ := strings.Cut(text[at+1:], "/")
	host, _, _ = strings.Cut(host, "?")
	if _, port, ok := strings.Cut(host, ":"); ok {
		if _, err := strconv.Atoi(port); err != nil {
			return ": its port is not a number"
		}
	}
	return ""
}

func address(host string, port uint16) string {
	if strings.HasPrefix(host, "/") {
		return host // the folder of a socket
	}
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	return fmt.Sprintf("%s:%d", host, port)
}

// clean is err without a secret of the DSN, which a server or driver may repeat.
func (d dsn) clean(err error) error {
	text := err.Error()
	clean := strings.ReplaceAll(text, "\n", "; ")
	for _, secret := range d.hide {
		if len(secret) > 0 {
			clean = strings.ReplaceAll(clean, secret, "xxxxx")
		}
	}
	if clean == text {
		return err
	}
	return &cleaned{clean, err}
}

// cleaned is an error whose text must not be shown.
type cleaned struct {
	text string
	err  error
}

func (c *cleaned) Error() string        { return c.text }
func (c *cleaned) Is(target error) bool { return errors.Is(c.err, target) }
