package policy

import (
	"slices"
	"strings"
	"time"

	"github.com/poundlock/poundlock/internal/mirror"
)

// Retired is a signer whose time is over while rules still name it.
type Retired struct {
	Name  string
	Until time.Time
	Where mirror.Position // of a rule that names it
	Short bool            // that rule has too few signers left: nothing new can satisfy it
}

// Retired lists the signers that are named by rules and count no more at a moment, by document and by name.
func (p Policy) Retired(at time.Time) []Retired {
	var all []Retired
	for _, l := range p.layers {
		over := func(name string) bool { until := l.signers[name].until; return !until.IsZero() && !at.Before(until) }
		first := len(all)
		name := func(signers []string, count int, where mirror.Position) {
			left := slices.DeleteFunc(slices.Clone(signers), over)
			for _, s := range signers {
				if !over(s) {
					continue
				}
				one := Retired{Name: s, Until: l.signers[s].until, Where: where, Short: len(left) < count}
				switch i := slices.IndexFunc(all[first:], func(r Retired) bool { return r.Name == s }); {
				case i < 0:
					all = append(all, one)
				case one.Short && !all[first+i].Short:
					all[first+i] = one
				}
			}
		}
		for _, r := range l.rules {
			name(r.Signers, r.Count, r.where)
			for _, a := range r.Attestations {
				name(a.By, a.Count, a.where)
			}
		}
		slices.SortFunc(all[first:], func(a, b Retired) int { return strings.Compare(a.Name, b.Name) })
	}
	return all
}
