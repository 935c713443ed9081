package fileserver

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strconv"

	"github.com/cloudcoin/cloudcoin/provider/ledger"
	"github.com/cloudcoin/cloudcoin/provider/shardstore"
	"github.com/cloudcoin/cloudcoin/provider/vault"
)

// Problem is an error answer (RFC 9457).
type Problem struct {
	Type    string  `json:"type"`
	Title   string  `json:"title"`
	Status  int     `json:"status"`
	Detail  string  `json:"detail,omitempty"`
	Counter *uint64 `json:"counter,omitempty"` // of slot-conflict: the stored one
}

func (p *Problem) Error() string { return p.Title + ": " + p.Detail }

func problem(status int, name, detail string) *Problem {
	return &Problem{Type: "urn:cloudcoin:problem:" + name, Title: http.StatusText(status), Status: status, Detail: detail}
}

func badRequest(format string, args ...any) *Problem {
	return problem(http.StatusBadRequest, "bad-request", fmt.Sprintf(format, args...))
}

var (
	errNotFound  = problem(http.StatusNotFound, "not-found", "there is nothing at this address")
	errTooMany   = problem(http.StatusTooManyRequests, "too-many-requests", "wait a little and ask less at once")
	errSlow      = problem(http.StatusRequestTimeout, "too-slow", "the body didn't come in time")
	errForbidden = problem(http.StatusForbidden, "forbidden", "the token is not for this lease or doesn't allow this")
	errEnded     = problem(http.StatusPaymentRequired, "payment-required", "the lease's term and its grace period are over")
)

// known maps the errors of vault, ledger and store to problems.
var known = []struct {
	err    error
	status int
	name   string
}{
	{vault.ErrTerm, http.StatusPaymentRequired, "payment-required"},
	{vault.ErrDropping, http.StatusServiceUnavailable, "busy"},
	{vault.ErrMismatch, http.StatusBadRequest, "shard-mismatch"},
	{vault.ErrSlots, http.StatusRequestEntityTooLarge, "too-many-slots"},
	{ledger.ErrQuota, http.StatusRequestEntityTooLarge, "lease-full"},
	{ledger.ErrNotFound, http.StatusNotFound, "no-such-lease"},
	{shardstore.ErrFull, http.StatusInsufficientStorage, "disk-full"},
	{ledger.ErrNoRoom, http.StatusInsufficientStorage, "disk-full"},
	{os.ErrDeadlineExceeded, http.StatusRequestTimeout, "too-slow"},
}

// toProblem finds the answer for an error; nil when it is none that a client should learn about.
func toProblem(err error) *Problem {
	var p *Problem
	if errors.As(err, &p) {
		return p
	}
	for _, k := range known {
		if errors.Is(err, k.err) {
			return problem(k.status, k.name, k.err.Error())
		}
	}
	return nil
}

// fail answers a request by an error.
func (r *request) fail(err error) {
	p := toProblem(err)
	if p == nil {
		r.s.cfg.Logger.Error("a request went wrong", "method", r.Method, "path", r.URL.Path, "err", err)
		p = problem(http.StatusInternalServerError, "internal", "the provider met an error of its own; its operator finds it in the log")
	}
	h := r.w.Header()
	for _, name := range []string{"Content-Length", "Content-Range", "ETag", "Accept-Ranges", "Cache-Control"} {
		if p.Status != http.StatusRequestedRangeNotSatisfiable || name != "Content-Range" {
			h.Del(name)
		}
	}
	switch p.Status {
	case http.StatusTooManyRequests:
		h.Set("Retry-After", "1")
	case http.StatusRequestTimeout:
		h.Set("Connection", "close") // otherwise net/http would wait for the rest of the body first
	case http.StatusUnauthorized:
		h.Set("WWW-Authenticate", "Bearer")
	}
	body, err := json.Marshal(p)
	if err != nil {
		r.s.cfg.Logger.Error("encode problem", "err", err)
		return
	}
	h.Set("Content-Type", "application/problem+json")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	r.deadline(0) // the one for the body may have passed: that may be what is to be told
	r.w.WriteHeader(p.Status)
	r.write(body)
}

// json answers 200 with v.
func (r *request) json(v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return err
	}
	r.w.Header().Set("Content-Type", "application/json")
	r.w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	r.w.Header().Set("Cache-Control", "no-store")
	r.write(body)
	return nil
}

// write sends the whole body; a client that went away is its own loss.
func (r *request) write(body []byte) {
	if _, err := r.w.Write(body); err != nil {
		r.s.cfg.Logger.Debug("answer", "err", err)
	}
}
