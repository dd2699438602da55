package epr

import (
	"bytes"
	"encoding/json"
)

// setting is a value that is shown as the manifest has it, such as the default of a variable.
type setting struct{ value any }

// IsZero says whether there is nothing to show.
func (s setting) IsZero() bool { return s.value == nil }

// UnmarshalJSON reads any value; numbers keep their form.
func (s *setting) UnmarshalJSON(data []byte) error {
	v, err := decodeAny(data)
	s.value = shown(v)
	return err
}

// MarshalJSON writes it.
func (s setting) MarshalJSON() ([]byte, error) { return encode(s.value, false) }

// settings are settings of an index template. What is nothing is not shown.
type settings map[string]any

// UnmarshalJSON reads a mapping.
func (s *settings) UnmarshalJSON(data []byte) error {
	v, err := decodeAny(data)
	m, _ := v.(map[string]any)
	for k, one := range m {
		if m[k] = shown(one); m[k] == nil {
			delete(m, k)
		}
	}
	*s = m
	return err
}

func decodeAny(data []byte) (any, error) {
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	var v any
	err := d.Decode(&v)
	return v, err
}

// shown brings a value into the form in which Elastic's registry shows it: an empty mapping is nothing.
func shown(v any) any {
	switch v := v.(type) {
	case map[string]any:
		if len(v) == 0 {
			return nil
		}
		for k, one := range v {
			v[k] = shown(one)
		}
	case []any:
		for i, one := range v {
			v[i] = shown(one)
		}
	}
	return v
}
