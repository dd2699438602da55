package mirror_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/poundlock/poundlock/internal/mirror"
)

func TestCheckValues_CountsWhatIsNotInStrings(t *testing.T) {
	many := strings.Repeat("{},", 60_000)
	for name, c := range map[string]struct {
		body string
		over bool
	}{
		"nothing":                  {"", false},
		"few":                      {`{"layers":[{},{}]}`, false},
		"objects":                  {`{"layers":[` + many + `{}]}`, true},
		"numbers":                  {`[` + strings.Repeat("0,", 100_000) + `0]`, true},
		"lists in lists":           {strings.Repeat("[", 100_001), true},
		"in a string":              {`{"payload":"` + many + `"}`, false},
		"behind a string":          {`{"payload":"x"},` + many, true},
		"behind an escaped quote":  {`{"payload":"x\"` + many + `"}`, false},
		"behind an escaped slash":  {`{"payload":"x\\"},` + many, true},
		"string without end":       {`"` + many, false},
		"string that ends escaped": {`"\`, false},
		"quote alone":              {`"`, false},
	} {
		t.Run(name, func(t *testing.T) {
			if err := mirror.CheckValues([]byte(c.body)); errors.Is(err, mirror.ErrTooLarge) != c.over || (err != nil) != c.over {
				t.Errorf("got %v, want too large %t", err, c.over)
			}
		})
	}
}
