package render

import (
	"cmp"
	"errors"
	"strings"
)

// eq says whether a value is one of others, as the function of text/template does, and counts the texts that it compares.
func (b *budget) eq(x any, others ...any) (bool, error) {
	if len(others) == 0 {
		return false, errors.New("nothing to compare with")
	}
	for _, y := range others {
		left, isTruth := x.(bool)
		if right, ok := y.(bool); isTruth && ok {
			if left == right {
				return true, nil
			}
			continue
		}
		if order, err := b.compare(x, y); order == 0 || err != nil {
			return err == nil, err
		}
	}
	return false, nil
}

// compare gives -1, 0 or 1 for the order of two texts or two numbers; templates see no others.
func (b *budget) compare(x, y any) (int, error) {
	switch x := x.(type) {
	case string:
		if y, ok := y.(string); ok {
			return strings.Compare(x, y), b.takeBytes(min(len(x), len(y)))
		}
	case int:
		if y, ok := y.(int); ok {
			return cmp.Compare(x, y), nil
		}
	case float64:
		if y, ok := y.(float64); ok {
			return cmp.Compare(x, y), nil
		}
	}
	return 0, errors.New("these two cannot be compared: want two texts, or two numbers")
}
