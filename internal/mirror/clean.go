package mirror

import (
	"regexp"
	"strconv"
	"strings"
	"unicode"
)

// maxText bounds one text of a problem in characters: a value of a megabyte is no help to anybody.
const maxText = 600

// Clean makes text that may come from a file fit for a terminal and for eyes: one line, without characters that
// steer a terminal or turn the direction of writing, without private keys and passwords in addresses, and not
// endless.
func Clean(s string) string {
	s = redact(s)
	var b strings.Builder
	n := 0
	for _, r := range s {
		if n++; n > maxText {
			b.WriteString("…")
			break
		}
		switch {
		case r == '\n' || r == '\t' || r == '\r':
			b.WriteByte(' ')
		case unicode.IsPrint(r):
			b.WriteRune(r)
		default:
			b.WriteString(strings.Trim(strconv.QuoteRuneToASCII(r), "'"))
		}
	}
	return b.String()
}

var (
	privateKey = regexp.MustCompile(`(?s)-----BEGIN [A-Z0-9 ]*PRIVATE KEY.*?(?:-----END [A-Z0-9 ]*PRIVATE KEY[A-Z ]*-----|$)`)
	userInfo   = regexp.MustCompile(`://[^/\s"'@]+@`)
	userPass   = regexp.MustCompile(`[^\s/"'@:=,{\[(]+:[^\s/"'@]+@`)
	digestTail = regexp.MustCompile(`^(?:sha[0-9]+|md5|blake3):|^[a-z0-9+._-]+:[0-9a-f]{32}`)
)

// redact masks what is a secret wherever it stands: a private key, and the user and password of an address.
func redact(s string) string {
	if strings.Contains(s, "PRIVATE KEY") {
		s = privateKey.ReplaceAllString(s, "***")
	}
	if !strings.Contains(s, "@") {
		return s
	}
	var b strings.Builder
	last := 0
	for _, span := range secretsOfAddresses(s) {
		b.WriteString(s[last:span[0]] + "***")
		last = span[1]
	}
	return b.String() + s[last:]
}

// secretsOfAddresses finds user and password before the @ of addresses, as byte spans of s in order. The
// customary users of ssh are none, nor is the tag before a digest.
func secretsOfAddresses(s string) [][2]int {
	var spans [][2]int
	for _, m := range userInfo.FindAllStringIndex(s, -1) {
		if user := s[m[0]+3 : m[1]-1]; user != "git" && user != "user" {
			spans = append(spans, [2]int{m[0] + 3, m[1] - 1})
		}
	}
	if len(spans) > 0 {
		return spans
	}
	for _, m := range userPass.FindAllStringIndex(s, -1) {
		if !digestTail.MatchString(s[m[1]:]) {
			spans = append(spans, [2]int{m[0], m[1] - 1})
		}
	}
	return spans
}
