package registry

import (
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/poundlock/poundlock/internal/mirror"
)

func TestUpload_TakesTwoRequests(t *testing.T) {
	s := real(t, t.TempDir())
	d := push(t, s.client(), ref("team/app"), "hello")
	if asked := s.requests(); len(asked) != 2 {
		t.Errorf("asked %v, want POST and PUT", asked)
	}
	if has, err := s.client().HasBlob(t.Context(), ref("team/app"), d.Digest); !has || err != nil {
		t.Errorf("the blob is not there: %v, %v", has, err)
	}
	push(t, s.client(), ref("team/app"), "") // an empty blob is one too
}

// breaking gives some bytes, then an error.
type breaking struct {
	io.Reader
	err error
}

func (b breaking) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	if err == io.EOF {
		err = b.err
	}
	return n, err
}

func TestUpload_ResumesWhereItBrokeAlsoAfterARestart(t *testing.T) {
	for _, restart := range []bool{false, true} {
		dir := t.TempDir()
		s := real(t, dir)
		c := s.client()
		content := strings.Repeat("0123456789", 50_000)
		d := blobOf(content)
		session, err := c.Begin(t.Context(), ref("team/app"))
		if err != nil {
			t.Fatal(err)
		}
		lost := errors.New("source went away")
		err = c.Upload(t.Context(), session, d, 0, breaking{strings.NewReader(content[:300_000]), lost})
		var side *Error
		if !errors.Is(err, lost) || errors.As(err, &side) {
			t.Fatalf("got %v, want the source's error, not one of this registry", err)
		}
		s.settled(t, 2) // POST and the broken PUT
		if restart {
			s.Close()
			s = real(t, dir)
			c = s.client()
			session = at(t, session, s.URL)
		}
		got, err := c.Offset(t.Context(), session)
		if err != nil || got <= 0 || got > 300_000 {
			t.Fatalf("offset %d, %v", got, err)
		}
		if err := c.Upload(t.Context(), session, d, got-1, strings.NewReader(content[got-1:])); err == nil {
			t.Error("an upload went on at the wrong byte")
		}
		if err := c.Upload(t.Context(), session, d, got, strings.NewReader(content[got:])); err != nil {
			t.Fatal(err)
		}
		if got, err := read(t, c, d.Digest, 0); err != nil || got != content {
			t.Errorf("%d bytes came back, %v", len(got), err)
		}
	}
}

// at gives a session under the address that a test server has after its restart.
func at(t *testing.T, session, server string) string {
	t.Helper()
	u, err := url.Parse(session)
	if err != nil {
		t.Fatal(err)
	}
	now, err := url.Parse(server)
	if err != nil {
		t.Fatal(err)
	}
	u.Host = now.Host
	return u.String()
}

func TestUpload_RefusesASessionThatStandsElsewhere(t *testing.T) {
	s := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Range", "0-9")
		w.WriteHeader(http.StatusNoContent)
	}))
	err := s.client().Upload(t.Context(), s.URL+"/v2/team/app/blobs/uploads/1", blobOf("hello, world"), 5, strings.NewReader(", world"))
	if err == nil || !strings.Contains(err.Error(), "byte 10") {
		t.Errorf("got %v", err)
	}
	if asked := s.requests(); len(asked) != 1 {
		t.Errorf("asked %v, want the status only", asked)
	}
}

func TestLoan_EndsWithTheUpload(t *testing.T) {
	body := strings.NewReader("hello")
	l := &loan{body: body}
	l.Read(make([]byte, 1))
	if err := l.end(); err != nil {
		t.Fatal(err)
	}
	if n, err := l.Read(make([]byte, 1)); n != 0 || err == nil || body.Len() != 4 {
		t.Errorf("read %d bytes after the end, %v", n, err)
	}
}

func TestUpload_FinishesASessionThatHasEverything(t *testing.T) {
	c := real(t, t.TempDir()).client()
	session, err := c.Begin(t.Context(), ref("team/app"))
	if err != nil {
		t.Fatal(err)
	}
	u, err := parseSession(session)
	if err != nil {
		t.Fatal(err)
	}
	q := request{op: "patch", method: "PATCH", url: u, body: strings.NewReader("hello"), length: 5, success: []int{202}, header: http.Header{"Content-Type": {"application/octet-stream"}}}
	if _, _, err := c.send(t.Context(), q); err != nil {
		t.Fatal(err)
	}
	if err := c.Upload(t.Context(), session, blobOf("hello"), 5, strings.NewReader("")); err != nil {
		t.Error(err)
	}
}

func TestUpload_WrongBytesAreNotStored(t *testing.T) {
	c := real(t, t.TempDir()).client()
	session, err := c.Begin(t.Context(), ref("team/app"))
	if err != nil {
		t.Fatal(err)
	}
	d := blobOf("hello")
	if err := c.Upload(t.Context(), session, d, 0, strings.NewReader("hullo")); err == nil {
		t.Error("wrong bytes were accepted")
	}
	if has, _ := c.HasBlob(t.Context(), ref("team/app"), d.Digest); has {
		t.Error("wrong bytes were stored")
	}
}

func TestCancel_EndsASessionAndForgivesOneThatIsGone(t *testing.T) {
	c := real(t, t.TempDir()).client()
	session, err := c.Begin(t.Context(), ref("team/app"))
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := c.Cancel(t.Context(), session); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := c.Offset(t.Context(), session); !errors.Is(err, mirror.ErrNotFound) {
		t.Errorf("the session is still there: %v", err)
	}
}

func TestMount_TakesNoBytesOrOpensASession(t *testing.T) {
	c := real(t, t.TempDir()).client()
	d := push(t, c, ref("team/app"), "hello")
	done, session, err := c.Mount(t.Context(), ref("team/copy"), ref("team/app"), d.Digest)
	if err != nil || !done || session != "" {
		t.Fatalf("got %v %q %v, want it mounted", done, session, err)
	}
	if has, _ := c.HasBlob(t.Context(), ref("team/copy"), d.Digest); !has {
		t.Error("the mounted blob is not there")
	}
	other := blobOf("other")
	done, session, err = c.Mount(t.Context(), ref("team/copy"), ref("team/app"), other.Digest)
	if err != nil || done || session == "" {
		t.Fatalf("got %v %q %v, want a session", done, session, err)
	}
	if err := c.Upload(t.Context(), session, other, 0, strings.NewReader("other")); err != nil {
		t.Errorf("the session of a refused mount: %v", err)
	}
	elsewhere := ref("team/app")
	elsewhere.Host = "other.example"
	if _, _, err := c.Mount(t.Context(), ref("team/copy"), elsewhere, d.Digest); err == nil {
		t.Error("mounted from another registry")
	}
}

func TestUpload_NeverGoesToAnotherHost(t *testing.T) {
	other := serve(t, http.NotFoundHandler())
	c := always(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Location", other.URL+"/upload?_state=secret")
		w.Header().Set("Range", "0-4")
		w.WriteHeader(http.StatusAccepted)
	})
	_, begin := c.Begin(t.Context(), ref("team/app"))
	_, _, mount := c.Mount(t.Context(), ref("team/app"), ref("team/b"), blobOf("x").Digest)
	session := c.endpoints[host].URL + "/v2/team/app/blobs/uploads/1"
	resume := c.Upload(t.Context(), session, blobOf("hello, world"), 5, strings.NewReader(", world"))
	cancel := c.Cancel(t.Context(), session)
	for name, err := range map[string]error{"begin": begin, "mount": mount, "resume": resume, "cancel": cancel} {
		var e *Error
		if !errors.As(err, &e) || e.Temporary() || !strings.Contains(err.Error(), "another host") || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: got %v", name, err)
		}
	}
	if asked := other.requests(); len(asked) != 0 {
		t.Errorf("the other host was asked %v", asked)
	}
	for _, bad := range []string{"", "/v2/x", "ftp://x/y", "https://me:pw@x/y"} {
		if _, err := c.Offset(t.Context(), bad); err == nil || strings.Contains(err.Error(), "pw") {
			t.Errorf("session %q: %v", bad, err)
		}
	}
}

func TestUpload_DoesNotReadAfterItHasReturned(t *testing.T) {
	c := always(t, func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusInsufficientStorage) })
	body := &counted{Reader: strings.NewReader(strings.Repeat("x", 8<<20))}
	err := c.Upload(t.Context(), c.endpoints[host].URL+"/upload", mirror.Descriptor{Digest: mirror.DigestOf(nil), Size: 8 << 20}, 0, body)
	n := body.n // unguarded: the race detector sees a read that goes on
	var e *Error
	if errors.As(err, &e) && e.Status != 0 && e.Status != http.StatusInsufficientStorage || err == nil {
		t.Errorf("got %v after %d bytes", err, n)
	}
}

type counted struct {
	io.Reader
	n int
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.n += n
	return n, err
}

func TestReceived(t *testing.T) {
	for header, want := range map[string]int64{"": 0, "0-0": 0, "0--1": 0, "0-4": 5, "bytes=0-4": 5, "3-4": -1, "x": -1, "0-x": -1, "0--5": -1} {
		got, err := received(header)
		if err != nil {
			got = -1
		}
		if got != want {
			t.Errorf("%q: got %d, %v, want %d", header, got, err, want)
		}
	}
}
