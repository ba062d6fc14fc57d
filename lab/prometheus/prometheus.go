// Package prometheus reads what a Prometheus measured of a mesh in a control
// step: the values of queries that a scenario has, as columns of a trace beside
// those that the client measures. It speaks Prometheus's HTTP API, which Thanos,
// Mimir and VictoriaMetrics have too.
package prometheus

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/url"
	"sync"
	"time"

	"github.com/prometheus/client_golang/api"
	v1 "github.com/prometheus/client_golang/api/prometheus/v1"
	"github.com/prometheus/common/model"

	"github.com/meshbench/meshbench/lab/internal/words"
	"github.com/meshbench/meshbench/lab/scenario"
	"github.com/meshbench/meshbench/lab/testbed"
)

var _ testbed.Platform = (*Client)(nil)

// Client asks a Prometheus.
type Client struct {
	columns []column
	api     v1.API
}

// column is a column of a trace and its query.
type column struct{ name, query string }

// patience bounds the answer to a query.
const patience = 2 * time.Second

// New returns a client for what the scenario wants measured. The queries'
// templates are filled in here; it makes no request.
func New(s scenario.Scenario) (*Client, error) {
	s = s.Defaults()
	if err := s.Validate(); err != nil {
		return nil, fmt.Errorf("prometheus: %w", err)
	}
	if _, err := url.Parse(s.Platform.Prometheus); err != nil || s.Platform.Prometheus == "" {
		return nil, errors.New("prometheus: the scenario has no platform with a URL of Prometheus")
	}
	c, err := api.NewClient(api.Config{Address: s.Platform.Prometheus})
	if err != nil {
		return nil, fmt.Errorf("prometheus: %w", err)
	}
	p := &Client{api: v1.NewAPI(c)}
	for _, x := range s.Platform.Columns {
		p.columns = append(p.columns, column{x.Name, s.PlatformQuery(x)})
	}
	return p, nil
}

// Names are those of the columns.
func (c *Client) Names() []string {
	names := make([]string, len(c.columns))
	for k, x := range c.columns {
		names[k] = x.name
	}
	return names
}

// Measure asks all queries at once, as of end; the templates say which window
// before it they are of. What a query has no sample for is missing and no error.
func (c *Client) Measure(ctx context.Context, _, end time.Time) ([]float64, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	values, errs := make([]float64, len(c.columns)), make([]error, len(c.columns))
	var asked sync.WaitGroup
	for k, x := range c.columns {
		asked.Go(func() {
			if values[k], errs[k] = c.query(ctx, x.query, end); errs[k] != nil {
				errs[k] = fmt.Errorf("%s: %w", x.name, errs[k])
			}
		})
	}
	asked.Wait()
	for _, err := range errs {
		if err != nil { // the first says it all, as a rule
			return values, err
		}
	}
	return values, nil
}

// Check asks all queries once and joins what is wrong with them.
func (c *Client) Check(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var all []error
	for _, x := range c.columns {
		if _, err := c.query(ctx, x.query, time.Now()); err != nil {
			all = append(all, fmt.Errorf("prometheus: column %s, query %s: %w", x.name, x.query, err))
		}
	}
	return errors.Join(all...)
}

// query is the one value of a query, NaN where there is none.
func (c *Client) query(ctx context.Context, text string, at time.Time) (float64, error) {
	value, _, _, err := c.api.Query(ctx, text, at)
	if err != nil {
		var link *url.Error
		if errors.As(err, &link) { // without the query in the URL
			err = link.Err
		}
		text := err.Error()
		var answer *v1.Error
		if errors.As(err, &answer) && answer.Detail != "" { // what something before it says
			text += ": " + answer.Detail
		}
		return math.NaN(), errors.New(words.Bounded(text, maxWords))
	}
	switch v := value.(type) {
	case *model.Scalar:
		return finite(float64(v.Value)), nil
	case model.Vector:
		switch len(v) {
		case 0:
			return math.NaN(), nil
		case 1:
			return finite(float64(v[0].Value)), nil
		}
		return math.NaN(), fmt.Errorf("it gives %d series; accepted: one, such as of sum(...)", len(v))
	}
	if value == nil {
		return math.NaN(), errors.New("its answer has no data")
	}
	return math.NaN(), fmt.Errorf("it gives a %s; accepted: one number", value.Type())
}

// maxWords bounds what a server says, in bytes.
const maxWords = 300

// finite is v, or missing: a quotient of nothing by nothing is no measurement.
func finite(v float64) float64 {
	if math.IsInf(v, 0) {
		return math.NaN()
	}
	return v
}
