package mirror

import (
	"regexp"
	"strings"
)

// publicMasker hides in files of the fleet repository what must never have been committed. inside holds, of lines
// that belong to a private key or to the value of a secret key above, from which byte on they are hidden.
type publicMasker struct{ inside map[int]int }

var (
	keyBegins = regexp.MustCompile(`BEGIN [A-Z0-9 ]*PRIVATE KEY`)
	keyEnds   = regexp.MustCompile(`END [A-Z0-9 ]*PRIVATE KEY`)
	secretKey = regexp.MustCompile(`(?i)(?:(?:pass(?:w|phrase|\b|_|-)|pwd|secret|token|credential|cookie|dockercfg|dockerconfigjson|(?:api|access|private|signing|encryption).?key|bearer)[A-Za-z0-9_-]*` +
		`|\b[A-Za-z0-9_-]*auth(?:orization)?(?:[_-][A-Za-z0-9_-]*)?|\b(?:pat|otp|psk|pin))["']?\s*[:=]\s*(\S.*)?$`)
	authScheme = regexp.MustCompile(`(?i)\b(?:basic|bearer)\s+([A-Za-z0-9+/._~-]{8,}=*)`)
	longCode   = regexp.MustCompile(`[A-Za-z0-9+/_=-]{48,}`)
	onlyHex    = regexp.MustCompile(`^(?:[0-9a-f]{64}|[0-9a-f]{128})$`)
	keyColumn  = regexp.MustCompile(`^[ \t]*(?:- +)*`)
)

func newPublicMasker(data []byte) masker {
	m := publicMasker{map[int]int{}}
	inKey, below := false, -1 // below: the column of the secret key above, where one is
	for i, line := range splitLines(data) {
		indent := len(line) - len(strings.TrimLeft(line, " \t"))
		inList := indent == below && strings.HasPrefix(line[indent:], "- ")
		if below >= 0 && indent < len(line) && indent <= below && !inList {
			below = -1
		}
		begin := strings.Index(line, "-----BEGIN")
		switch inKey = inKey || keyBegins.MatchString(line); {
		case inKey && below < 0 && begin >= 0:
			m.inside[i+1] = begin
		case inKey || below >= 0:
			m.inside[i+1] = indent
		}
		inKey = inKey && !keyEnds.MatchString(line)
		if below < 0 && secretKey.MatchString(line) {
			below = len(keyColumn.FindString(line))
		}
	}
	return m
}

func (m publicMasker) hidden(n int, line []rune) []bool {
	hide := make([]bool, len(line))
	text := string(line)
	span := func(from, to int) { // bytes of text
		for i := len([]rune(text[:from])); i < len([]rune(text[:to])); i++ {
			hide[i] = true
		}
	}
	if from, ok := m.inside[n]; ok {
		span(from, len(text))
		return hide
	}
	for _, s := range secretsOfAddresses(text) {
		span(s[0], s[1])
	}
	if s := secretKey.FindStringSubmatchIndex(text); s != nil && s[2] >= 0 {
		span(s[2], s[3])
	}
	for _, s := range append(tokenAlone.FindAllStringIndex(text, -1), escapedAddress.FindAllStringIndex(text, -1)...) {
		span(s[0], s[1])
	}
	for _, s := range authScheme.FindAllStringSubmatchIndex(text, -1) {
		span(s[2], s[3])
	}
	for _, s := range longCode.FindAllStringIndex(text, -1) {
		if !onlyHex.MatchString(text[s[0]:s[1]]) && !strings.Contains(text[s[0]:s[1]], "--") && strings.ContainsAny(text[s[0]:s[1]], "ABCDEFGHIJKLMNOPQRSTUVWXYZ") {
			span(s[0], s[1])
		}
	}
	return hide
}
