package publish

import (
	"fmt"
	"strings"
)

// maxPackagesTitle is how many characters the title of a promotion of packages has that names all of them; the promotions of
// Elastic's own package storage kept it, and what reads their titles reads ours.
const maxPackagesTitle = 256

// PackagesTitle says what a promotion of packages, or the freezing of a channel, does:
// [production] Promote packages from staging (nginx-1.20.0, system-1.54.0).
func PackagesTitle(f ProposalFacts) string {
	if f.Frozen != "" {
		return fmt.Sprintf("[%s] Freeze packages as %s (%d)", f.Stage, f.Frozen, len(f.Moves))
	}
	var names []string
	for _, m := range f.Moves {
		if !m.New.IsZero() {
			names = append(names, m.Entry)
		}
	}
	if title := fmt.Sprintf("[%s] Promote packages from %s (%s)", f.Stage, f.From, strings.Join(names, ", ")); len(title) <= maxPackagesTitle {
		return title
	}
	return fmt.Sprintf("[%s] Promote many packages from %s", f.Stage, f.From)
}

// PackagesTitle is for templates.
func (f ProposalFacts) PackagesTitle() string { return PackagesTitle(f) }
