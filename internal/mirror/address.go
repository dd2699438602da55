package mirror

import (
	"regexp"
	"strings"
)

// Redact masks what is a secret wherever it stands: private keys, tokens that tell what they are by how they begin,
// and user and password of addresses. Whether an @ ends a password or stands in a path cannot always be told; then
// it is taken to end one.
func Redact(s string) string {
	if strings.Contains(s, "PRIVATE KEY") {
		s = privateKey.ReplaceAllString(s, "***")
	}
	s = tokenAlone.ReplaceAllString(s, "***")
	s = escapedAddress.ReplaceAllString(s, "$1***$2")
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

var (
	privateKey = regexp.MustCompile(`(?s)-----BEGIN [A-Z0-9 ]*PRIVATE KEY.*?(?:-----END [A-Z0-9 ]*PRIVATE KEY[A-Z ]*-----|$)`)
	// tokenAlone knows the beginnings that forges, registries and clouds give their tokens, and signed tokens (JWT).
	tokenAlone = regexp.MustCompile(`\b(?:gh[opsur]_|github_pat_|gl[a-z]{1,7}-|dckr_[a-z]{3}_|npm_|pypi-|hv[sbr]\.|xox[a-z]-|dop_v1_)[A-Za-z0-9_.=-]{6,}` +
		`|\bA(?:KIA|SIA)[A-Z0-9]{12,}|AGE-SECRET-KEY-[A-Z0-9]+|\beyJ[A-Za-z0-9_-]{6,}\.[A-Za-z0-9_.-]*`)
	// escapedAddress is an address inside the query of another one.
	escapedAddress = regexp.MustCompile(`(?i)(%3a%2f%2f)\S*(%40)`)

	words = regexp.MustCompile(`\S+`)
	// noEnd is what follows an @ that ends no password: the digest of an image, and the branch or tag in the
	// identity of a workflow.
	noEnd = regexp.MustCompile(`^(?:sha(?:1|224|256|384|512)|md5|blake3):|^refs\\?/`)
	user  = regexp.MustCompile(`(?:^|[^\s/"'@:=,{\[(]+):`)
)

// secretsOfAddresses finds user and password before the @ of addresses, as byte spans of s in order. The
// customary users of ssh are none, nor is the tag before a digest.
func secretsOfAddresses(s string) [][2]int {
	var spans [][2]int
	for _, w := range words.FindAllStringIndex(s, -1) {
		if from, to := userInfo(s[w[0]:w[1]]); to > 0 {
			spans = append(spans, [2]int{w[0] + from, w[0] + to})
		}
	}
	return spans
}

// userInfo finds user and password in a word: all up to the last @ that may end them, since a password that is not
// escaped may hold any character. to is 0 where there are none.
func userInfo(word string) (from, to int) {
	to = strings.LastIndexByte(word, '@')
	for to >= 0 && noEnd.MatchString(word[to+1:]) {
		to = strings.LastIndexByte(word[:to], '@')
	}
	if to <= 0 {
		return 0, 0
	}
	head := word[:to]
	for from = strings.Index(head, "://"); from >= 0; {
		from += len("://")
		if isUserInfo(head[from:]) {
			return from, to
		}
		next := strings.Index(head[from:], "://")
		if next < 0 {
			break
		}
		from += next
	}
	for _, m := range user.FindAllStringIndex(head, -1) { // without a scheme: user:password@host
		if !strings.HasPrefix(head[m[1]:], "//") {
			return m[0], to
		}
	}
	return 0, 0
}

// isUserInfo says whether what stands between :// and an @ may be user and password. It is none where a host and
// a path stand there.
func isUserInfo(s string) bool {
	if s == "git" || s == "user" {
		return false
	}
	authority, _, hasPath := strings.Cut(s, "/")
	return s != "" && (!hasPath || strings.ContainsAny(authority, ":@") || !strings.Contains(authority, ".") && authority != "localhost")
}
