// Package pipeline is the limit that the far path is measured against: the bare libraries in a row (chunker, hash, age, Reed-Solomon,
// parallel HTTP with fsync before the answer), with no index, no log, no mount.
package pipeline

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
)

// Serve answers PUT and GET of files under dir on a loopback port, the barest file server that is durable, until l is closed.
func Serve(l net.Listener, dir string) error {
	return http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		path := filepath.Join(dir, filepath.Base(r.URL.Path))
		switch r.Method {
		case http.MethodPut:
			if err := put(path, r.Body); err != nil {
				http.Error(w, err.Error(), http.StatusInternalServerError)
			}
		case http.MethodGet:
			f, err := os.Open(path)
			if err != nil {
				http.Error(w, err.Error(), http.StatusNotFound)
				return
			}
			defer f.Close()
			st, err := f.Stat()
			if err != nil {
				http.Error(w, err.Error(), http.StatusInternalServerError)
				return
			}
			http.ServeContent(w, r, "", st.ModTime(), f)
		default:
			http.Error(w, "PUT or GET", http.StatusMethodNotAllowed)
		}
	}))
}

// put is the durable order: temporary, fsync, rename, fsync of the folder.
func put(path string, body io.Reader) error {
	f, err := os.Create(path + ".tmp")
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := io.Copy(f, body); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := os.Rename(path+".tmp", path); err != nil {
		return err
	}
	d, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// ServeSix runs six servers under dir, prints their URLs on w, one a line, and serves until the process ends.
func ServeSix(w io.Writer, dir string) error {
	errs := make(chan error, 6)
	for i := range 6 {
		sub := filepath.Join(dir, fmt.Sprint(i))
		if err := os.MkdirAll(sub, 0o700); err != nil {
			return err
		}
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return err
		}
		fmt.Fprintf(w, "http://%s\n", l.Addr())
		go func() { errs <- Serve(l, sub) }()
	}
	return <-errs
}
