package policy

import (
	"fmt"
	"strings"

	"github.com/bmatcuk/doublestar/v4"

	"github.com/poundlock/poundlock/internal/mirror"
)

// maxAlternatives is how many patterns one with braces may stand for before they are not looked at one by one.
const maxAlternatives = 256

// glob checks a pattern over host/repository. One that can match nothing is refused: a rule or a deny line that is
// never true is worse than none.
func (l *loader) glob(pattern string, where mirror.Position, what string) {
	if pattern == "" || !doublestar.ValidatePattern(pattern) {
		l.problems.Add("POL015", where, "write a glob such as registry.example/team/**", "%s: malformed glob %q", what, pattern)
		return
	}
	for _, one := range alternatives(pattern) {
		why, fix := futile(one)
		if why == "" {
			continue
		}
		if one != pattern {
			why = fmt.Sprintf("in %q %s", pattern, why)
		}
		l.problems.Add("POL015", where, fix, "%s: %s", what, why)
		return
	}
}

// futile says why a pattern without braces can match no host/repository, and what to write instead; "" where it can.
func futile(pattern string) (why, fix string) {
	host, path, below := strings.Cut(pattern, "/")
	switch {
	case strings.Contains(pattern, "@"), tagged(pattern):
		return fmt.Sprintf("%q names a tag or digest, globs match host/repository", pattern), "leave tag and digest out"
	case !below && pattern != "**":
		return fmt.Sprintf("%q has no slash, so it matches no host/repository", pattern), "write " + withSlash(pattern)
	case strings.HasSuffix(pattern, "/"):
		return fmt.Sprintf("%q ends with a slash, so it matches no repository", pattern), "write " + strings.TrimRight(pattern, "/") + "/**"
	case strings.Contains(pattern, "//"):
		return fmt.Sprintf("%q has two slashes in a row, as no repository has", pattern), "write one slash"
	case host == "index.docker.io" || host == "registry-1.docker.io":
		return "Docker Hub is called docker.io here", "write docker.io/" + path
	case !strings.ContainsAny(host, ".:*?[") && host != "localhost":
		return fmt.Sprintf("%q does not begin with a host", pattern), "write docker.io/library/... or **/" + strings.TrimPrefix(pattern, "/")
	}
	if c := odd(pattern); c != "" {
		return fmt.Sprintf("%q holds %q, which no host and no repository has", pattern, c), "write lower-case letters, digits and . _ - between the slashes"
	}
	parts := strings.Split(pattern, "/")
	for i, part := range parts {
		if part != "**" && strings.Contains(part, "**") {
			parts[i] = besideStars(part)
			return fmt.Sprintf("%q has ** inside of a part, where it means no more than *", pattern), "write " + strings.Join(parts, "/")
		}
	}
	switch {
	case host != "docker.io" || strings.Contains(path, "/") || path == "**":
		return "", ""
	case path == "*":
		fix = "write docker.io/**"
	case strings.ContainsAny(path, "*?["):
		fix = "write docker.io/**/" + path
	default:
		fix = "write docker.io/library/" + path
	}
	return fmt.Sprintf("%q matches nothing: every repository of Docker Hub has two parts, such as library/nginx", pattern), fix
}

// tagged says whether a pattern ends with a tag. A colon in its first part, with a host before it, is that of a port.
func tagged(pattern string) bool {
	slash := strings.LastIndexByte(pattern, '/')
	name, _, colon := strings.Cut(pattern[slash+1:], ":")
	return colon && (slash >= 0 || !strings.Contains(name, ".") && name != "localhost")
}

// withSlash is what a pattern of one part most likely was meant to be.
func withSlash(pattern string) string {
	name := strings.TrimLeft(pattern, "*")
	switch {
	case name == "":
		return "**"
	case name == pattern && !strings.ContainsAny(name, "*?[") && (strings.ContainsAny(name, ".:") || name == "localhost"):
		return name + "/**"
	case name != pattern:
		return "**/*" + name
	}
	return "**/" + name
}

// besideStars gives a part in which ** stands as parts that mean what it most likely was to mean.
func besideStars(part string) string {
	lead, trail := strings.HasPrefix(part, "**"), strings.HasSuffix(part, "**")
	for strings.Contains(part, "**") {
		part = strings.ReplaceAll(part, "**", "*")
	}
	if lead {
		part = "**/" + part
	}
	if trail {
		part += "/**"
	}
	return part
}

// odd gives the first character of a pattern that no name has. What stands in brackets is left alone.
func odd(pattern string) string {
	class := false
	for _, c := range pattern {
		switch {
		case class || c == '[':
			class = c != ']'
		case c >= 'a' && c <= 'z', c >= '0' && c <= '9', strings.ContainsRune(`._-/:*?\`, c):
		default:
			return string(c)
		}
	}
	return ""
}

// alternatives writes a pattern with braces as patterns without; where they would be too many, as none.
func alternatives(pattern string) []string {
	todo, done := []string{pattern}, []string{}
	for len(todo) > 0 {
		one := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		begin, end, commas := braces(one)
		if begin < 0 {
			done = append([]string{one}, done...)
			continue
		}
		from := begin + 1
		for _, to := range append(commas, end) {
			todo = append(todo, one[:begin]+one[from:to]+one[end+1:])
			from = to + 1
		}
		if len(todo)+len(done) > maxAlternatives {
			return nil
		}
	}
	return done
}

// braces finds the first pair of braces of a valid pattern and the commas between its alternatives; begin is negative
// where there is none.
func braces(pattern string) (begin, end int, commas []int) {
	begin, depth, class := -1, 0, false
	for i := 0; i < len(pattern); i++ {
		switch c := pattern[i]; {
		case c == '\\':
			i++
		case class || c == '[':
			class = c != ']'
		case c == '{':
			if depth++; depth == 1 {
				begin = i
			}
		case c == ',' && depth == 1:
			commas = append(commas, i)
		case c == '}':
			if depth--; depth == 0 {
				return begin, i, commas
			}
		}
	}
	return -1, 0, nil
}
