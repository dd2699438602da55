package policy

import (
	"errors"
	"regexp/syntax"
)

var errNotAnchored = errors.New("it is not anchored with ^ and $, so that more than whole names would match")

// anchored checks a regular expression over identities: whatever it matches must be the whole text, or
// https://evil.example/?https://good.example/ would be good. Each alternative must be anchored by itself.
func anchored(expression string) error {
	parsed, err := syntax.Parse(expression, syntax.Perl)
	if err != nil {
		return err
	}
	if !always(parsed, syntax.OpBeginText, func(of []*syntax.Regexp) *syntax.Regexp { return of[0] }) ||
		!always(parsed, syntax.OpEndText, func(of []*syntax.Regexp) *syntax.Regexp { return of[len(of)-1] }) {
		return errNotAnchored
	}
	return nil
}

// always says whether every match of an expression has an anchor at one end: the part that end gives of a sequence.
func always(re *syntax.Regexp, anchor syntax.Op, end func([]*syntax.Regexp) *syntax.Regexp) bool {
	switch re.Op {
	case anchor:
		return true
	case syntax.OpConcat:
		return always(end(re.Sub), anchor, end)
	case syntax.OpCapture, syntax.OpPlus:
		return always(re.Sub[0], anchor, end)
	case syntax.OpAlternate:
		for _, one := range re.Sub {
			if !always(one, anchor, end) {
				return false
			}
		}
		return true
	}
	return false
}
