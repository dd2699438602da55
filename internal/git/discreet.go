package git

// mask takes secrets out of a server's words, as far as the transport knows which were sent. What an ssh
// server can send back holds none: a private key never leaves us.
func (r *Repo) mask(text string) string {
	if m, ok := r.opts.HTTP.(interface{ Mask(string) string }); ok {
		return m.Mask(text)
	}
	return text
}

// discreetError is an error whose text had a secret in it that the server sent back.
type discreetError struct {
	text string
	err  error
}

func (e *discreetError) Error() string { return e.text }

// Unwrap gives the error as it was, for callers that choose by its type.
func (e *discreetError) Unwrap() error { return e.err }

func (r *Repo) discreet(err error) error {
	if text := r.mask(err.Error()); text != err.Error() {
		return &discreetError{text, err}
	}
	return err
}
