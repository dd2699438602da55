package git

import "github.com/poundlock/poundlock/internal/mirror"

// mask takes secrets out of a server's words, as far as the transport knows which were sent. What an ssh
// server can send back holds none: a private key never leaves us.
func (r *Repo) mask(text string) string {
	if m, ok := r.opts.HTTP.(interface{ Mask(string) string }); ok {
		return m.Mask(text)
	}
	return text
}

func (r *Repo) discreet(err error) error { return mirror.Discreet(r.mask, err) }
