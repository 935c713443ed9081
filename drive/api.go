package drive

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"time"

	"github.com/cloudcoin/cloudcoin/sync/history"
	"github.com/cloudcoin/cloudcoin/sync/index"
	"github.com/cloudcoin/cloudcoin/sync/model"
)

// routes is the local API: JSON over HTTP, only reachable through the socket (mode 0600) or from this process.
func (d *Drive) routes() http.Handler {
	mux := http.NewServeMux()
	answer := func(pattern string, fn func(r *http.Request) (any, error)) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			v, err := fn(r)
			if err != nil {
				writeError(w, err)
				return
			}
			w.Header().Set("Content-Type", "application/json")
			if err := json.NewEncoder(w).Encode(v); err != nil {
				d.opt.Logger.Debug("local API: answer not sent", "err", err)
			}
		})
	}
	answer("GET /v1/status", func(*http.Request) (any, error) { return d.Status(), nil })
	answer("POST /v1/sync", d.apiSync)
	answer("POST /v1/unmount", d.apiUnmount)
	answer("GET /v1/history", d.apiHistory)
	answer("POST /v1/revert", d.apiRevert)
	answer("POST /v1/evict", d.apiEvict)
	answer("POST /v1/prune", d.apiPrune)
	answer("POST /v1/doctor", d.apiDoctor)
	answer("GET /v1/packs", func(*http.Request) (any, error) { return d.Packs() })
	answer("POST /v1/packs/{pack}/export", d.apiExport)
	answer("GET /v1/leases", func(r *http.Request) (any, error) { return d.Leases(r.Context()), nil })
	answer("POST /v1/leases", func(r *http.Request) (any, error) { return d.AddLease(r.Context(), r.FormValue("code")) })
	mux.HandleFunc("GET /v1/cat", d.apiCat)
	profileRoutes(mux)
	return mux
}

// done is the answer of what has nothing to say.
type done struct{}

func writeError(w http.ResponseWriter, err error) {
	we := wireError{Message: err.Error()}
	status := http.StatusInternalServerError
	for code, kind := range codes {
		if errors.Is(err, kind) {
			we.Code, status = code, http.StatusBadRequest
		}
	}
	if errors.Is(err, index.ErrNotFound) || errors.Is(err, os.ErrNotExist) {
		we.Code, status = "not_found", http.StatusNotFound
	}
	if errors.Is(err, context.DeadlineExceeded) {
		we.Code, status = "timeout", http.StatusGatewayTimeout
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	//nolint:errcheck // the asker is gone when this fails
	json.NewEncoder(w).Encode(we)
}

func (d *Drive) apiSync(r *http.Request) (any, error) {
	timeout, err := time.ParseDuration(r.FormValue("timeout"))
	if err != nil || timeout < 0 {
		return nil, fmt.Errorf("timeout %q: %w", r.FormValue("timeout"), ErrUsage)
	}
	ctx := r.Context()
	if timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, timeout)
		defer cancel()
	}
	return done{}, d.Sync(ctx)
}

// Sync returns when everything that was written before is stored. ErrTimeout, with what is missing, when ctx ends first.
func (d *Drive) Sync(ctx context.Context) error {
	if err := d.fs.SyncAll(ctx); err != nil {
		return fmt.Errorf("sync: %w", err)
	}
	err := d.engine.Sync(ctx)
	if err != nil && errors.Is(ctx.Err(), context.DeadlineExceeded) {
		s := d.engine.Status()
		why := ""
		if s.Waiting != "" {
			why = "; " + s.Waiting
		}
		return fmt.Errorf("sync %w: %d files with %d bytes are not stored yet%s; they go on being sent", ErrTimeout, s.PendingFiles, s.PendingBytes, why)
	}
	if err != nil {
		return fmt.Errorf("sync: %w", err)
	}
	return nil
}

func (d *Drive) apiUnmount(*http.Request) (any, error) {
	d.mu.Lock()
	quit := d.quit
	d.mu.Unlock()
	if quit == nil {
		return nil, fmt.Errorf("a mount is %w in this process", ErrNotRunning)
	}
	quit()
	return done{}, nil
}

func (d *Drive) apiHistory(r *http.Request) (any, error) {
	revs, err := history.Of(d.index, r.FormValue("path"), func(rev model.Rev) string { return d.engine.DeviceOf(rev).String() })
	if err != nil {
		return nil, err
	}
	out := make([]Revision, 0, len(revs))
	for _, e := range revs {
		out = append(out, Revision{Revision: uint64(e.Revision), Time: e.Time, Device: e.Device, Op: e.Op, Size: e.Size, Stored: e.Stored})
	}
	return out, nil
}

// when parses a revision or time.
func (d *Drive) when(s string) (model.Rev, error) {
	if s == "" {
		return model.MaxRev, nil
	}
	rev, err := history.ParseWhen(s, d.opt.Clock())
	if err != nil {
		return 0, fmt.Errorf("%w: %w", ErrUsage, err)
	}
	return rev, nil
}

func (d *Drive) apiRevert(r *http.Request) (any, error) {
	to, err := d.when(r.FormValue("to"))
	if err != nil {
		return nil, err
	}
	return done{}, d.fs.Revert(r.Context(), r.FormValue("path"), to)
}

// apiCat streams a file; an error after the first byte breaks the connection, so that a part is never taken for the whole.
func (d *Drive) apiCat(w http.ResponseWriter, r *http.Request) {
	rev, err := d.when(r.FormValue("at"))
	if err != nil {
		writeError(w, err)
		return
	}
	f, err := d.fs.ReadFile(r.FormValue("path"), rev)
	if err != nil {
		writeError(w, err)
		return
	}
	defer f.Close()
	buf := make([]byte, 1<<20)
	for off := int64(0); off < f.Size(); {
		n, err := f.ReadAt(r.Context(), buf[:min(int64(len(buf)), f.Size()-off)], off)
		if n == 0 && err != nil {
			if off == 0 {
				writeError(w, err)
				return
			}
			panic(http.ErrAbortHandler)
		}
		if _, err := w.Write(buf[:n]); err != nil {
			return
		}
		off += int64(n)
	}
}

func (d *Drive) apiEvict(r *http.Request) (any, error) {
	path := r.FormValue("path")
	if path == "" {
		return d.Evict()
	}
	return d.EvictPath(path)
}

func (d *Drive) apiPrune(r *http.Request) (any, error) {
	dryRun, err := strconv.ParseBool(r.FormValue("dry_run"))
	if err != nil {
		return nil, fmt.Errorf("dry_run %q: %w", r.FormValue("dry_run"), ErrUsage)
	}
	return d.Prune(r.Context(), r.FormValue("keep"), dryRun)
}

func (d *Drive) apiDoctor(r *http.Request) (any, error) {
	readData, err := strconv.ParseBool(r.FormValue("read_data"))
	if err != nil {
		return nil, fmt.Errorf("read_data %q: %w", r.FormValue("read_data"), ErrUsage)
	}
	return d.Doctor(r.Context(), readData), nil
}

func (d *Drive) apiExport(r *http.Request) (any, error) {
	return d.ExportPack(r.Context(), r.PathValue("pack"), r.FormValue("dir"))
}
