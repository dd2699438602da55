package daemon

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/policy"
)

// checkStages warns of stages that the floor or trust.site.sign names and that the fleet does not have.
func (d *doctor) checkStages(desired mirror.Desired) (checks []Check) {
	for _, p := range StrangeSignStages(d.config, desired) {
		checks = append(checks, d.warned("trust", "sign key", p))
	}
	least, problems := readFloor(d.config).policy(d.config)
	if len(problems) > 0 {
		return checks // told as the floor's
	}
	for _, p := range append(least.UnknownStages(stagesOf(desired)), least.UnknownSets(desired.Sets)...) {
		checks = append(checks, d.warned("trust", "floor", p))
	}
	return checks
}

// checkTrust tells who may vouch by the policy of the fleet.
func (d *doctor) checkTrust(rules policy.Policy, problems mirror.Problems) []Check {
	if len(problems) > 0 {
		return []Check{none("trust", "", "not known while the fleet has problems")}
	}
	return d.vouching("", rules)
}

// vouching tells whom a policy document trusts, and whose time ends. prefix names the document.
func (d *doctor) vouching(prefix string, rules policy.Policy) []Check {
	return slices.Concat(named(prefix, rules.Signers()), d.checkRoots(prefix, rules.Roots()), d.ownSigners(prefix, rules), d.ending(prefix, rules))
}

// checkSiteTrust looks at what this machine adds: its floor, its key, and whose commits count.
func (d *doctor) checkSiteTrust(context.Context) []Check {
	var checks []Check
	if d.config.Trust.Floor == "" {
		checks = append(checks, none("trust", "floor", "no floor: the policy of the fleet repository alone decides"))
	} else {
		checks = append(checks, d.checkFloor()...)
	}
	checks = append(checks, d.checkSiteKeys()...)
	checks = append(checks, d.checkPackageKey()...)
	if d.config.Trust.Fleet.IsZero() {
		return append(checks, none("trust", "commits", "commits of the fleet repository need no signature"))
	}
	if problems := CheckSigners(d.config); len(problems) > 0 {
		return append(checks, d.failed("trust", "commits", problems))
	}
	text := "commits of the fleet repository must be signed by those of"
	for _, file := range []string{d.config.Trust.Fleet.AllowedSigners, d.config.Trust.Fleet.Keyring} {
		if file != "" {
			text += " " + file
		}
	}
	if f := d.config.Trust.Fleet.Forge; f.AllowedSigners != "" || f.Keyring != "" {
		text += ", or be merges that the forge signed"
	}
	return append(checks, ok("trust", "commits", "%s", text))
}

func (d *doctor) checkFloor() []Check {
	rules, problems := readFloor(d.config).policy(d.config)
	if len(problems) > 0 {
		return []Check{d.failed("trust", "floor", problems)}
	}
	return append([]Check{ok("trust", "floor", "floor %s must admit, too", d.config.Trust.Floor)}, d.vouching("floor: ", rules)...)
}

// named lists signers: keys in a line, and one line for those whom certificates name.
func named(prefix string, signers []policy.Signer) []Check {
	var keys, people []string
	for _, s := range signers {
		text := fmt.Sprintf("%q (%s)", s.Name, s.Kind)
		if s.Identity != "" {
			keys = append(keys, text)
		} else {
			people = append(people, text)
		}
	}
	var checks []Check
	if len(keys) > 0 {
		checks = append(checks, ok("trust", "", "%s%s %s, no network", prefix, plural(len(keys), "key"), strings.Join(keys, ", ")))
	}
	if len(people) > 0 {
		checks = append(checks, ok("trust", "", "%s%s by certificate %s, no network", prefix, plural(len(people), "signer"), strings.Join(people, ", ")))
	}
	if len(signers) == 0 && prefix == "" {
		checks = append(checks, ok("trust", "", "no keys: only what is pinned in desired/ is admitted, no network"))
	}
	return checks
}

func (d *doctor) checkRoots(prefix string, roots []policy.Root) []Check {
	var checks []Check
	for _, r := range roots {
		text := fmt.Sprintf("%sroot %q: %s, %s, %s", prefix, r.Name, counted(r.Authorities, "certificate authority"), counted(r.Logs, "transparency log"), counted(r.Timestamps, "timestamp authority"))
		if r.Ends.IsZero() {
			checks = append(checks, ok("trust", r.Name, "%s", text))
			continue
		}
		text += ", until " + day(r.Ends)
		if left := r.Ends.Sub(d.now()); left < soonOver {
			checks = append(checks, d.over(r.Name, text, r.File, left, "put the authority's next certificate into the root beside this one"))
			continue
		}
		checks = append(checks, ok("trust", r.Name, "%s", text))
	}
	return checks
}

// ending warns of signers and exceptions whose time ends soon. A signer that ended is retired, and may stay in rules
// for what it signed as long as enough others are left in them.
func (d *doctor) ending(prefix string, rules policy.Policy) []Check {
	var checks []Check
	for _, s := range rules.Signers() {
		left := s.Until.Sub(d.now())
		if s.Until.IsZero() || left < 0 || left >= soonOver {
			continue
		}
		text := fmt.Sprintf("%ssigner %q counts until %s", prefix, s.Name, day(s.Until))
		checks = append(checks, d.over(s.Name, text, s.File, left, "add the signer that follows to the rules, or move until of this one; what it signed before keeps counting"))
	}
	for _, r := range rules.Retired(d.now()) {
		text := fmt.Sprintf("%ssigner %q counted until %s, and rules name it", prefix, r.Name, day(r.Until))
		if !r.Short {
			checks = append(checks, ok("trust", r.Name, "%s beside others: for what it signed before", text))
			continue
		}
		p := adviser{d.config}.problem("DRT004", "", "%s: too few of that rule are left", text)
		p.Where, p.Why, p.Fix = r.Where, "nothing that is signed now satisfies it", "add the signer that follows to the rule; what the old one signed before keeps counting"
		checks = append(checks, d.warned("trust", r.Name, p))
	}
	return append(checks, d.exceptions(prefix, rules)...)
}

// exceptions warns of those that are over, and of those that end within the days before which plans warn, too.
func (d *doctor) exceptions(prefix string, rules policy.Policy) []Check {
	var checks []Check
	for _, e := range rules.Exceptions() {
		text, why, fix := "ends at", "from then on its images are refused", "have what it lifts mended before, or have a later end approved"
		switch {
		case e.Ended(d.now()):
			text, why, fix = "ended at", "it lifts nothing any more, and looks as if it did", "delete it, or have a later end approved"
		case !e.EndsSoon(d.now()):
			continue
		}
		p := adviser{d.config}.problem("DRT004", "", "%sthe exception for %s (%s) %s %s", prefix, e.Name, e.Reason, text, e.Until.UTC().Format(time.RFC3339))
		p.Where, p.Why, p.Fix = e.Where, why, fix
		checks = append(checks, d.warned("trust", e.Name, p))
	}
	return checks
}

func (d *doctor) over(name, what, file string, left time.Duration, fix string) Check {
	words := fmt.Sprintf(" (in %d days)", int(left.Hours()/24))
	if left < 0 {
		words = " (it is over)"
	}
	p := adviser{d.config}.problem("DRT004", "", "%s%s", what, words)
	p.Where.File, p.Fix = file, fix
	p.Why = "what is signed after that is not admitted"
	return d.warned("trust", name, p)
}

func counted(n int, word string) string {
	if n == 0 {
		return "no " + word
	}
	return count(n, word)
}
