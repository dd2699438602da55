package render

import (
	"slices"
	"strings"

	"github.com/poundlock/poundlock/internal/mirror"
)

// imageRules gives the rules of a scene by upstream host. Where a host has several places, all of it leads to the first
// but for what stands in a later one only.
func imageRules(s scene) (all []imageRule) {
	for _, h := range s.hosts() {
		var later []string
		for i := len(h.paths) - 1; i >= 0; i-- {
			to := s.local.Host + "/" + h.paths[i] + "/"
			rules := hostRules(h.name, to)
			if i > 0 {
				rules = placeRules(s, h, i, to)
			}
			for n := range rules {
				rules[n].not = append(rules[n].not, later...)
			}
			for _, r := range rules {
				later = append(later, r.match)
			}
			all = append(all, rules...)
		}
	}
	return all
}

// hubPrefix is how Docker Hub is written where it is written at all.
const hubPrefix = `(?i:(?:index[.]|registry-1[.])?docker[.]io)(?::443)?/`

// hostPrefix is the expression of a host with its slash. Whoever writes the port of https or upper case means the same.
func hostPrefix(host string) string {
	switch {
	case host == "docker.io":
		return hubPrefix
	case strings.Contains(host, ":"):
		return "(?i:" + dots(host) + ")/"
	}
	return "(?i:" + dots(host) + ")(?::443)?/"
}

// dots writes the dots of a name so that they are dots in an expression.
func dots(name string) string { return strings.ReplaceAll(name, ".", "[.]") }

// hostRules lead everything of a host to one place. Docker Hub may be left out of an image: then there is no slash, or no
// dot, colon or capital before the first one, and it is not localhost.
func hostRules(host, to string) []imageRule {
	if host != "docker.io" {
		return []imageRule{{match: "^" + hostPrefix(host), to: to}}
	}
	return []imageRule{
		{match: "^(?:" + hubPrefix + ")?([^/]+)$", to: to + "library/$1"},
		{match: "^" + hubPrefix + "([^/]+/.+)$", to: to + "$1"},
		{match: "^([a-z0-9_-]+/.+)$", not: []string{"^localhost/"}, to: to + "$1"},
	}
}

// placeRules lead what stands in place i of a host, and in none before it, there: by repository, or by tag and digest
// where an earlier place has other versions of the repository.
func placeRules(s scene, h host, i int, to string) (rules []imageRule) {
	before := map[string]map[string]bool{} // repository to what comes after it
	note := func(m map[string]map[string]bool, r mirror.Reference) {
		if m[r.Repository] == nil {
			m[r.Repository] = map[string]bool{}
		}
		m[r.Repository][`(?::[^@]+)?@`+r.Digest.String()] = true
		if r.Tag != "" {
			m[r.Repository][":"+dots(r.Tag)] = true
		}
	}
	here := map[string]map[string]bool{}
	for _, p := range s.parts {
		at := slices.Index(h.paths, s.local.HostPath(p.set, p.name, h.name))
		for _, line := range p.standing {
			switch {
			case line.Image.Host != h.name || at > i:
			case at < i:
				note(before, line.Image)
			default:
				note(here, line.Image)
			}
		}
	}
	var official, others []string
	for repository, versions := range here {
		name := dots(repository)
		rest := `(?:[:@].*)?`
		if taken, shared := before[repository]; shared {
			var own []string
			for version := range versions {
				if !taken[version] {
					own = append(own, version)
				}
			}
			if len(own) == 0 {
				continue
			}
			slices.Sort(own)
			rest = "(?:" + strings.Join(own, "|") + ")"
		}
		if short, ok := strings.CutPrefix(name, "library/"); ok && h.name == "docker.io" && !strings.Contains(short, "/") {
			official = append(official, short+rest)
		} else {
			others = append(others, name+rest)
		}
	}
	slices.Sort(official)
	slices.Sort(others)
	prefix := hostPrefix(h.name)
	if h.name == "docker.io" {
		prefix = "(?:" + hubPrefix + ")?"
	}
	if len(official) > 0 {
		rules = append(rules, imageRule{match: "^" + prefix + "(?:library/)?(" + strings.Join(official, "|") + ")$", to: to + "library/$1"})
	}
	if len(others) > 0 {
		rules = append(rules, imageRule{match: "^" + prefix + "(" + strings.Join(others, "|") + ")$", to: to + "$1"})
	}
	return rules
}
