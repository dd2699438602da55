package daemon

import (
	"errors"
	"slices"

	"github.com/poundlock/poundlock/daemon/config"
	"github.com/poundlock/poundlock/internal/mirror"
)

// CheckTrust reads what a configuration adds to the policy: the floor, this site's key, and whose commits count, and
// gives all mistakes in one pass. A key or password that is not at hand here is none: it may be on another machine.
func CheckTrust(c config.Config) mirror.Problems {
	_, problems := readFloor(c).policy(c)
	var wrong mirror.Problems
	if err := checkSite(c); errors.As(err, &wrong) {
		problems = append(problems, wrong...)
	} else if err != nil && !errors.As(err, new(*config.SecretError)) {
		problems = append(problems, Advise(c, err)...)
	}
	return slices.Concat(problems, CheckSigners(c), checkEvents(c), checkPackageKey(c))
}
