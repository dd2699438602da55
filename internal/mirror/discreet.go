package mirror

// Discreet gives an error without the secrets in its text that a server sent back; mask takes them out of a text.
// The error keeps its chain, for callers that choose by its type.
func Discreet(mask func(string) string, err error) error {
	if err == nil || mask == nil {
		return err
	}
	if text := mask(err.Error()); text != err.Error() {
		return &discreetError{text, err}
	}
	return err
}

type discreetError struct {
	text string
	err  error
}

func (e *discreetError) Error() string { return e.text }

func (e *discreetError) Unwrap() error { return e.err }
