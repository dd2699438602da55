package wire

import (
	"fmt"
	"io"
	"log/slog"
)

// Secret is text that must not be seen: whatever prints, logs or encodes it gets ***.
type Secret string

const hidden = "***"

// Reveal gives the text itself. Do not print it.
func (s Secret) Reveal() string { return string(s) }

// String gives ***.
func (s Secret) String() string { return hidden }

// GoString gives ***.
func (s Secret) GoString() string { return hidden }

// Format writes *** for every verb, also for those that do not fit a text.
func (s Secret) Format(f fmt.State, _ rune) { io.WriteString(f, hidden) }

// MarshalText gives ***, in JSON and YAML too.
func (s Secret) MarshalText() ([]byte, error) { return []byte(hidden), nil }

// LogValue gives ***.
func (s Secret) LogValue() slog.Value { return slog.StringValue(hidden) }
