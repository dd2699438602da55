package daemon

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/poundlock/poundlock/internal/epr"
)

// stalled is how long a client may take for one piece of an answer before it is let go: a package of a gigabyte may take an
// hour, a client that reads nothing must not hold a connection.
const stalled = time.Minute

// routes gives what is answered where every channel is: each below a path of its own.
func (o *outlet) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if err := o.ready(); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ready")
	})
	if o.alone {
		mux.Handle("GET /metrics", o.metrics.handler)
	}
	mux.HandleFunc("GET /{$}", o.list)
	mux.HandleFunc("/epr/", func(w http.ResponseWriter, r *http.Request) {
		offer, base := o.offerOf(r.URL.Path)
		switch {
		case offer == nil && len(*o.offers.Load()) == 0:
			w.Header().Set("Retry-After", "5")
			http.Error(w, "no channel was read yet", http.StatusServiceUnavailable) // nobody knows yet what there is
			return
		case offer == nil:
			http.Error(w, "channel not found", http.StatusNotFound)
			return
		}
		o.serve(w, r, offer, base)
	})
	return mux
}

// list names the channels that are served, for people.
func (o *outlet) list(w http.ResponseWriter, _ *http.Request) {
	type row struct {
		epr.Name
		Path     string `json:"path"`
		Packages int    `json:"packages"`
		Index    string `json:"index,omitempty"`
	}
	rows := []row{}
	offers := *o.offers.Load()
	for _, name := range namesOf(offers) {
		r := row{Name: name, Path: "/epr/" + name.String() + "/"}
		if l := offers[name].now.Load(); l != nil {
			r.Packages, r.Index = l.contents.Packages, l.contents.Digest.String()
		}
		rows = append(rows, r)
	}
	w.Header().Set("Content-Type", "application/json")
	to := json.NewEncoder(w)
	to.SetIndent("", "  ")
	_ = to.Encode(rows) // whoever asked may be gone
}

// offerOf gives the channel that a path is below, and its part of the path: /epr/<set>/<channel>, and /epr/<channel> where
// there is one set.
func (o *outlet) offerOf(path string) (*offer, string) {
	first, rest, _ := strings.Cut(strings.TrimPrefix(path, "/epr/"), "/")
	second, _, _ := strings.Cut(rest, "/")
	offers := *o.offers.Load()
	if offer := offers[epr.Name{Set: first, Channel: second}]; offer != nil {
		return offer, "/epr/" + first + "/" + second
	}
	if set := onlySet(offers); set != "" {
		if offer := offers[epr.Name{Set: set, Channel: first}]; offer != nil {
			return offer, "/epr/" + first
		}
	}
	return nil, ""
}

func onlySet(offers map[epr.Name]*offer) (set string) {
	for name := range offers {
		if set != "" && set != name.Set {
			return ""
		}
		set = name.Set
	}
	return set
}

// serve answers for one channel below a base path, "" for the root.
func (o *outlet) serve(w http.ResponseWriter, r *http.Request, offer *offer, base string) {
	a := &reply{ResponseWriter: w, control: http.NewResponseController(w), status: http.StatusOK}
	defer func() { o.metrics.answered(offer.Name, a.status) }()
	if offer.now.Load() == nil {
		a.Header().Set("Retry-After", "5")
		http.Error(a, "the channel was not read yet", http.StatusServiceUnavailable)
		return
	}
	below := r.Clone(r.Context())
	below.URL.Path, below.URL.RawPath = strings.TrimPrefix(r.URL.Path, base), strings.TrimPrefix(r.URL.RawPath, base)
	if below.URL.Path == "" { // the base without a slash is what Kibana is configured with
		below.URL.Path = "/"
	}
	offer.handler.ServeHTTP(a, below) // redirects lead below the base: RequestURI still says what was asked
}

// reply is an answer of a channel on its way to a client.
type reply struct {
	http.ResponseWriter
	control *http.ResponseController
	status  int
}

// WriteHeader takes note of the status.
func (a *reply) WriteHeader(status int) {
	a.status = status
	a.ResponseWriter.WriteHeader(status)
}

// Write gives the client time for one more piece.
func (a *reply) Write(b []byte) (int, error) {
	// The deadline is the network's, which knows no other clock. A writer without one, as in a test, waits for ever.
	_ = a.control.SetWriteDeadline(time.Now().Add(stalled))
	return a.ResponseWriter.Write(b)
}

// Unwrap gives the writer below to a ResponseController.
func (a *reply) Unwrap() http.ResponseWriter { return a.ResponseWriter }
