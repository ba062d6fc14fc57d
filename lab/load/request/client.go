package request

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"math"
	"net/http"
	"time"
)

// Client says how the application is connected to. Its zero value is a client of
// HTTP/1.1 that keeps its connections and follows no redirect.
type Client struct {
	Timeout   float64 `yaml:"timeout" json:",omitempty"`   // s from when a request is due to when its answer must be there whole; default 10, negative for none
	Redirects int     `yaml:"redirects" json:",omitempty"` // that are followed at most, their time being part of the delay; default 0: a redirect is an answer
	Fresh     bool    `yaml:"fresh" json:",omitempty"`     // every request has a connection of its own; default they are kept
	Idle      float64 `yaml:"idle" json:",omitempty"`      // s for which an unused connection is kept; default 15
	HTTP      string  `yaml:"http" json:",omitempty"`      // version, "1.1" or "2", the latter also without TLS; default 1.1
	CA        string  `yaml:"ca" json:",omitempty"`        // certificates, in PEM, of who may sign the application's; in a file the name of a PEM file; default the system's
}

// Defaults returns c with its zero fields filled in.
func (c Client) Defaults() Client {
	if c.Timeout == 0 {
		c.Timeout = 10
	}
	if c.Idle == 0 {
		c.Idle = 15
	}
	if c.HTTP == "" {
		c.HTTP = "1.1"
	}
	return c
}

// Validate reports a field that is not accepted.
func (c Client) Validate() error {
	_, err := c.Transport()
	return err
}

// Transport makes connections as c says.
func (c Client) Transport() (*http.Transport, error) {
	c = c.Defaults()
	switch {
	case math.IsNaN(c.Timeout) || c.Timeout > 86400:
		return nil, fmt.Errorf("client: timeout %v s; accepted: at most 86400, negative for none", c.Timeout)
	case c.Redirects < 0 || c.Redirects > 100:
		return nil, fmt.Errorf("client: %d redirects; accepted: 0 to 100", c.Redirects)
	case !(c.Idle > 0 && c.Idle <= 86400):
		return nil, fmt.Errorf("client: idle %v s; accepted: above 0, up to 86400", c.Idle)
	}
	var versions http.Protocols
	switch c.HTTP {
	case "1.1":
		versions.SetHTTP1(true)
	case "2":
		versions.SetHTTP2(true)
		versions.SetUnencryptedHTTP2(true)
	default:
		return nil, fmt.Errorf("client: http %q; accepted: 1.1, 2", c.HTTP)
	}
	t := &http.Transport{
		Protocols: &versions,
		// Opening a connection costs more than a request, but a server that closes
		// it first makes a request fail.
		MaxIdleConnsPerHost: 4096,
		IdleConnTimeout:     time.Duration(c.Idle * 1e9),
		DisableKeepAlives:   c.Fresh,
		DisableCompression:  true,
	}
	if c.CA != "" {
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM([]byte(c.CA)) {
			return nil, fmt.Errorf("client: ca holds no certificate; accepted: PEM")
		}
		t.TLSClientConfig = &tls.Config{RootCAs: pool}
	}
	return t, nil
}

// Redirect is what an http.Client asks before it follows a redirect: the last of
// more than are followed is itself the answer.
func (c Client) Redirect(_ *http.Request, via []*http.Request) error {
	if len(via) > c.Redirects {
		return http.ErrUseLastResponse
	}
	return nil
}
