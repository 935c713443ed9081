package drive

import (
	"net/http"
	"net/http/pprof"
)

// profileRoutes shows what the process spends its time and memory on, to whoever may use the local API:
//
//	curl -s --unix-socket HOME/api.sock 'http://drive/debug/pprof/profile?seconds=10' >cpu
//	curl -s --unix-socket HOME/api.sock http://drive/debug/pprof/heap >heap
//
// and then `go tool pprof -top cpu`. Nothing is measured until somebody asks.
func profileRoutes(mux *http.ServeMux) {
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
}
