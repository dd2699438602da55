package daemon

import (
	"strings"

	"github.com/bmatcuk/doublestar/v4"

	"github.com/poundlock/poundlock/internal/mirror"
)

// namedPackages gives the entries that somebody means by their words, among those that stand somewhere: nginx-1.20.0 is
// itself, nginx is its newest version, and a glob such as apache*-1.* is all that it matches. A word that means nothing stays
// as it is, so that it is told.
func namedPackages(words []string, standing mirror.Standing, newestOnly bool) (entries []string) {
	names := sortedKeys(standing)
	newest := newestOf(names)
	for _, word := range words {
		_, exact := standing[word]
		one, known := newest[word]
		switch {
		case exact:
			entries = append(entries, word)
		case known:
			entries = append(entries, one.String())
		case strings.ContainsAny(word, "*?[{") && doublestar.ValidatePattern(word):
			found := false
			for _, name := range names {
				if doublestar.MatchUnvalidated(word, name) && (!newestOnly || newest.has(name)) {
					entries, found = append(entries, name), true
				}
			}
			if !found {
				entries = append(entries, word)
			}
		default:
			entries = append(entries, word)
		}
	}
	return entries
}

// newestVersions are the newest version of each package, by name.
type newestVersions map[string]mirror.Package

// newestOf gives the newest version of each package among entries.
func newestOf(entries []string) newestVersions {
	newest := newestVersions{}
	for _, entry := range entries {
		p, err := mirror.ParsePackage(entry)
		if err != nil {
			continue
		}
		if best, ok := newest[p.Name]; !ok || p.Compare(best) > 0 {
			newest[p.Name] = p
		}
	}
	return newest
}

// has says whether an entry is the newest version of its package.
func (n newestVersions) has(entry string) bool {
	p, err := mirror.ParsePackage(entry)
	return err == nil && n[p.Name] == p
}
