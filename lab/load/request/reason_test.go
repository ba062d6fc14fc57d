package request_test

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/url"
	"testing"

	"github.com/meshbench/meshbench/lab/load/request"
)

// A reason says what is wrong with a certificate, and no time, which would make
// one of each request.
func TestReasonOfCertificate(t *testing.T) {
	for _, c := range []struct {
		err  error
		want string
	}{
		{x509.CertificateInvalidError{Reason: x509.Expired, Detail: "current time 2026-11-28T03:40:01Z is after 2026-01-01"}, "connection: x509: certificate has expired or is not yet valid"},
		{x509.UnknownAuthorityError{}, "connection: x509: certificate signed by unknown authority"},
		{x509.HostnameError{Certificate: &x509.Certificate{DNSNames: []string{"a.example"}}, Host: "b.example"}, "connection: x509: certificate is valid for a.example, not b.example"},
	} {
		err := fmt.Errorf("try: %w", &url.Error{Op: "Get", URL: "https://x", Err: &tls.CertificateVerificationError{Err: c.err}})
		if got := request.Reason(err); got != c.want {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
}
