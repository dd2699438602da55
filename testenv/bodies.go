package testenv

import (
	"errors"
	"io"
	"net/http"
)

// errCut is what a handler behind a Proxy sees when a body ends too early.
var errCut = errors.New("testenv: connection cut")

// countedBody counts the bytes of a request's body as they are read.
type countedBody struct {
	io.ReadCloser
	count func(int)
}

func (b *countedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.count(n)
	return n, err
}

// countedAnswer counts the bytes of an answer's body as they are written.
type countedAnswer struct {
	http.ResponseWriter
	count func(int)
}

func (a *countedAnswer) Write(p []byte) (int, error) {
	n, err := a.ResponseWriter.Write(p)
	a.count(n)
	return n, err
}

// Unwrap lets http.ResponseController reach the connection.
func (a *countedAnswer) Unwrap() http.ResponseWriter { return a.ResponseWriter }

// Flush is asked for by handlers that test for http.Flusher.
func (a *countedAnswer) Flush() { _ = http.NewResponseController(a.ResponseWriter).Flush() }

// shortBody fails after left bytes, as the body of a client that went away does.
type shortBody struct {
	io.ReadCloser
	left int64
}

func (b *shortBody) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, io.ErrUnexpectedEOF
	}
	n, err := b.ReadCloser.Read(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	return n, err
}

// shortAnswer lets left bytes of the body through and refuses the rest.
type shortAnswer struct {
	*countedAnswer
	left int64
}

func (a *shortAnswer) Write(p []byte) (int, error) {
	n, err := a.countedAnswer.Write(p[:min(int64(len(p)), a.left)])
	a.left -= int64(n)
	if err == nil && n < len(p) {
		err = errCut
	}
	return n, err
}

// lostAnswer takes an answer that nobody will see.
type lostAnswer struct{ header http.Header }

func (a *lostAnswer) Header() http.Header         { return a.header }
func (a *lostAnswer) WriteHeader(int)             {}
func (a *lostAnswer) Write(p []byte) (int, error) { return len(p), nil }

// corruptBody flips a bit of the byte at offset at.
type corruptBody struct {
	io.ReadCloser
	at int64
}

func (b *corruptBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	flip(p[:n], &b.at)
	return n, err
}

// corruptAnswer flips a bit of the byte at offset at.
type corruptAnswer struct {
	*countedAnswer
	at int64
}

func (a *corruptAnswer) Write(p []byte) (int, error) {
	changed := append([]byte(nil), p...) // a Writer must not change what it is given
	flip(changed, &a.at)
	return a.countedAnswer.Write(changed)
}

// flip changes the byte at offset at of the stream that p continues, and moves at on.
func flip(p []byte, at *int64) {
	if *at >= 0 && *at < int64(len(p)) {
		p[*at] ^= 1
	}
	*at -= int64(len(p))
}
