package wire

import (
	"cmp"
	"encoding/base64"
	"encoding/json"
	"html"
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
	// maxSecrets and maxTokens bound what is kept: what was not used for the longest time goes first. Each line of
	// a key counts, and every secret of the configuration is read, and so renewed, at each use.
	maxSecrets = 8192
	maxTokens  = 1024
)

// concealed are the secrets that this process has read. There is one list for the process, as there is one
// log: whoever prints does not know which connection a text came from.
var concealed concealment

type concealment struct {
	mu      sync.Mutex
	secrets recent
	tokens  recent
	forms   []string          // that are looked for, the longest first; nil: to be made
	replace *strings.Replacer // of the same forms
}

// recent are texts by when they were used last.
type recent struct {
	used  map[string]int
	clock int
}

// Conceal lets Mask take a secret out of every text from now on: as it is, escaped for a URL, JSON or HTML, and as
// a part of a Base64 text such as the header of HTTP Basic. Of a secret with several lines each long line counts.
// Who uses a secret conceals it each time, so that those in use are never forgotten.
func Conceal(s Secret) {
	for line := range strings.Lines(s.Reveal()) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "-----BEGIN ") || strings.HasPrefix(line, "-----END ") {
			continue
		}
		concealed.add(&concealed.secrets, line, maxSecrets)
	}
}

func concealToken(text string) { concealed.add(&concealed.tokens, text, maxTokens) }

// Mask gives a text with *** in the place of every secret that was concealed.
func Mask(text string) string {
	forms, replacer := concealed.known()
	text = replacer.Replace(text)
	if len(forms) == 0 || !hasEscapes(text) {
		return text
	}
	tells := func(read string) bool { return replacer.Replace(read) != read }
	for read, found := reading(text, tells); found; read, found = reading(text, tells) {
		text = cover(text, read, forms) // it is shorter now: this ends
	}
	return text
}

// cover writes *** over what u shows to be one of the forms.
func cover(text string, u unescaped, forms []string) string {
	hide := make([]bool, len(text))
	for _, form := range forms {
		for at, next := 0, 0; next >= 0; at++ {
			if next = strings.Index(u.text[at:], form); next >= 0 {
				at += next
				for i := u.begin[at]; i < u.begin[at+len(form)]; i++ {
					hide[i] = true
				}
			}
		}
	}
	var b strings.Builder
	for i := range len(text) {
		switch {
		case !hide[i]:
			b.WriteByte(text[i])
		case i == 0 || !hide[i-1]:
			b.WriteString(hidden)
		}
	}
	return b.String()
}

// Mask is the function of that name: whoever shows what a host said over this transport finds it here.
func (w *Wire) Mask(text string) string { return Mask(text) }

func (c *concealment) add(list *recent, text string, most int) {
	if len(text) < minConcealed {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	list.clock++
	_, known := list.used[text]
	if list.used == nil {
		list.used = map[string]int{}
	}
	list.used[text] = list.clock
	if known {
		return
	}
	if len(list.used) > most {
		oldest := text
		for t, when := range list.used {
			if when < list.used[oldest] {
				oldest = t
			}
		}
		delete(list.used, oldest)
	}
	c.forms, c.replace = nil, nil
}

func (c *concealment) known() ([]string, *strings.Replacer) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.replace != nil {
		return c.forms, c.replace
	}
	for t := range c.tokens.used {
		c.forms = append(c.forms, t)
	}
	for s := range c.secrets.used {
		c.forms = append(c.forms, formsOf(s)...)
	}
	// Of two that begin alike the longer one wins, so that nothing of it is left.
	slices.SortFunc(c.forms, func(a, b string) int { return cmp.Or(cmp.Compare(len(b), len(a)), strings.Compare(a, b)) })
	c.forms = slices.Compact(c.forms)
	var pairs []string
	for _, f := range c.forms {
		pairs = append(pairs, f, hidden)
	}
	c.replace = strings.NewReplacer(pairs...)
	return c.forms, c.replace
}

// formsOf gives a secret in the spellings that a server could send it back in, as far as undoing the escapes of the
// text does not find them.
func formsOf(s string) []string {
	forms := []string{s, plain(s).undo(invisible).text, strings.ReplaceAll(s, " ", "+"), url.QueryEscape(s), url.PathEscape(s), html.EscapeString(s)}
	if quoted, err := json.Marshal(s); err == nil {
		forms = append(forms, string(quoted[1:len(quoted)-1]))
	}
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
