package mirror

import (
	"bytes"
	"fmt"
)

// maxValues is how many values JSON from a registry may hold. The largest manifest that is copied, of 2000 layers, has
// a tenth of that, a sigstore bundle a hundredth.
const maxValues = 100_000

// CheckValues says whether JSON holds too many values to be read into memory: an empty object of three bytes becomes a
// hundred there and more, so a limit on bytes alone is none. The error is ErrTooLarge. It says nothing of whether the
// bytes are JSON at all.
func CheckValues(body []byte) error {
	values := 0
	for i := 0; i < len(body); i++ {
		switch body[i] {
		case '{', '[', ',':
			if values++; values > maxValues {
				return fmt.Errorf("more than %d values: %w", maxValues, ErrTooLarge)
			}
		case '"':
			i += stringEnd(body[i+1:]) + 1
		}
	}
	return nil
}

// stringEnd gives where a string of JSON ends: at a quote that nothing escapes, or with the bytes.
func stringEnd(body []byte) int {
	for at := 0; ; {
		quote := bytes.IndexByte(body[at:], '"')
		if quote < 0 {
			return len(body)
		}
		escape := bytes.IndexByte(body[at:at+quote], '\\')
		if escape < 0 {
			return at + quote
		}
		if at += escape + 2; at > len(body) {
			return len(body)
		}
	}
}
