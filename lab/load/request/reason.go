package request

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/url"
	"strings"

	"github.com/meshbench/meshbench/lab/internal/words"
)

// Reason is why a request was not answered, in a few words that do not differ
// from request to request: neither the URL nor an address is among them.
func Reason(err error) string {
	var timeout net.Error
	var op *net.OpError
	var in *url.Error
	var expired x509.CertificateInvalidError
	var certificate *tls.CertificateVerificationError
	switch {
	case errors.As(err, &timeout) && timeout.Timeout():
		return "time-out"
	case errors.As(err, &expired) && expired.Reason == x509.Expired: // its text has the time
		return "connection: x509: certificate has expired or is not yet valid"
	case errors.As(err, &certificate): // what is wrong with it comes last, and is to fit
		err = certificate.Err
	case errors.As(err, &op):
		return "connection: " + Short(op.Err.Error())
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "connection: closed"
	case errors.As(err, &in):
		err = in.Err
	}
	// What an error quotes came from the other side.
	text, _, _ := strings.Cut(err.Error(), `"`)
	if strings.Contains(text, "stream ID") { // of HTTP/2, another number each
		return "connection: closed"
	}
	return "connection: " + Short(text)
}

// maxReason bounds a reason, in bytes.
const maxReason = 80

// Short is a text of another program as a reason: one line, not long.
func Short(text string) string {
	return words.Bounded(text, maxReason)
}
