package service

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/meshbench/meshbench/lab/service/call"
)

// maxReply bounds what a node answers, in bytes.
const maxReply = 16 << 20

// answer is what became of a call.
type answer struct {
	body   []byte
	node   string    // "" when unknown
	at     time.Time // when the reply counts as come
	failed *failure
}

// path makes the calls of service i, stage by stage, and joins their replies.
func (f *Front) path(ctx context.Context, w http.ResponseWriter, r *http.Request, i int, began time.Time) {
	draw, err := strconv.ParseUint(r.PathValue("key"), 10, 64)
	if err != nil {
		http.Error(w, fmt.Sprintf("items of %s are drawn by a whole number from 0 on, not %q", f.cfg.Mesh.Services[i].Name, r.PathValue("key")), http.StatusNotFound)
		return
	}
	var calls []call.Call
	var bodies [][]byte
	for _, stage := range f.layout.Stages[i] {
		answers := make([]answer, len(stage))
		var parallel sync.WaitGroup
		for k, c := range stage {
			to, label := f.next(c)
			f.calls.WithLabelValues(f.cfg.Mesh.Services[i].Name, f.layout.Microservices[f.layout.Calls[c].Microservice], label).Inc()
			if k == len(stage)-1 { // the last on this goroutine
				answers[k] = f.ask(ctx, r.Header, c, to, draw, began)
				break
			}
			parallel.Go(func() { answers[k] = f.ask(ctx, r.Header, c, to, draw, began) })
		}
		parallel.Wait()
		end := began
		var failed *answer
		for k, c := range stage {
			a := &answers[k]
			if a.failed != nil {
				if failed == nil {
					failed = a
				}
				continue
			}
			calls = append(calls, call.Call{Microservice: f.layout.Microservices[f.layout.Calls[c].Microservice], Node: a.node, Seconds: a.at.Sub(began).Seconds()})
			bodies = append(bodies, bytes.TrimSpace(a.body))
			if a.at.After(end) {
				end = a.at
			}
		}
		if failed != nil {
			w.Header().Set(CallsHeader, call.Format(calls))
			if failed.node != "" {
				w.Header().Set(NodeHeader, failed.node)
			}
			w.Header().Set(FailureHeader, failed.failed.reason)
			http.Error(w, failed.failed.text, failed.failed.status)
			return
		}
		// The next stage counts from when this one was due to end: a wake-up that
		// comes late is made good by the next link.
		began = end
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, `{"service":%q,"calls":[`, f.cfg.Mesh.Services[i].Name)
	b.Write(bytes.Join(bodies, []byte(",")))
	b.WriteString("]}\n")
	w.Header().Set(CallsHeader, call.Format(calls))
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(b.Len()))
	w.Write(b.Bytes())
}

// ask makes one call and waits for its reply.
func (f *Front) ask(ctx context.Context, from http.Header, c, to int, draw uint64, began time.Time) (a answer) {
	if f.cfg.Upstreams == nil {
		a.node = f.names[to]
	}
	at := f.layout.Calls[c]
	microservice := f.layout.Microservices[at.Microservice]
	key := strconv.FormatUint(draw%uint64(f.cfg.Items[at.Microservice]), 10)
	u := *f.base[to]
	u.Path, u.RawPath = strings.TrimRight(u.Path, "/")+itemPath(microservice, key), ""
	req := (&http.Request{Method: http.MethodGet, URL: &u, Host: u.Host, Header: http.Header{}}).WithContext(ctx)
	for _, h := range propagated {
		if v := from[h]; v != nil {
			req.Header[h] = v
		}
	}
	req.Header.Set(ServiceHeader, f.cfg.Mesh.Services[at.Service].Name)
	reply, err := f.round.RoundTrip(req)
	if err != nil {
		x := unreachable(err)
		a.failed = &x
		return a
	}
	defer reply.Body.Close()
	if node := reply.Header.Get(NodeHeader); node != "" {
		a.node = node
	}
	a.body, err = io.ReadAll(io.LimitReader(reply.Body, maxReply+1))
	if err == nil && len(a.body) > maxReply {
		err = errors.New("its reply is too long")
	}
	if err != nil {
		x := unreachable(err)
		a.failed = &x
		return a
	}
	a.at = f.hold(began, reply.Header)
	if reply.StatusCode == http.StatusOK {
		return a
	}
	a.failed = &failure{reply.StatusCode, reply.Header.Get(FailureHeader), fmt.Sprintf("%s: %.300s", microservice, strings.TrimSpace(string(a.body)))}
	if a.failed.reason == "" {
		a.failed.reason = "status " + strconv.Itoa(reply.StatusCode)
	}
	if reply.StatusCode < 400 || reply.StatusCode == http.StatusTooManyRequests {
		// The front's own 429 is a blocked request, and what is no failure of the
		// node's is none of the client's business.
		a.failed.status = http.StatusBadGateway
	}
	return a
}
