// Package call is what a front tells of the calls that it made for a request:
// which node served each and how long it took, in a header of the reply.
package call

import (
	"fmt"
	"net/url"
	"strconv"
	"strings"
)

// Call is one call that was answered.
type Call struct {
	Microservice string
	Node         string  // that served it; "" when unknown
	Seconds      float64 // from when the stage began to when the reply was there
}

// Format is the calls as a header's value: "web node1 0.012000, store node2
// 0.030500". Names are escaped as in a URL's path; "-" is an unknown node.
func Format(calls []Call) string {
	var b strings.Builder
	for k, c := range calls {
		if k > 0 {
			b.WriteString(", ")
		}
		node := "-"
		if c.Node != "" {
			node = url.PathEscape(c.Node)
		}
		b.WriteString(url.PathEscape(c.Microservice) + " " + node + " " + strconv.FormatFloat(c.Seconds, 'f', 6, 64))
	}
	return b.String()
}

// max bounds the calls of a header.
const max = 1000

// Parse reads what Format wrote; "" is no call.
func Parse(value string) ([]Call, error) {
	if value == "" {
		return nil, nil
	}
	fields := strings.Split(value, ", ")
	if len(fields) > max {
		return nil, fmt.Errorf("%d calls; accepted: at most %d", len(fields), max)
	}
	calls := make([]Call, len(fields))
	for k, f := range fields {
		words := strings.Split(f, " ")
		if len(words) != 3 {
			return nil, fmt.Errorf("call %d is not 'microservice node seconds'", k+1)
		}
		var err error
		if calls[k].Microservice, err = url.PathUnescape(words[0]); err != nil {
			return nil, fmt.Errorf("call %d: %w", k+1, err)
		}
		if words[1] != "-" {
			if calls[k].Node, err = url.PathUnescape(words[1]); err != nil {
				return nil, fmt.Errorf("call %d: %w", k+1, err)
			}
		}
		if calls[k].Seconds, err = strconv.ParseFloat(words[2], 64); err != nil || !(calls[k].Seconds >= 0) {
			return nil, fmt.Errorf("call %d took %q s; a time is a number >= 0", k+1, words[2])
		}
	}
	return calls, nil
}
