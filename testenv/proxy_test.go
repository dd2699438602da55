package testenv

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/poundlock/poundlock/internal/mirror"
)

func TestKindOf_TellsRequestsApart(t *testing.T) {
	tests := []struct {
		method, path string
		want         RequestKind
	}{
		{"GET", "/v2/", Ping},
		{"GET", "/token?scope=x", Token},
		{"GET", "/v2/_catalog", Catalog},
		{"GET", "/v2/a/b/tags/list", TagList},
		{"GET", "/v2/a/b/referrers/sha256:0", ReferrerList},
		{"HEAD", "/v2/a/b/manifests/1", ManifestHead},
		{"PUT", "/v2/a/b/manifests/1", ManifestPut},
		{"GET", "/v2/a/b/blobs/sha256:0", BlobGet},
		{"POST", "/v2/a/b/blobs/uploads/", UploadPost},
		{"POST", "/v2/a/b/blobs/uploads/?mount=sha256:0&from=c", BlobMount},
		{"PATCH", "/v2/a/b/blobs/uploads/id", UploadPatch},
		{"PUT", "/v2/a/b/blobs/uploads/id?digest=sha256:0", UploadPut},
		{"GET", "/v2/blobs/uploads/manifests/1", ManifestGet},
		{"GET", "/elsewhere", OtherRequest},
	}
	for _, test := range tests {
		if got := KindOf(request(t, test.method, "http://x"+test.path, nil)); got != test.want {
			t.Errorf("KindOf(%s %s) = %q, want %q", test.method, test.path, got, test.want)
		}
	}
}

func TestProxy_CountsRequestsAndBytes(t *testing.T) {
	r := startRegistry(t)
	img := Image("app", Layer{Seed: "app", Size: 5000})
	if _, err := Push(t.Context(), r.Host(), "library/app", "1.0", img); err != nil {
		t.Fatal(err)
	}
	c := r.Proxy().Counts()
	var want int64
	for _, l := range must(img.Layers()) {
		want += must(l.Size())
	}
	want += int64(len(must(img.RawConfigFile())))
	if c.BlobReceived != want {
		t.Errorf("blob bytes received = %d, want %d", c.BlobReceived, want)
	}
	if c.Of(UploadPut) != 2 || c.Of(ManifestPut) != 1 || c.Writes() == 0 || len(c.Paths) != c.Total() {
		t.Errorf("counts = %+v", c)
	}
	r.Proxy().Reset()
	if faults := Verify(r.Host()); len(faults) > 0 {
		t.Fatal(faults)
	}
	c = r.Proxy().Counts()
	if c.BlobSent != want || c.Writes() != 0 || c.Of(BlobGet) != 2 {
		t.Errorf("counts of reading = %+v, want %d blob bytes", c, want)
	}
	r.Proxy().Reset()
	Verify(r.Back())
	if n := r.Proxy().Counts().Total(); n != 0 {
		t.Errorf("the back door counted %d requests", n)
	}
}

func TestProxy_BreaksAnswers(t *testing.T) {
	r := startRegistry(t)
	pushImage(t, r.Back(), "library/app", "1.0", "app")
	layer := must(must(Image("app").Layers())[0].Digest())
	url := r.URL() + "/v2/library/app/blobs/" + layer.String()
	status, _, whole, err := get(t, request(t, http.MethodGet, url, nil))
	if status != http.StatusOK || err != nil || mirror.DigestOf(whole) != layer {
		t.Fatalf("unbroken: %d %v", status, err)
	}
	break1 := func(f Fault) (int, http.Header, []byte, error) {
		r.Proxy().Break(Once(1, OfKind(BlobGet), f))
		defer r.Proxy().Break(nil)
		return get(t, request(t, http.MethodGet, url, nil))
	}
	for _, code := range []int{401, 403, 404, 429, 500, 503, 507} {
		status, h, _, err := break1(Fault{Status: code, RetryAfter: 7 * time.Second})
		if status != code || h.Get("Retry-After") != "7" || err != nil {
			t.Errorf("status %d: got %d %v %v", code, status, h, err)
		}
	}
	if status, _, _, err := break1(Fault{Reset: true}); status != -1 || !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("reset: %d %v", status, err)
	}
	if status, _, _, err := break1(Fault{Lose: true}); status != -1 || err == nil {
		t.Errorf("lost answer: %d %v", status, err)
	}
	if _, h, got, err := break1(Fault{Truncate: true, After: 100}); !errors.Is(err, io.ErrUnexpectedEOF) || !bytes.Equal(got, whole[:100]) || h.Get("Content-Length") != fmt.Sprint(len(whole)) {
		t.Errorf("truncated: %d bytes, %v", len(got), err)
	}
	if _, _, got, err := break1(Fault{Corrupt: true, After: 700}); err != nil || len(got) != len(whole) || got[700] != whole[700]^1 || mirror.DigestOf(got) == layer {
		t.Errorf("corrupt: %d bytes, %v", len(got), err)
	}
}

func TestProxy_BreaksUploads(t *testing.T) {
	r := startRegistry(t)
	content := bytes.Repeat([]byte("0123456789"), 1000)
	digest := mirror.DigestOf(content)
	begin := func() string {
		_, h, _, err := get(t, request(t, http.MethodPost, r.URL()+"/v2/app/blobs/uploads/", nil))
		if err != nil {
			t.Fatal(err)
		}
		location := h.Get("Location")
		if strings.HasPrefix(location, "/") {
			location = r.URL() + location
		}
		return location + "&digest=" + digest.String()
	}
	put := func(f Fault) (int, error) {
		location := begin()
		r.Proxy().Break(Once(1, OfKind(UploadPut), f))
		defer r.Proxy().Break(nil)
		status, _, _, err := get(t, request(t, http.MethodPut, location, bytes.NewReader(content)))
		return status, err
	}
	held := func() bool {
		status, _, _, _ := get(t, request(t, http.MethodHead, "http://"+r.Back()+"/v2/app/blobs/"+digest.String(), nil))
		return status == http.StatusOK
	}
	if _, err := put(Fault{Truncate: true, After: 5000}); err == nil || held() {
		t.Errorf("cut upload: %v, held %v", err, held())
	}
	if status, _ := put(Fault{Corrupt: true, After: 5000}); status != http.StatusBadRequest || held() {
		t.Errorf("corrupt upload: %d, held %v", status, held())
	}
	if status, _ := put(Fault{Status: http.StatusInsufficientStorage}); status != http.StatusInsufficientStorage || held() {
		t.Errorf("full: %d, held %v", status, held())
	}
	if _, err := put(Fault{Lose: true}); err == nil || !held() {
		t.Errorf("lost answer: %v, held %v: the registry is to act", err, held())
	}
}

func TestProxy_HoldsARequestUntilTold(t *testing.T) {
	r := startRegistry(t)
	until, arrived := make(chan struct{}), make(chan struct{})
	r.Proxy().Break(func(*http.Request) *Fault {
		close(arrived)
		return &Fault{Until: until}
	})
	ended := make(chan int)
	go func() {
		status, _, _, _ := get(t, request(t, http.MethodGet, r.URL()+"/v2/", nil))
		ended <- status
	}()
	<-arrived
	select {
	case status := <-ended:
		t.Fatalf("answered %d before it was told to", status)
	default:
	}
	close(until)
	if status := <-ended; status != http.StatusOK {
		t.Errorf("status %d", status)
	}
}
