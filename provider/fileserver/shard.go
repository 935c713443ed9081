package fileserver

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"sync"

	"github.com/cloudcoin/cloudcoin/crypto/merkle"
	"github.com/cloudcoin/cloudcoin/crypto/token"
	"github.com/cloudcoin/cloudcoin/provider/ids"
	"github.com/cloudcoin/cloudcoin/provider/shardstore"
	"github.com/cloudcoin/cloudcoin/provider/vault"
)

const (
	bufferSize = 256 << 10
	maxProved  = 16 << 20 // bytes of a range with proof
	smallRange = 32 << 10 // up to here one write of header and bytes beats sendfile
	proofType  = "application/vnd.cloudcoin.proof"
)

var buffers = sync.Pool{New: func() any { b := make([]byte, bufferSize); return &b }}

// bodyProblem turns an error of reading a request's body into an answer.
func bodyProblem(err error) error {
	var tooBig *http.MaxBytesError
	switch {
	case errors.As(err, &tooBig):
		return problem(http.StatusRequestEntityTooLarge, "too-large", fmt.Sprintf("a body here has at most %d bytes", tooBig.Limit))
	case errors.Is(err, os.ErrDeadlineExceeded):
		return errSlow
	}
	return badRequest("the body ended too early")
}

// putShard answers PUT …/shards/{id}.
func (r *request) putShard(id ids.Shard) error {
	size := r.ContentLength
	switch {
	case size < 0:
		return problem(http.StatusLengthRequired, "length-required", "send Content-Length")
	case size == 0:
		return badRequest("a shard has at least one byte")
	case size > r.s.cfg.MaxShard:
		return problem(http.StatusRequestEntityTooLarge, "too-large", fmt.Sprintf("a shard has at most %d bytes", r.s.cfg.MaxShard))
	}
	up, err := r.s.cfg.Vault.Put(r.lease.ID, id, size)
	if err != nil {
		return err
	}
	defer func() {
		if err := up.Abort(); err != nil {
			r.s.cfg.Logger.Warn("drop interrupted shard", "err", err)
		}
	}()
	r.deadline(size)
	if err := r.receive(up); err != nil {
		return err
	}
	r.deadline(0)
	fresh, err := up.Commit()
	if err != nil {
		return err
	}
	return r.receipt(id, size, fresh)
}

// receive copies the body into an upload.
func (r *request) receive(up *vault.Upload) error {
	buf := buffers.Get().(*[]byte)
	defer buffers.Put(buf)
	for {
		n, rerr := r.Body.Read(*buf)
		if n > 0 {
			if _, err := up.Write((*buf)[:n]); err != nil {
				return err
			}
		}
		if rerr == io.EOF {
			return nil
		}
		if rerr != nil {
			return bodyProblem(rerr)
		}
	}
}

// receipt answers a PUT.
func (r *request) receipt(id ids.Shard, size int64, fresh bool) error {
	jws, err := token.SignReceipt(&token.Receipt{
		Provider: r.s.provider, Network: r.s.cfg.Network, Lease: r.lease.ID, Shard: id, Size: size, Time: r.s.cfg.Now(),
	}, r.s.cfg.Key)
	if err != nil {
		return err
	}
	r.w.Header().Set("Content-Type", "application/jose")
	r.w.Header().Set("Content-Length", strconv.Itoa(len(jws)))
	status := http.StatusOK
	if fresh {
		status = http.StatusCreated
	}
	r.w.WriteHeader(status)
	r.write([]byte(jws))
	return nil
}

// getShard answers GET and HEAD …/shards/{id}.
func (r *request) getShard(id ids.Shard) error {
	shard, err := r.s.cfg.Vault.Open(r.lease.ID, id)
	if errors.Is(err, shardstore.ErrNotFound) {
		return problem(http.StatusNotFound, "no-such-shard", "the lease holds no such shard")
	}
	if err != nil {
		return err
	}
	defer shard.Close() //nolint:errcheck // read only
	size, err := shard.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	rng, err := parseRange(r.Header.Get("Range"), size)
	if err != nil {
		r.w.Header().Set("Content-Range", fmt.Sprintf("bytes */%d", size))
		return err
	}
	h := r.w.Header()
	h.Set("ETag", `"`+id.String()+`"`)
	h.Set("Cache-Control", "no-transform")
	if len(r.URL.RawQuery) > 0 && r.URL.Query().Get("proof") == "1" {
		return r.sendProof(id, shard, size, rng)
	}
	h.Set("Accept-Ranges", "bytes")
	h.Set("Content-Type", "application/octet-stream")
	h.Set("Content-Length", strconv.FormatInt(rng.n, 10))
	status := http.StatusOK
	if rng.partial {
		h.Set("Content-Range", rng.header(size))
		status = http.StatusPartialContent
	}
	if r.Method == http.MethodHead {
		r.w.WriteHeader(status)
		return nil
	}
	return r.send(status, shard, rng)
}

// send sends a range; big ones by the kernel where there is no TLS.
func (r *request) send(status int, shard shardstore.Shard, rng byteRange) error {
	if rng.n > smallRange {
		if _, err := shard.Seek(rng.off, io.SeekStart); err != nil {
			return err
		}
		r.deadline(rng.n)
		r.w.WriteHeader(status)
		r.copy(&io.LimitedReader{R: shard, N: rng.n})
		return nil
	}
	buf := buffers.Get().(*[]byte)
	defer buffers.Put(buf)
	b := (*buf)[:rng.n]
	if n, err := shard.ReadAt(b, rng.off); n < len(b) {
		return fmt.Errorf("read shard: %w", err)
	}
	r.w.WriteHeader(status)
	r.write(b)
	return nil
}

// copy streams to the client. When the disk gives less than was promised, net/http cuts the connection, which the client notices.
func (r *request) copy(src *io.LimitedReader) {
	if _, err := io.Copy(r.w, src); err != nil {
		r.s.cfg.Logger.Debug("send shard", "err", err)
	}
}

// sendProof answers GET …?proof=1: what the proof and the range are made of is hashed on the way, so damage of it is found here.
func (r *request) sendProof(id ids.Shard, shard shardstore.Shard, size int64, rng byteRange) error {
	end := rng.off + rng.n
	if !rng.partial || rng.n > maxProved || rng.off%merkle.LeafSize != 0 || end != size && end%merkle.LeafSize != 0 {
		r.w.Header().Set("Content-Range", fmt.Sprintf("bytes */%d", size))
		return problem(http.StatusRequestedRangeNotSatisfiable, "bad-range", "with proof=1 ask for one range of at most 16 MiB on boundaries of 4,096 bytes")
	}
	o, err := r.s.outlines.verified(id, shard, size, rng)
	if err != nil {
		r.s.cfg.Logger.Warn("verify shard", "shard", id, "err", err)
		if ok, _, err := r.s.cfg.Vault.Verify(r.lease.ID, id); ok || err != nil && !errors.Is(err, shardstore.ErrNotFound) {
			return fmt.Errorf("shard %s reads differently each time: %w", id, err)
		}
		return problem(http.StatusNotFound, "shard-damaged", "the stored bytes were damaged and are set aside; put the shard again")
	}
	hashes, err := merkle.ProveRange(shard, size, o, rng.off, rng.n)
	if err != nil {
		return fmt.Errorf("prove range of shard %s: %w", id, err)
	}
	proof := merkle.AppendProof(make([]byte, 4), hashes)
	binary.BigEndian.PutUint32(proof, uint32(len(proof)-4))
	hd := r.w.Header()
	hd.Set("Content-Type", proofType)
	hd.Set("Content-Range", rng.header(size))
	hd.Set("Content-Length", strconv.FormatInt(int64(len(proof))+rng.n, 10))
	if _, err := shard.Seek(rng.off, io.SeekStart); err != nil {
		return err
	}
	r.deadline(rng.n)
	r.w.WriteHeader(http.StatusPartialContent)
	if r.Method != http.MethodHead {
		r.write(proof)
		r.copy(&io.LimitedReader{R: shard, N: rng.n})
	}
	return nil
}

// deleteShard answers DELETE …/shards/{id}.
func (r *request) deleteShard(id ids.Shard) error {
	if _, err := r.s.cfg.Vault.Delete(r.lease.ID, []ids.Shard{id}); err != nil {
		return err
	}
	r.w.WriteHeader(http.StatusNoContent)
	return nil
}
