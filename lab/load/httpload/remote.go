package httpload

import (
	"bytes"
	"context"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
)

// Remote is a generator in another process: the client of a Handler.
type Remote struct {
	URL    string // of the handler
	Token  string
	Client *http.Client // default http.DefaultClient
}

// order is the body of a request to a Handler.
type order struct {
	Seed *uint64 `json:"seed,omitempty"` // POST /reset
	Step *Step   `json:"step,omitempty"` // POST /run
	Try  *try    `json:"try,omitempty"`  // POST /try
}

// try is one request or session apart from steps.
type try struct {
	Service int
	Draw    uint64
	Run     string `json:",omitempty"`
}

// maxOrder bounds the body of an order, in bytes.
const maxOrder = 1 << 20

// Reset is Generator.Reset.
func (r *Remote) Reset(ctx context.Context, seed uint64) error {
	return r.post(ctx, "/reset", order{Seed: &seed}, nil)
}

// Run is Generator.Run.
func (r *Remote) Run(ctx context.Context, step Step) ([]Result, error) {
	var results []Result
	err := r.post(ctx, "/run", order{Step: &step}, &results)
	return results, err
}

// Try is Generator.Try.
func (r *Remote) Try(ctx context.Context, service int, draw uint64, run string) ([]Result, error) {
	var results []Result
	err := r.post(ctx, "/try", order{Try: &try{service, draw, run}}, &results)
	return results, err
}

func (r *Remote) post(ctx context.Context, path string, o order, reply any) error {
	body, err := json.Marshal(o)
	if err != nil {
		return fmt.Errorf("httpload: order: %w", err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, r.URL+path, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("httpload: %w", err)
	}
	req.Header.Set("Authorization", "Bearer "+r.Token)
	client := r.Client
	if client == nil {
		client = http.DefaultClient
	}
	resp, err := client.Do(req)
	if err != nil {
		return fmt.Errorf("httpload: generator: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(resp.Body, 4096))
		return fmt.Errorf("httpload: generator at %s: %s: %.500s", r.URL+path, resp.Status, strings.TrimSpace(string(text)))
	}
	if reply == nil {
		return nil
	}
	if err := json.NewDecoder(resp.Body).Decode(reply); err != nil {
		return fmt.Errorf("httpload: reply of the generator at %s: %w", r.URL+path, err)
	}
	return nil
}

// Handler serves a generator to a Remote.
//
//	POST /reset   {"seed": 1}
//	POST /run     {"step": {"Number": 0, "Load": [5, 20], "Settle": 0.5, "Seconds": 5}}
//
//	POST /try     {"try": {"Service": 0, "Draw": 7}}
//
// All need the header "Authorization: Bearer TOKEN". A step ends with its
// client: one that hangs up stops it.
type Handler struct {
	token string
	mu    sync.Mutex // one order at a time
	mux   *http.ServeMux
}

// NewHandler serves g to those who have the token, which must not be empty.
func NewHandler(g *Generator, token string) (*Handler, error) {
	if token == "" {
		return nil, errors.New("httpload: the generator needs a token for those who control it")
	}
	h := &Handler{token: token, mux: http.NewServeMux()}
	h.mux.HandleFunc("POST /reset", h.order(func(ctx context.Context, o order) (any, error) {
		if o.Seed == nil {
			return nil, errors.New(`the body has no seed; accepted: {"seed": 1}`)
		}
		return struct{}{}, g.Reset(ctx, *o.Seed)
	}))
	h.mux.HandleFunc("POST /run", h.order(func(ctx context.Context, o order) (any, error) {
		if o.Step == nil || len(o.Step.Load) != g.cfg.Mesh.M() || !(o.Step.Seconds > 0) || o.Step.Settle < 0 {
			return nil, fmt.Errorf(`the body has no step with %d loads, Seconds above 0 and Settle not below 0; accepted: {"step": {"Number": 0, "Load": [5, 20], "Settle": 0.5, "Seconds": 5}}`, g.cfg.Mesh.M())
		}
		return g.Run(ctx, *o.Step)
	}))
	h.mux.HandleFunc("POST /try", h.order(func(ctx context.Context, o order) (any, error) {
		if o.Try == nil || o.Try.Service < 0 || o.Try.Service >= g.cfg.Mesh.M() {
			return nil, fmt.Errorf(`the body has no service of %d to try; accepted: {"try": {"Service": 0, "Draw": 7}}`, g.cfg.Mesh.M())
		}
		return g.Try(ctx, o.Try.Service, o.Try.Draw, o.Try.Run), nil
	}))
	return h, nil
}

func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) { h.mux.ServeHTTP(w, r) }

func (h *Handler) order(do func(context.Context, order) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if subtle.ConstantTimeCompare([]byte(r.Header.Get("Authorization")), []byte("Bearer "+h.token)) != 1 {
			w.Header().Set("WWW-Authenticate", `Bearer realm="generator"`)
			http.Error(w, "the generator needs the header 'Authorization: Bearer TOKEN' with its token", http.StatusUnauthorized)
			return
		}
		d := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxOrder))
		d.DisallowUnknownFields()
		var o order
		if err := d.Decode(&o); err != nil {
			http.Error(w, "the body is not an order: "+err.Error(), http.StatusBadRequest)
			return
		}
		if !h.mu.TryLock() {
			http.Error(w, "the generator is at work for somebody else", http.StatusConflict)
			return
		}
		reply, err := func() (any, error) {
			defer h.mu.Unlock() // before the reply: the next order may come with its first byte
			return do(r.Context(), o)
		}()
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		json.NewEncoder(w).Encode(reply)
	}
}
