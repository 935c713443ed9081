package lease

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/cloudcoin/cloudcoin/sync/transfer"
)

const maxProblem = 8 << 10

// Problem is a provider's refusal (RFC 9457). It wraps the error of transfer that it means, if any.
type Problem struct {
	Status  int
	Name    string // last part of its type
	Detail  string // what the provider says; cut and stripped of what can't be printed
	Counter uint64 // slot-conflict: the stored counter

	retryAfter time.Duration
}

func (p *Problem) Error() string {
	s := fmt.Sprintf("the provider answered %d %s", p.Status, p.Name)
	if p.Detail != "" {
		s += " (" + p.Detail + ")"
	}
	return s
}

// Unwrap is the meaning of the problem.
func (p *Problem) Unwrap() error {
	switch p.Name {
	case "no-such-shard", "no-such-slot":
		return transfer.ErrNotFound
	case "shard-damaged", "bad-range": // a range of what we know to be there
		return transfer.ErrDamaged
	case "no-such-lease", "unauthorized", "forbidden", "payment-required":
		return transfer.ErrLease
	case "lease-full", "too-many-slots", "disk-full":
		return transfer.ErrNoRoom
	case "slot-conflict":
		return transfer.ErrConflict
	}
	return nil
}

// readProblem reads a refusal, at most maxProblem bytes of it.
func readProblem(resp *http.Response) *Problem {
	p := &Problem{Status: resp.StatusCode}
	var body struct {
		Type    string `json:"type"`
		Title   string `json:"title"`
		Detail  string `json:"detail"`
		Counter uint64 `json:"counter"`
	}
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxProblem))
	if err == nil && json.Unmarshal(b, &body) == nil {
		name, ours := strings.CutPrefix(body.Type, "urn:cloudcoin:problem:")
		if ours {
			p.Name = printable(name)
		}
		p.Detail, p.Counter = printable(body.Detail), body.Counter
		if p.Detail == "" {
			p.Detail = printable(body.Title)
		}
	}
	if p.Name == "" {
		p.Name = http.StatusText(resp.StatusCode)
	}
	if s, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil && s >= 0 && s < 3600 {
		p.retryAfter = time.Duration(s) * time.Second
	}
	return p
}

// printable cuts what a provider says to 200 bytes of ASCII that can't confuse a terminal.
func printable(s string) string {
	s = s[:min(len(s), 200)]
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, s)
}
