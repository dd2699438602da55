package wire

import (
	"context"
	"net/http"
	"testing"
	"time"
)

func TestImpatient_HearsThatAHostIsBusy(t *testing.T) {
	for _, tt := range []struct {
		name     string
		statuses []int
		status   int
		tries    int
	}{
		{"busy", []int{429}, 429, 1}, {"away", []int{503}, 503, 1}, {"a fault that passes", []int{500, 502}, 200, 3}, {"a broken connection", []int{0}, 200, 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := serve(t, sequence(http.Header{"Retry-After": {"7"}}, tt.statuses...))
			w := newWire(t, Settings{Hosts: map[string]Host{s.host: {Insecure: true}}})
			w.sleep = func(_ context.Context, d time.Duration) error {
				if d > 5*time.Second {
					t.Errorf("waited %s", d)
				}
				return nil
			}
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL, nil)
			if err != nil {
				t.Fatal(err)
			}
			resp, err := w.Impatient().RoundTrip(req)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if n := len(s.requests()); resp.StatusCode != tt.status || n != tt.tries || resp.Request != req {
				t.Errorf("got %d after %d tries, want %d after %d", resp.StatusCode, n, tt.status, tt.tries)
			}
		})
	}
}
