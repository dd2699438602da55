package epr

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"path"
	"strings"
	"time"

	"github.com/poundlock/poundlock/internal/elastic"
	"github.com/poundlock/poundlock/internal/mirror"
)

func (f *face) zip(w http.ResponseWriter, r *http.Request, parts []string) {
	v := f.whole(w, r, parts, "artifact not found")
	if v == nil {
		return
	}
	d, err := f.directory(r.Context(), v)
	if err != nil {
		f.fail(w, r, err)
		return
	}
	w.Header().Set("Content-Type", "application/zip")
	w.Header().Set("Etag", `"`+v.Layers.Zip.Digest.String()+`"`)
	b := &blob{ctx: r.Context(), content: f.content, at: v.Local, is: v.Layers.Zip}
	defer b.Close()
	f.send(w, r, d.modified, b, &b.err)
}

// signature answers 500 for a package that has none, as Elastic's registry does: Kibana takes that for a package that cannot
// be verified.
func (f *face) signature(w http.ResponseWriter, r *http.Request, parts []string) {
	v := f.whole(w, r, parts, "signature file not found")
	if v == nil {
		return
	}
	s := v.Layers.Signature
	if s.Digest == (mirror.Digest{}) {
		keep(w, otherAge)
		http.Error(w, "internal server error", http.StatusInternalServerError)
		return
	}
	if s.Size > elastic.MaxSignature {
		f.fail(w, r, fmt.Errorf("signature of %s: %w", v.Package, mirror.ErrTooLarge))
		return
	}
	body, err := readAll(r.Context(), f.content, v.Local, s, 0, s.Size)
	if err != nil {
		f.fail(w, r, fmt.Errorf("signature of %s: %w", v.Package, err))
		return
	}
	d, err := f.directory(r.Context(), v)
	if err != nil {
		f.fail(w, r, err)
		return
	}
	w.Header().Set("Content-Type", "application/pgp-signature")
	w.Header().Set("Etag", `"`+s.Digest.String()+`"`)
	f.send(w, r, d.modified, bytes.NewReader(body), nil)
}

func (f *face) file(w http.ResponseWriter, r *http.Request, parts []string) {
	v := f.whole(w, r, parts, "package revision not found")
	if v == nil {
		return
	}
	d, err := f.directory(r.Context(), v)
	if err != nil {
		f.fail(w, r, err)
		return
	}
	name := path.Clean(parts[2])
	file := d.files[name]
	if file == nil {
		keep(w, otherAge)
		http.Error(w, "resource not found", http.StatusNotFound)
		return
	}
	body, err := f.open(r.Context(), v, d, file)
	if err != nil {
		f.fail(w, r, err)
		return
	}
	if t := mediaType(name); t != "" {
		w.Header().Set("Content-Type", t)
	}
	w.Header().Set("Etag", fmt.Sprintf(`"%s-%08x"`, v.Layers.Zip.Digest.Hex[:32], file.CRC32))
	var broken *error
	if e, large := body.(*entry); large {
		defer e.blob.Close()
		broken = &e.blob.err
	}
	f.send(w, r, file.Modified, body, broken)
}

// send answers with a file or the parts of it that are asked for. broken says afterwards why its bytes ended early.
func (f *face) send(w http.ResponseWriter, r *http.Request, modified time.Time, body io.ReadSeeker, broken *error) {
	keep(w, otherAge)
	if strings.Contains(r.Header.Get("Range"), ",") {
		// Each part would cost a request to the registry, or unpacking all before it, for a byte of the answer: whoever
		// asks for several gets the whole, as a server may answer.
		r = r.Clone(r.Context())
		r.Header.Del("Range")
	}
	late := &lateWriter{ResponseWriter: w}
	// Without a name no table of the machine is asked for the type.
	http.ServeContent(late, r, "", modified, body)
	switch {
	case broken == nil || *broken == nil:
		late.begin()
	case late.begun:
		f.failed(r, *broken)
		panic(http.ErrAbortHandler) // the client must not take what it has for the whole
	default:
		f.fail(w, r, *broken)
	}
}

// lateWriter sends status and headers with the first byte, so that an answer can still become another one when not even
// that can be read.
type lateWriter struct {
	http.ResponseWriter
	status int
	begun  bool
}

// WriteHeader notes the status.
func (l *lateWriter) WriteHeader(status int) { l.status = status }

// Write sends it first.
func (l *lateWriter) Write(p []byte) (int, error) {
	l.begin()
	return l.ResponseWriter.Write(p)
}

func (l *lateWriter) begin() {
	if !l.begun && l.status != 0 {
		l.ResponseWriter.WriteHeader(l.status)
	}
	l.begun = true
}
