package testenv

import (
	"fmt"
	"net/http"

	"github.com/poundlock/poundlock/internal/registry/embedded"
)

// Registry is a real registry (distribution v3) in this process. It has two doors: Host, which is
// counted, can be broken and may ask for credentials, and Back, for the test's own reading and writing.
type Registry struct {
	dir   string
	proxy *Proxy
	guard *guard
	app   http.Handler
	front *Server
	back  *Server
}

// NewRegistry serves the registry that lies in dir, or an empty one, on a free port of 127.0.0.1. Without a
// dir its content is in memory, which is fast and outlives Restart, but not Close.
func NewRegistry(dir string) (*Registry, error) { return NewRegistryAt("127.0.0.1:0", dir) }

// NewRegistryAt serves the registry in dir on the given host:port.
func NewRegistryAt(addr, dir string) (*Registry, error) {
	g := &guard{}
	r := &Registry{dir: dir, guard: g, proxy: NewProxy(g)}
	if err := r.start(addr, "127.0.0.1:0"); err != nil {
		return nil, err
	}
	return r, nil
}

func (r *Registry) start(front, back string) (err error) {
	switch {
	case r.dir != "":
		if r.app, err = embedded.New(r.dir); err != nil {
			return fmt.Errorf("testenv: %w", err)
		}
	case r.app == nil:
		r.app = newMemory()
	}
	r.guard.mu.Lock()
	r.guard.next = r.app
	r.guard.mu.Unlock()
	if r.front, err = serve(front, r.proxy); err != nil {
		r.stop()
		return err
	}
	if r.back, err = NewServerAt(back, r.app); err != nil {
		r.front.Close()
		r.stop()
	}
	return err
}

// stop ends a registry on disk; nothing is buffered that could be lost.
func (r *Registry) stop() {
	if app, ok := r.app.(*embedded.Registry); ok {
		_ = app.Close()
	}
}

// Host gives host:port as references name it.
func (r *Registry) Host() string { return r.front.Host() }

// URL gives the address with its scheme.
func (r *Registry) URL() string { return r.front.URL() }

// Back gives another host:port with the same content, which is never counted, never broken and asks for no
// credential: for Push, Verify and the like.
func (r *Registry) Back() string { return r.back.Host() }

// Proxy gives the wrapper at Host that counts and breaks; it outlives Restart.
func (r *Registry) Proxy() *Proxy { return r.proxy }

// RequireBasic asks everyone at Host for this user and password from now on; an empty user lets everyone in.
func (r *Registry) RequireBasic(user, password string) {
	r.guard.mu.Lock()
	defer r.guard.mu.Unlock()
	r.guard.user, r.guard.password, r.guard.tokens = user, password, nil
}

// RequireToken asks everyone at Host for a token of t from now on. realm is the URL of the token server
// that the challenge names; when it is empty, t is served at /token of the registry itself.
func (r *Registry) RequireToken(t *Tokens, realm string) {
	r.guard.mu.Lock()
	defer r.guard.mu.Unlock()
	r.guard.tokens, r.guard.realm = t, realm
}

// Close cuts all connections; content on disk stays there.
func (r *Registry) Close() {
	r.front.Close()
	r.back.Close()
	r.stop()
}

// Restart closes the registry and serves it again at the same addresses.
func (r *Registry) Restart() error {
	front, back := r.Host(), r.Back()
	r.Close()
	return r.start(front, back)
}
