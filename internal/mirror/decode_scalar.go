package mirror

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"
)

// typeError says that a value is not of its type, and what it was perhaps meant to be.
type typeError struct{ near string }

// Error is for the chain only; the problem is worded where key and type are known.
func (typeError) Error() string { return "another type" }

func mismatch(err error, near string) error {
	if err == nil {
		return nil
	}
	return typeError{near}
}

// suggestDuration reads days as hours. A bare number gets no guess: whoever thought of hours would be told seconds.
func suggestDuration(s string) string {
	days, isDays := strings.CutSuffix(s, "d")
	if n, err := strconv.Atoi(days); isDays && err == nil && n > 0 && n <= 10000 {
		return strconv.Itoa(24*n) + "h"
	}
	return ""
}

func suggestBool(s string) string {
	switch strings.ToLower(s) {
	case "true", "yes", "on", "y":
		return "true"
	case "false", "no", "off", "n":
		return "false"
	}
	return ""
}

func (d decoder) scalar(n Node, path, want, fix string, set func(string) error) {
	text, ok := n.Text()
	if !ok {
		if n.IsNull() {
			fix = "write a value, or delete the key"
		}
		d.add(n, path, "DOC004", fix, "%s: want %s, have %s", path, want, n.kind())
		return
	}
	err := set(text)
	var other typeError
	var word UnknownWord
	switch {
	case err == nil:
	case d.guarded: // what stands here may be the secret of the key beside it
		d.add(n, path, "DOC004", fix, "%s: want %s", path, want)
	case errors.As(err, &other):
		if other.near != "" {
			fix = fmt.Sprintf("did you mean %q? %s", other.near, fix)
		}
		d.add(n, path, "DOC004", fix, "%s: want %s, have %q", path, want, text)
	case errors.As(err, &word):
		fix = "write " + orList(word.Known)
		if near := Nearest(word.Word, word.Known); near != "" {
			fix = fmt.Sprintf("did you mean %q?", near)
		}
		d.add(n, path, "DOC004", fix, "%s: want %s, have %q", path, orList(word.Known), word.Word)
	default:
		d.add(n, path, "DOC004", strings.TrimPrefix(fix, "write one value"), "%s: %v", path, err)
	}
}

func (n Node) kind() string {
	switch {
	case n.node.Kind == yaml.MappingNode:
		return "a mapping"
	case n.node.Kind == yaml.SequenceNode:
		return "a list"
	case n.IsNull():
		return "nothing"
	}
	return "a single value" // never the value itself: it may be a secret written where a reference belongs
}
