package daemon

import (
	"context"
	"net/http"
)

// hooksListen is the key of the address at which nothing but webhooks is answered.
const hooksListen = "webhooks.listen"

// hooks answers webhooks beside health and page, unless they have an address of their own.
func (f *face) hooks(w http.ResponseWriter, r *http.Request) {
	l := f.line.Load()
	switch {
	case l == nil || l.hooks == nil: // a start looks at everything
		http.Error(w, f.absent().Error(), http.StatusServiceUnavailable)
	case l.hooks.apart:
		http.NotFound(w, r)
	default:
		l.hooks.take(w, r)
	}
}

// listenForHooks answers webhooks at the address that they have of their own, if there is one, until what it gives is
// called.
func (l *Line) listenForHooks(ctx context.Context) (end func(), err error) {
	address := l.config.Webhooks.Listen
	if address == "" {
		return func() {}, nil
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /hooks/{name}", l.hooks.take)
	s, err := serve(hooksListen, address, mux)
	if err != nil {
		return nil, err
	}
	l.hooks.at.Store(s)
	l.log.Info("listening for webhooks", keyAddress, s.address())
	return func() {
		stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), l.config.Limits.Stop)
		defer cancel()
		if err := s.close(stop); err != nil {
			l.log.Warn("the listener for webhooks was not closed in order", keyError, err)
		}
	}, nil
}
