package provider

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"

	"github.com/cloudcoin/cloudcoin/crypto/merkle"
)

// The benchmarks put each figure beside a bare handler's in the same run: PUT writes a file and fsyncs it before the answer, GET is http.ServeFile.
// Both hash nothing and count nothing. TARGETS: ≥ 0.8 for 4 MiB, ≥ 0.7 for ranges.

const benchShard = 4 << 20

// bareServer is the limit.
func bareServer(b *testing.B) string {
	b.Helper()
	dir := b.TempDir()
	var n atomic.Int64
	mux := http.NewServeMux()
	mux.HandleFunc("PUT /", func(w http.ResponseWriter, r *http.Request) {
		f, err := os.Create(filepath.Join(dir, fmt.Sprint("put", n.Add(1))))
		if err == nil {
			_, err = io.CopyBuffer(struct{ io.Writer }{f}, r.Body, make([]byte, 256<<10))
		}
		if err == nil {
			err = f.Sync()
		}
		if err == nil {
			err = f.Close()
		}
		if err != nil {
			b.Error(err)
			w.WriteHeader(500)
		}
	})
	must(b, os.WriteFile(filepath.Join(dir, "get"), make([]byte, benchShard), 0o600))
	mux.HandleFunc("GET /get", func(w http.ResponseWriter, r *http.Request) { http.ServeFile(w, r, filepath.Join(dir, "get")) })
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	must(b, err)
	s := &http.Server{Handler: mux} //nolint:gosec // a benchmark
	go s.Serve(ln)                  //nolint:errcheck // ends with Close
	b.Cleanup(func() { must(b, s.Close()) })
	return "http://" + ln.Addr().String()
}

// load runs b.N requests, several in flight, and checks each status.
func load(b *testing.B, inFlight int, bytesEach int64, request func(i int64) *http.Request) {
	b.Helper()
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64, WriteBufferSize: 256 << 10, ReadBufferSize: 64 << 10}}
	b.SetBytes(bytesEach)
	b.SetParallelism(max(1, inFlight/2))
	var i atomic.Int64
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		buf := make([]byte, 256<<10)
		for pb.Next() {
			resp, err := client.Do(request(i.Add(1)))
			if err != nil {
				b.Error(err)
				return
			}
			if _, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, resp.Body, buf); err != nil || resp.StatusCode >= 300 {
				b.Errorf("%s, %v", resp.Status, err)
			}
			resp.Body.Close() //nolint:errcheck // read to its end
		}
	})
	b.StopTimer()
	client.CloseIdleConnections()
}

func newRequest(b *testing.B, method, url string, body []byte, header ...string) *http.Request {
	req, err := http.NewRequest(method, url, bytes.NewReader(body))
	if err != nil {
		b.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	return req
}

func benchRenter(b *testing.B, size int64) *renter {
	b.Helper()
	h := newHome(b, b.TempDir(), nil)
	serve(b, h)
	return newRenterOf(b, connect(b, h), size)
}

// putRequest sends shard n: its number, then zeros. Every shard is a new one, as it is in life.
func putRequest(b *testing.B, url string, n int64, header ...string) *http.Request {
	r := newRequest(b, "PUT", url, nil, header...)
	r.Body = io.NopCloser(io.MultiReader(bytes.NewReader(binary.BigEndian.AppendUint64(nil, uint64(n))), bytes.NewReader(benchRest)))
	r.ContentLength = benchShard
	return r
}

var benchRest = make([]byte, benchShard-8)

func BenchmarkPut4MiB(b *testing.B) {
	b.Run("bare", func(b *testing.B) {
		url := bareServer(b)
		load(b, 8, benchShard, func(i int64) *http.Request { return putRequest(b, url+"/x", i) })
	})
	b.Run("ours", func(b *testing.B) {
		r := benchRenter(b, int64(b.N+1)*benchShard)
		ids := make([]merkle.Hash, b.N+1)
		for i := range ids {
			h := merkle.NewHasher()
			h.Write(binary.BigEndian.AppendUint64(nil, uint64(i))) //nolint:errcheck // never fails
			h.Write(benchRest)                                     //nolint:errcheck // never fails
			ids[i] = h.Sum()
		}
		load(b, 8, benchShard, func(i int64) *http.Request {
			return putRequest(b, r.lease.URL+r.path(ids[i]), i, "Authorization", "Bearer "+r.token)
		})
	})
}

func BenchmarkGet4MiB(b *testing.B) { benchGet(b, 4, benchShard) }

func BenchmarkRange4KiB(b *testing.B) { benchGet(b, 8, 4096, "Range", "bytes=1048576-1052671") }

func benchGet(b *testing.B, inFlight int, each int64, header ...string) {
	b.Run("bare", func(b *testing.B) {
		url := bareServer(b)
		load(b, inFlight, each, func(int64) *http.Request { return newRequest(b, "GET", url+"/get", nil, header...) })
	})
	b.Run("ours", func(b *testing.B) {
		r := benchRenter(b, 1<<30)
		url := r.lease.URL + r.path(r.put(make([]byte, benchShard)))
		header := append([]string{"Authorization", "Bearer " + r.token}, header...)
		load(b, inFlight, each, func(int64) *http.Request { return newRequest(b, "GET", url, nil, header...) })
	})
}
