package epr

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
)

// Elastic's registry reads manifests by go-ucfg, which is lenient with types: a number where text is wanted is its text, one
// value where a list is wanted is a list of one. The types here read what it reads.

// text is a string, or a number or truth written as one.
type text string

// UnmarshalJSON reads a scalar.
func (t *text) UnmarshalJSON(data []byte) error {
	switch data[0] {
	case 'n': // null
		return nil
	case '"':
		var s string
		err := json.Unmarshal(data, &s)
		*t = text(s)
		return err
	case '{', '[':
		return fmt.Errorf("%s where text is wanted", kindOf(data))
	case 't', 'f':
		*t = text(data)
		return nil
	}
	var v any
	if err := json.Unmarshal(data, &v); err != nil {
		return err
	}
	if f, isFloat := v.(float64); isFloat && strings.ContainsAny(string(data), ".eE") {
		*t = text(fmt.Sprint(f))
		return nil
	}
	*t = text(data)
	return nil
}

// flag is a truth, or text that means one.
type flag bool

// UnmarshalJSON reads true, false, and what strconv.ParseBool reads.
func (f *flag) UnmarshalJSON(data []byte) error {
	var t text
	if data[0] != '"' && data[0] != 't' && data[0] != 'f' && data[0] != 'n' {
		return fmt.Errorf("%s where true or false is wanted", kindOf(data))
	}
	if err := t.UnmarshalJSON(data); err != nil || data[0] == 'n' {
		return err
	}
	is, err := strconv.ParseBool(string(t))
	if err != nil {
		return fmt.Errorf("a text where true or false is wanted")
	}
	*f = flag(is)
	return nil
}

// list is a list, or one value of it. A mapping is an empty list.
type list[T any] []T

// UnmarshalJSON reads both.
func (l *list[T]) UnmarshalJSON(data []byte) error {
	switch data[0] {
	case '[':
		return json.Unmarshal(data, (*[]T)(l))
	case 'n':
		return nil
	case '{':
		*l = list[T]{}
		return nil
	}
	var one T
	if err := json.Unmarshal(data, &one); err != nil {
		return err
	}
	*l = list[T]{one}
	return nil
}

func kindOf(data []byte) string {
	switch data[0] {
	case '{':
		return "a mapping"
	case '[':
		return "a list"
	}
	return "a number"
}
