package wire

import (
	"cmp"
	"encoding/base64"
	"net/url"
	"slices"
	"strings"
	"sync"
)

const (
	// minConcealed is the shortest secret in bytes that Mask looks for: shorter ones stand in every other word.
	minConcealed = 6
	// minFolded is the shortest form that is also looked for in lower case, as a host name would carry it.
	minFolded = 12
	// maxConcealed bounds the secrets that are kept, and apart from them the tokens: the oldest go first.
	maxConcealed = 256
)

// concealed are the secrets that this process has read. There is one list for the process, as there is one
// log: whoever prints does not know which connection a text came from.
var concealed concealment

type concealment struct {
	mu      sync.Mutex
	secrets []string // the newest last
	tokens  []string
	replace *strings.Replacer // nil: to be made
}

// Conceal lets Mask take a secret out of every text from now on: as it is, escaped for a URL, and as a part
// of a Base64 text such as the header of HTTP Basic. Of a secret with several lines each long line counts.
func Conceal(s Secret) {
	for line := range strings.Lines(s.Reveal()) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "-----") {
			continue
		}
		concealed.add(&concealed.secrets, line)
	}
}

func concealToken(text string) { concealed.add(&concealed.tokens, text) }

// Mask gives a text with *** in the place of every secret that was concealed.
func Mask(text string) string { return concealed.replacer().Replace(text) }

// Mask is the function of that name: whoever shows what a host said over this transport finds it here.
func (w *Wire) Mask(text string) string { return Mask(text) }

func (c *concealment) add(list *[]string, text string) {
	if len(text) < minConcealed {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if slices.Contains(*list, text) {
		return
	}
	if *list = append(*list, text); len(*list) > maxConcealed {
		*list = slices.Delete(*list, 0, 1)
	}
	c.replace = nil
}

func (c *concealment) replacer() *strings.Replacer {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.replace != nil {
		return c.replace
	}
	forms := slices.Clone(c.tokens)
	for _, s := range c.secrets {
		forms = append(forms, formsOf(s)...)
	}
	// Of two that begin alike the longer one wins, so that nothing of it is left.
	slices.SortFunc(forms, func(a, b string) int { return cmp.Or(cmp.Compare(len(b), len(a)), strings.Compare(a, b)) })
	var pairs []string
	for _, f := range slices.Compact(forms) {
		pairs = append(pairs, f, hidden)
	}
	c.replace = strings.NewReplacer(pairs...)
	return c.replace
}

// formsOf gives a secret in the spellings that a server could send it back in.
func formsOf(s string) []string {
	forms := []string{s, url.QueryEscape(s), url.PathEscape(s)}
	for shift := range 3 {
		forms = append(forms, inside(base64.RawStdEncoding, s, shift), inside(base64.RawURLEncoding, s, shift))
	}
	for _, f := range forms {
		if len(f) >= minFolded {
			forms = append(forms, strings.ToLower(f))
		}
	}
	return slices.DeleteFunc(forms, func(f string) bool { return len(f) < minConcealed })
}

// inside gives what a secret looks like in the middle of a Base64 text, whatever stands before and after it:
// shift is its place in the group of three bytes.
func inside(e *base64.Encoding, s string, shift int) string {
	text := e.EncodeToString([]byte(strings.Repeat("\x00", shift) + s))
	first, last := (shift*8+5)/6, (shift+len(s))*8/6
	return text[first:last]
}
