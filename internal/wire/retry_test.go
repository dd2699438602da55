package wire

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// sequence answers with one status after the other, then with 200; 0 breaks the connection.
func sequence(header http.Header, statuses ...int) http.HandlerFunc {
	var n atomic.Int32
	return func(w http.ResponseWriter, r *http.Request) {
		i := int(n.Add(1)) - 1
		if i >= len(statuses) {
			hello(w, r)
			return
		}
		if statuses[i] == 0 {
			panic(http.ErrAbortHandler)
		}
		for k, v := range header {
			w.Header()[k] = v
		}
		w.WriteHeader(statuses[i])
	}
}

func TestWire_RetriesReads(t *testing.T) {
	for name, tc := range map[string]struct {
		header   http.Header
		statuses []int
		status   int // in the end
		tries    int
		atLeast  time.Duration // of the first pause
	}{
		"faults":             {nil, []int{500, 502, 504}, 200, 4, firstPause / 2},
		"broken connections": {nil, []int{0, 0}, 200, 3, firstPause / 2},
		"busy":               {http.Header{"Retry-After": {"7"}}, []int{429}, 200, 2, 7 * time.Second},
		"busy until a date":  {http.Header{"Retry-After": {"Sat, 21 Nov 2026 09:00:30 GMT"}, "Date": {"Sat, 21 Nov 2026 09:00:00 GMT"}}, []int{503}, 200, 2, 30 * time.Second},
		"busy for too long":  {http.Header{"Retry-After": {"61"}}, []int{429}, 429, 1, 0},
		"for ever":           {nil, []int{500, 500, 500, 500, 500}, 500, attempts, firstPause / 2},
		"not implemented":    {nil, []int{501}, 501, 1, 0},
		"not found":          {nil, []int{404}, 404, 1, 0},
	} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, sequence(tc.header, tc.statuses...))
			w := newWire(t, Settings{Hosts: map[string]Host{s.host: {Insecure: true}}})
			var pauses []time.Duration
			w.sleep = func(_ context.Context, d time.Duration) error { pauses = append(pauses, d); return nil }
			status, _, err := get(t, w, s.URL)
			if err != nil || status != tc.status {
				t.Errorf("got %d, %v, want %d", status, err, tc.status)
			}
			if n := len(s.requests()); n != tc.tries || len(pauses) != n-1 {
				t.Errorf("%d tries and %d pauses, want %d tries", n, len(pauses), tc.tries)
			}
			if len(pauses) > 0 && (pauses[0] < tc.atLeast || pauses[0] > max(tc.atLeast, 2*firstPause)) {
				t.Errorf("first pause %v, want %v", pauses[0], tc.atLeast)
			}
		})
	}
}

func TestWire_NeverRepeatsAWrite(t *testing.T) {
	for _, status := range []int{0, 429, 500} {
		s := serve(t, sequence(nil, status))
		w := newWire(t, Settings{Hosts: map[string]Host{s.host: {Insecure: true}}})
		req, _ := http.NewRequestWithContext(t.Context(), "PUT", s.URL, strings.NewReader("x"))
		resp, err := w.Client().Do(req)
		if err == nil {
			resp.Body.Close()
		}
		if n := len(s.requests()); n != 1 {
			t.Errorf("after %d: sent %d times", status, n)
		}
	}
}

func TestWire_GivesUpWhenTheCallerDoes(t *testing.T) {
	s := serve(t, sequence(nil, 500, 500, 500))
	w := newWire(t, Settings{Hosts: map[string]Host{s.host: {Insecure: true}}})
	ctx, cancel := context.WithCancel(t.Context())
	w.sleep = func(ctx context.Context, _ time.Duration) error { cancel(); return context.Cause(ctx) }
	req, _ := http.NewRequestWithContext(ctx, "GET", s.URL, nil)
	if _, err := w.Client().Do(req); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if n := len(s.requests()); n != 1 {
		t.Errorf("%d requests after the caller had gone", n-1)
	}
}

func TestHost_BusyOneIsLeftAloneByAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &Wire{sleep: sleep}
		h := &host{slots: make(chan struct{}, 1)}
		go h.pause(w, t.Context(), 30*time.Second, true)
		synctest.Wait()
		begin := time.Now()
		if err := h.enter(t.Context()); err != nil {
			t.Fatal(err)
		}
		if waited := time.Since(begin); waited != 30*time.Second {
			t.Errorf("the next request waited %v, want 30s", waited)
		}
	})
}

func TestWire_BoundsRequestsAtOnce(t *testing.T) {
	const limit, all = 3, 12
	arrived, release := make(chan struct{}, all), make(chan struct{})
	var now, most atomic.Int32
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		n := now.Add(1)
		for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
		arrived <- struct{}{}
		<-release
		now.Add(-1)
		hello(w, r)
	})
	w := newWire(t, Settings{Hosts: map[string]Host{s.host: {Insecure: true, Concurrency: limit}}})
	done := make(chan struct{}, all)
	for range all {
		go func() { get(t, w, s.URL); done <- struct{}{} }()
	}
	for range limit {
		<-arrived
	}
	close(release)
	for range all {
		<-done
	}
	if got := most.Load(); got != limit {
		t.Errorf("%d requests at once, want %d", got, limit)
	}
	if got := cap(newWire(t, Settings{Hosts: map[string]Host{s.host: {}}}).listed[s.host].slots); got != defaultConcurrency {
		t.Errorf("%d at once without a word in the configuration, want %d", got, defaultConcurrency)
	}
}

// A blob that is copied inside one host is read and written at the same time.
func TestWire_ReadingDoesNotBlockTheWriteItFeeds(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		io.Copy(w, r.Body)
		io.WriteString(w, strings.Repeat("x", 1<<20))
	})
	w := newWire(t, Settings{Hosts: map[string]Host{s.host: {Insecure: true, Concurrency: 1}}})
	req, _ := http.NewRequestWithContext(t.Context(), "GET", s.URL+"/v2/a/blobs/x", nil)
	from, err := w.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	put, _ := http.NewRequestWithContext(t.Context(), "PUT", s.URL+"/v2/b/blobs/uploads/1", from.Body)
	put.ContentLength = 1 << 20
	to, err := w.Client().Do(put)
	if err != nil {
		t.Fatal(err)
	}
	to.Body.Close()
}

// standing is a body that gives nothing until its request is given up.
type standing struct{ ctx context.Context }

func (s standing) Read([]byte) (int, error) { <-s.ctx.Done(); return 0, s.ctx.Err() }
func (s standing) Close() error             { return nil }

func TestWatch_GivesUpABodyThatStandsStill(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		req, _ := http.NewRequestWithContext(t.Context(), "GET", "https://a.example", nil)
		guarded, w := guard(req)
		body := w.reading(standing{guarded.Context()})
		begin := time.Now()
		if _, err := body.Read(make([]byte, 1)); !errors.Is(err, errStalled) {
			t.Errorf("got %v", err)
		}
		if waited := time.Since(begin); waited != stall {
			t.Errorf("waited %v, want %v", waited, stall)
		}
		body.Close()
	})
}

func TestWatch_SlowBodyIsNoError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, slow := io.Pipe()
		go func() {
			for range 5 {
				time.Sleep(stall - time.Second)
				slow.Write([]byte("x"))
			}
			slow.Close()
		}()
		req, _ := http.NewRequestWithContext(t.Context(), "GET", "https://a.example", nil)
		_, w := guard(req)
		body := w.reading(r)
		if b, err := io.ReadAll(body); err != nil || len(b) != 5 {
			t.Errorf("got %q, %v", b, err)
		}
		body.Close()
	})
}

func TestWatch_SlowReaderIsNoError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		req, _ := http.NewRequestWithContext(t.Context(), "GET", "https://a.example", nil)
		guarded, w := guard(req)
		body := w.reading(io.NopCloser(strings.NewReader("xx")))
		for range 2 {
			body.Read(make([]byte, 1))
			time.Sleep(2 * stall)
			if err := guarded.Context().Err(); err != nil {
				t.Fatalf("given up while the reader was busy: %v", err)
			}
		}
		body.Close()
	})
}

func TestWatch_GivesUpAnUploadThatNobodyTakes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		req, _ := http.NewRequestWithContext(t.Context(), "PUT", "https://a.example", io.NopCloser(strings.NewReader("xxxx")))
		guarded, w := guard(req)
		guarded.Body.Read(make([]byte, 1))
		<-guarded.Context().Done()
		if err := w.fail(context.Canceled); !errors.Is(err, errStalled) {
			t.Errorf("got %v", err)
		}
	})
}
