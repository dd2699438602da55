package wire

import (
	"net/http"
	"strings"
)

// challenge is how a host wants to be convinced.
type challenge struct {
	scheme  string // basic or bearer
	realm   string // of bearer: the token server
	service string
	scope   string
}

// parseChallenges reads the WWW-Authenticate headers of a 401; bearer is preferred to basic, and anything
// else is not understood.
func parseChallenges(h http.Header) (best challenge, ok bool) {
	for _, line := range h.Values("WWW-Authenticate") {
		for _, c := range splitChallenges(line) {
			if c.scheme == "bearer" && c.realm != "" {
				return c, true
			}
			if c.scheme == "basic" {
				best, ok = c, true
			}
		}
	}
	return best, ok
}

// splitChallenges reads one header, which may hold several challenges: a scheme, then key=value pairs with
// commas between them.
func splitChallenges(s string) []challenge {
	var all []challenge
	for s = strings.TrimLeft(s, ", \t"); s != ""; s = strings.TrimLeft(s, ", \t") {
		word := s[:len(s)-len(strings.TrimLeftFunc(s, isToken))]
		if word == "" {
			return all
		}
		s = strings.TrimLeft(s[len(word):], " \t")
		if !strings.HasPrefix(s, "=") {
			all = append(all, challenge{scheme: strings.ToLower(word)})
			continue
		}
		var value string
		value, s = parseValue(strings.TrimLeft(s[1:], " \t"))
		if len(all) == 0 {
			return nil
		}
		c := &all[len(all)-1]
		switch strings.ToLower(word) {
		case "realm":
			c.realm = value
		case "service":
			c.service = value
		case "scope":
			c.scope = value
		}
	}
	return all
}

// parseValue reads a word or a quoted string, and gives what follows it.
func parseValue(s string) (value, rest string) {
	if !strings.HasPrefix(s, `"`) {
		rest = strings.TrimLeftFunc(s, func(r rune) bool { return r != ',' && r != ' ' })
		return s[:len(s)-len(rest)], rest
	}
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch {
		case s[i] == '"':
			return b.String(), s[i+1:]
		case s[i] == '\\' && i+1 < len(s):
			i++
			fallthrough
		default:
			b.WriteByte(s[i])
		}
	}
	return "", "" // no end: not a value
}

func isToken(r rune) bool {
	return r > ' ' && r < 0x7f && !strings.ContainsRune(`"(),/:;<=>?@[\]{}`, r)
}

// access is what a request needs, as far as its method and path tell: the key under which the answer to a
// challenge is used again, so that the next request need not be refused first.
type access struct {
	kind string // pull, push or mount
	repo string // "" when the path is not one of the registry API
	from string // of a mount
}

func accessOf(req *http.Request) access {
	a := access{kind: "push"}
	if req.Method == http.MethodGet || req.Method == http.MethodHead {
		a.kind = "pull"
	}
	_, rest, ok := strings.Cut(req.URL.Path, "/v2/")
	if !ok {
		return a
	}
	for _, part := range []string{"/manifests/", "/blobs/", "/referrers/", "/tags/list"} {
		if i := strings.LastIndex(rest, part); i > 0 {
			a.repo = rest[:i]
		}
	}
	if from := req.URL.Query().Get("from"); from != "" && a.kind == "push" {
		a.kind, a.from = "mount", from
	}
	return a
}

// adapt gives the challenge that was learned with one access for another one of the same kind: only the
// repositories in its scope differ. ok is false when the scope does not name them as the protocol does.
func (c challenge) adapt(learned, want access) (challenge, bool) {
	if c.scheme != "bearer" || learned == want {
		return c, true
	}
	if learned.repo == "" || want.repo == "" {
		return c, false
	}
	var scopes []string
	for scope := range strings.FieldsSeq(c.scope) {
		typ, rest, _ := strings.Cut(scope, ":")
		i := strings.LastIndex(rest, ":")
		if i < 0 {
			return c, false
		}
		switch rest[:i] {
		case learned.repo:
			scopes = append(scopes, typ+":"+want.repo+rest[i:])
		case learned.from:
			scopes = append(scopes, typ+":"+want.from+rest[i:])
		default:
			return c, false
		}
	}
	c.scope = strings.Join(scopes, " ")
	return c, len(scopes) > 0
}
