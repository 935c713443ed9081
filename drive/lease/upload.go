package lease

import (
	"bytes"
	"context"
	"io"

	"golang.org/x/time/rate"
)

// uploading reads body at the rate that all leases share.
func (h *host) uploading(ctx context.Context, body []byte) io.ReadCloser {
	r := bytes.NewReader(body)
	if h.upload == nil {
		return io.NopCloser(r)
	}
	return &slowReader{ctx: ctx, r: r, limit: h.upload}
}

type slowReader struct {
	ctx   context.Context
	r     *bytes.Reader
	limit *rate.Limiter
}

func (s *slowReader) Read(p []byte) (int, error) {
	most := uploadSlice
	if s.limit.Limit() != rate.Inf {
		most = min(most, max(s.limit.Burst(), 1))
	}
	n, err := s.r.Read(p[:min(len(p), most)])
	if n > 0 {
		if err := s.limit.WaitN(s.ctx, n); err != nil {
			return 0, err
		}
	}
	return n, err
}

func (s *slowReader) Close() error { return nil }
