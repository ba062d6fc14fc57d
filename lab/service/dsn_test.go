package service

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/meshbench/meshbench/lab/service/item"
)

// A canary as password, in every form that a DSN can have, is in no error and
// in no file's name; and only what is a path makes a file.
func TestDSNCanary(t *testing.T) {
	const canary = "s3cret"
	c, err := item.NewCatalogue([]item.Kind{{Items: 3, MeanBytes: 200, Shape: 1}}, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(t.TempDir())
	for _, k := range []string{"PGHOST", "PGPASSWORD", "PGUSER", "PGSERVICE", "PGPASSFILE"} {
		t.Setenv(k, "")
	}
	for _, dsn := range []string{
		"mysql://pat:s3cret@127.0.0.1/shop",
		"MYSQL://pat:s3cret@127.0.0.1/shop?password=s3cret",
		"POSTGRES://pat:s3cret@127.0.0.1:1/shop",
		"postgres://pat:s3cret@127.0.0.1:1/shop",
		"postgres://pat@127.0.0.1:1/shop?password=s3cret",
		"postgres://pat:s3cret@127.0.0.1:port/shop",
		"postgres://pat:12/s3cret@127.0.0.1:1/shop",
		"postgres://pat:12#s3cret@127.0.0.1:1/shop",
		"postgres://pat:12?s3cret@127.0.0.1:1/shop",
		"postgres://pat:%s3cret@127.0.0.1:1/shop",
		"postgres://pat:s3cret@127.0.0.1:1/shop?sslmode=s3cret",
		"postgres:pat:s3cret@127.0.0.1/shop",
		"postgres:shop",
		"127.0.0.1:5432/s3cret",
		"db.shop:5432",
		"file:shop.sqlite?password=s3cret",
		"shop.sqlite?password=s3cret",
		"./shop.sqlite?password=s3cret",
		"jdbc:postgresql://pat:s3cret@127.0.0.1/shop",
		"pat:s3cret@127.0.0.1/shop",
		":s3cret@127.0.0.1/shop",
		"//pat:s3cret@127.0.0.1/shop",
		"host=127.0.0.1 port=1 user=pat password=s3cret dbname=shop",
		"password=s3cret host=127.0.0.1 port=1",
		"password='s3cret' host=127.0.0.1 port=1",
		"host=127.0.0.1 port=1 password = s3cret",
		"host=127.0.0.1 port=port password=s3cret",
		"host=127.0.0.1 password='s3cret",
		"dbname=shop.sqlite passfile=s3cret port=1 host=127.0.0.1",
		"",
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		d, err := OpenDatabase(ctx, dsn, c)
		cancel()
		if err == nil {
			d.Close()
			t.Errorf("%q was opened", dsn)
			continue
		}
		text := err.Error()
		t.Log(text)
		if strings.Contains(text, canary) || strings.Contains(text, "\n") {
			t.Errorf("%q: the password, or more than one line: %q", dsn, text)
		}
	}
	if files, _ := os.ReadDir("."); len(files) > 0 {
		t.Errorf("the file %q was made", files[0].Name())
	}
	for _, path := range []string{"shop.sqlite", "./a:b@c.sqlite", "./x=1.sqlite", filepath.Join(t.TempDir(), "100%&?.sqlite")} {
		d, err := OpenDatabase(t.Context(), path, c)
		if err != nil {
			t.Errorf("%s: %v", path, err)
			continue
		}
		d.Close()
		if info, err := os.Stat(path); err != nil || !info.Mode().IsRegular() {
			t.Errorf("%s was not made: %v", path, err)
		}
	}
}
