// Package s3 is a sweep's store in an S3 bucket, of any server that knows
// conditional writes (If-None-Match).
package s3

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/meshbench/meshbench/lab/sweep"
)

// Scheme is what URLs of buckets begin with.
const Scheme = "s3://"

// Bucket is a Store.
type Bucket struct {
	client *minio.Client
	bucket string
	prefix string // "" or ends in a slash
}

var _ sweep.Store = (*Bucket)(nil)

// Open returns the store of a URL: s3://BUCKET/PREFIX, with ?endpoint=URL of the
// server (default that of AWS) and &region=NAME (default us-east-1). Credentials
// are those of the environment: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY,
// AWS_SESSION_TOKEN. It looks whether the bucket can be listed.
func Open(ctx context.Context, text string) (*Bucket, error) {
	const accepted = "accepted: s3://BUCKET/PREFIX?endpoint=URL&region=NAME; keys are in the environment"
	u, err := url.Parse(text)
	if err != nil || u.Scheme+"://" != Scheme || u.Host == "" { // not the text, in which there may be a key
		return nil, errors.New("s3: it is not the URL of a bucket; " + accepted)
	}
	if u.User != nil {
		return nil, fmt.Errorf("s3: bucket %s has keys before it; %s", u.Host, accepted)
	}
	q := u.Query()
	for k := range q {
		if k != "endpoint" && k != "region" {
			return nil, fmt.Errorf("s3: bucket %s: unknown option %q; %s", u.Host, k, accepted)
		}
	}
	endpoint := &url.URL{Scheme: "https", Host: "s3.amazonaws.com"}
	if e := q.Get("endpoint"); e != "" {
		if endpoint, err = url.Parse(e); err != nil || endpoint.Host == "" || endpoint.User != nil || strings.Trim(endpoint.Path, "/") != "" {
			return nil, fmt.Errorf("s3: bucket %s: this is no endpoint; accepted: the URL of a server without keys, such as http://127.0.0.1:9000", u.Host)
		}
	}
	region := q.Get("region")
	if region == "" {
		region = "us-east-1"
	}
	c, err := minio.New(endpoint.Host, &minio.Options{Creds: credentials.NewEnvAWS(), Secure: endpoint.Scheme == "https", Region: region, BucketLookup: minio.BucketLookupAuto})
	if err != nil {
		return nil, fmt.Errorf("s3: %s: %w", endpoint, err)
	}
	b := &Bucket{client: c, bucket: u.Host, prefix: strings.Trim(u.Path, "/")}
	if b.prefix != "" {
		b.prefix += "/"
	}
	if err := b.look(ctx); err != nil {
		return nil, fmt.Errorf("s3: bucket %s at %s: %w", b.bucket, endpoint, err)
	}
	return b, nil
}

// patience bounds the first answer of a server.
const patience = 30 * time.Second

// look lists the store, which is needed later: that a bucket is there, asked by
// HEAD, would say less, and an answer to it has no words of the server's.
func (b *Bucket) look(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, patience, fmt.Errorf("no answer within %v", patience))
	defer cancel()
	for o := range b.client.ListObjects(ctx, b.bucket, minio.ListObjectsOptions{Prefix: b.prefix, Recursive: true, MaxKeys: 1}) {
		if o.Err == nil || ctx.Err() == nil {
			return said(o.Err) // one is enough
		}
	}
	return context.Cause(ctx) // nil for a store that is empty
}

// said is an error in the server's words, in one line: with its code, and
// without the URL of the request.
func said(err error) error {
	var answer minio.ErrorResponse
	var link *url.Error
	switch {
	case errors.As(err, &answer):
		return errors.New(answer.Code + ": " + strings.Join(strings.Fields(answer.Message), " "))
	case errors.As(err, &link):
		return link.Err
	}
	return err
}

// Get reads an object.
func (b *Bucket) Get(ctx context.Context, name string) ([]byte, error) {
	o, err := b.client.GetObject(ctx, b.bucket, b.prefix+name, minio.GetObjectOptions{})
	if err != nil {
		return nil, fmt.Errorf("s3: read %s: %w", name, said(err))
	}
	defer o.Close()
	data, err := io.ReadAll(o)
	switch r := minio.ToErrorResponse(err); {
	case err == nil:
		return data, nil
	case r.StatusCode == http.StatusNotFound || r.Code == "NoSuchKey":
		return nil, fmt.Errorf("%w: %s in bucket %s", sweep.ErrAbsent, name, b.bucket)
	}
	return nil, fmt.Errorf("s3: read %s: %w", name, said(err))
}

// PutIfAbsent writes with the condition that there is no object of that name.
func (b *Bucket) PutIfAbsent(ctx context.Context, name string, data []byte) (bool, error) {
	opts := minio.PutObjectOptions{ContentType: "application/octet-stream", DisableMultipart: true}
	opts.SetMatchETagExcept("*")
	const tries = 5
	for try := 1; ; try++ {
		_, err := b.client.PutObject(ctx, b.bucket, b.prefix+name, bytes.NewReader(data), int64(len(data)), opts)
		if err == nil {
			return true, nil
		}
		switch code := minio.ToErrorResponse(err).StatusCode; {
		case code == http.StatusPreconditionFailed:
			return false, nil
		case code != http.StatusConflict || try == tries: // two at the same time
			return false, fmt.Errorf("s3: write %s: %w", name, said(err))
		}
		select {
		case <-ctx.Done():
			return false, ctx.Err()
		case <-time.After(time.Duration(try) * 50 * time.Millisecond):
		}
	}
}

// List lists a prefix.
func (b *Bucket) List(ctx context.Context, prefix string) (names []string, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	for o := range b.client.ListObjects(ctx, b.bucket, minio.ListObjectsOptions{Prefix: b.prefix + prefix, Recursive: true}) {
		if o.Err != nil {
			return nil, fmt.Errorf("s3: list %s: %w", prefix, said(o.Err))
		}
		names = append(names, strings.TrimPrefix(o.Key, b.prefix))
	}
	slices.Sort(names)
	return names, nil
}
