package mirror

import (
	"cmp"
	"encoding"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"
)

// strictMasker hides everything that is not known to be harmless: what it cannot place is a secret.
type strictMasker struct {
	words  []string        // every key that the shape has anywhere
	tokens map[int][]token // of a parsed document, by line
	lines  []string        // of one that cannot be parsed; nil for a parsed one
}

// token is a key or value of a parsed document in the line where it begins.
type token struct {
	column int // from 1
	text   string
	quote  string
	show   bool
}

func newStrictMasker(data []byte, shape any) masker {
	m := &strictMasker{tokens: map[int][]token{}}
	t := reflect.TypeOf(shape)
	vocabulary(t, map[reflect.Type]bool{}, &m.words)
	root, ps := parse("", data)
	if len(ps) > 0 {
		m.lines = splitLines(data)
		return m
	}
	m.walk(root.node, t, true)
	for _, tokens := range m.tokens {
		slices.SortFunc(tokens, func(a, b token) int { return cmp.Compare(a.column, b.column) })
	}
	return m
}

func vocabulary(t reflect.Type, seen map[reflect.Type]bool, words *[]string) {
	switch {
	case t == nil || seen[t]:
		return
	case slices.Contains([]reflect.Kind{reflect.Map, reflect.Slice, reflect.Pointer}, t.Kind()):
		vocabulary(t.Elem(), seen, words)
		return
	case t.Kind() != reflect.Struct:
		return
	}
	seen[t] = true
	for _, f := range fieldsOf(t) {
		*words = append(*words, f.name)
		vocabulary(t.Field(f.index).Type, seen, words)
	}
}

var (
	plainKey     = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_.-]{0,40}$`)
	plainChannel = regexp.MustCompile(`^[a-z][a-z-]{0,40}/[a-z0-9][a-z0-9.-]{0,20}$`) // such as elastic/production, a set and a channel of it
	secretWord   = regexp.MustCompile(`(?i)pass|pwd|secret|token|key|cred|auth|sign|cert|pem|private|bearer|cookie`)
	harmlessText = regexp.MustCompile(`^[^@?]*$|^(?:ssh://)?git@[^@?]*$`)
)

// secretWords are keys below which, also misspelt, nothing of a broken document is told.
var secretWords = []string{"password", "passphrase", "token", "secret", "credential", "sshKey", "key", "keyFile"}

// walk marks what may be shown. t is the type of the part, nil where none is known; open says whether values
// may be shown at all.
func (m *strictMasker) walk(n *yaml.Node, t reflect.Type, open bool) {
	for t != nil && t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch n.Kind {
	case yaml.MappingNode:
		m.mapping(n, t, open)
	case yaml.SequenceNode:
		var element reflect.Type
		if t != nil && t.Kind() == reflect.Slice {
			element = t.Elem()
		}
		for _, c := range n.Content {
			m.walk(c, element, open)
		}
	case yaml.ScalarNode:
		m.add(n, open && isScalar(t) && harmlessText.MatchString(n.Value) && !strings.Contains(n.Value, "-----") && len(n.Value) <= 80)
	default:
		m.add(n, false)
	}
}

func isScalar(t reflect.Type) bool {
	if t == nil || t == nodeType {
		return false
	}
	return t.Kind() != reflect.Map && t.Kind() != reflect.Slice && (t.Kind() != reflect.Struct || reflect.PointerTo(t).Implements(reflect.TypeFor[encoding.TextUnmarshaler]()))
}

func (m *strictMasker) mapping(n *yaml.Node, t reflect.Type, open bool) {
	var fields []field
	known, guarded := t != nil && t.Kind() == reflect.Struct, false
	if known {
		fields, guarded = fieldsOf(t), guards(t)
	}
	isMap := t != nil && t.Kind() == reflect.Map
	for i := 0; i < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if key.Kind != yaml.ScalarNode {
			m.walk(key, nil, false)
			m.walk(value, nil, false)
			continue
		}
		k := slices.IndexFunc(fields, func(f field) bool { return f.name == key.Value })
		switch {
		case k >= 0:
			m.add(key, true)
			m.walk(value, t.Field(fields[k].index).Type, open && !guarded && !secretWord.MatchString(key.Value))
		case isMap:
			m.add(key, open && (plainKey.MatchString(key.Value) || plainChannel.MatchString(key.Value)))
			m.walk(value, t.Elem(), open && !secretWord.MatchString(key.Value))
		default: // a key that nobody knows: perhaps the misspelt name of a secret
			alone := Node{node: value}.IsNull()
			harmless := !alone && (m.knows(key.Value) || known && open && !guarded && plainKey.MatchString(key.Value))
			m.add(key, harmless)
			if meant, ok := meantField(key.Value, fields, t); ok && open && !guarded && value.Kind == yaml.ScalarNode {
				m.add(value, plainValue(value.Value, meant))
				continue
			}
			m.walk(value, nil, false)
		}
	}
}

// meantField gives the type of the key that a misspelt one certainly was to be: a long word, at most two letters away,
// and neither of them beside a word for a secret.
func meantField(word string, fields []field, t reflect.Type) (reflect.Type, bool) {
	var names []string
	for _, f := range fields {
		names = append(names, f.name)
	}
	near := Nearest(word, names)
	if len(word) < 4 || near == "" || edits(word, near) > 2 || secretWord.MatchString(word+" "+near) || Nearest(word, secretWords) != "" {
		return nil, false
	}
	k := slices.Index(names, near)
	return t.Field(fields[k].index).Type, isScalar(t.Field(fields[k].index).Type)
}

// plainText are words, numbers with a unit, addresses of hosts and times as cron writes them: nothing in which
// letters and digits are mixed as in a password.
var plainText = regexp.MustCompile(`^(?:@(?:every |hourly$|daily$|midnight$|weekly$|monthly$|yearly$))?(?:(?:[A-Z]?[a-z]+|[0-9]{1,5}[a-z]{0,2}|\*)(?:[ */,.:-]+|$)){0,8}$`)

// plainValue says whether the value of a misspelt key is harmless as one of the type that was meant.
func plainValue(text string, t reflect.Type) bool {
	var ps Problems
	value := Node{node: &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: text}}
	decoder{ps: &ps}.decode(value, reflect.New(t).Elem(), "")
	isText := t.Kind() == reflect.String || reflect.PointerTo(t).Implements(textType)
	return len(ps) == 0 && len(text) <= 40 && (!isText || plainText.MatchString(text))
}

func (m *strictMasker) knows(word string) bool {
	return slices.Contains(m.words, word) || Nearest(word, m.words) != ""
}

func (m *strictMasker) add(n *yaml.Node, show bool) {
	quote := ""
	switch {
	case n.Style&yaml.DoubleQuotedStyle != 0:
		quote = `"`
	case n.Style&yaml.SingleQuotedStyle != 0:
		quote = "'"
	}
	m.tokens[n.Line] = append(m.tokens[n.Line], token{n.Column, n.Value, quote, show})
}

func (m *strictMasker) hidden(n int, line []rune) []bool {
	hide := make([]bool, len(line))
	for i := range hide {
		hide[i] = true
	}
	if m.lines != nil {
		m.unparsed(n, line, hide)
		return hide
	}
	// Between two tokens only signs of structure are shown. A token whose end cannot be told, such as one
	// that goes on in the next line, hides all up to the next.
	certain := len(m.tokens[n]) > 0
	at := 0
	gap := func(to int) {
		for ; at < to && at < len(line); at++ {
			if line[at] == '#' && (at == 0 || line[at-1] == ' ') {
				at = to
				return // a comment may say anything
			}
			hide[at] = !certain || !strings.ContainsRune(" \t{}[],:-", line[at])
		}
	}
	for _, t := range m.tokens[n] {
		gap(t.column - 1)
		at = min(t.column-1, len(line))
		end, ok := t.extent(line)
		if certain = ok; !ok {
			continue
		}
		for ; at < end; at++ {
			hide[at] = !t.show
		}
	}
	gap(len(line))
	return hide
}

// extent gives where the token ends in its line; false when the line does not hold exactly what was parsed.
func (t token) extent(line []rune) (end int, ok bool) {
	want := []rune(t.quote + t.text + t.quote)
	from := t.column - 1
	end = from + len(want)
	return end, from >= 0 && end <= len(line) && slices.Equal(line[from:end], want)
}

var (
	keyInLine = regexp.MustCompile(`^([ \t]*(?:- +)*)(["']?)([A-Za-z][A-Za-z0-9_.-]*)(["']?)( *:)( +|$)`)
	wordAlone = regexp.MustCompile(`^[a-z][a-z0-9.-]{0,29}$`)
)

// unparsed shows of a line of a broken document its indentation and its key, when that is a word of the shape or
// one beside it. A line inside a block of text or below a secret shows nothing of itself.
func (m *strictMasker) unparsed(n int, line []rune, hide []bool) {
	reveal := func(from, to int) {
		for i := from; i < to; i++ {
			hide[i] = false
		}
	}
	indent := 0
	for indent < len(line) && (line[indent] == ' ' || line[indent] == '\t') {
		indent++
	}
	reveal(0, indent)
	if m.covered(n, indent) {
		return
	}
	text := string(line)
	if strings.HasPrefix(text, "<<<<<<< ") || text == "---" {
		reveal(0, min(7, len(line)))
		return
	}
	k := keyInLine.FindStringSubmatchIndex(text)
	if k == nil {
		if strings.HasPrefix(string(line[indent:]), "- ") {
			reveal(indent, indent+2)
		}
		return
	}
	word, ends := text[k[6]:k[7]], k[1] == len(text)
	if !m.knows(word) && (!ends || !wordAlone.MatchString(word)) {
		return
	}
	rune0 := func(b int) int { return len([]rune(text[:b])) }
	reveal(0, rune0(k[1]))
	if rest := text[k[1]:]; rest != "" && strings.ContainsRune(`[{"'`, rune(rest[0])) {
		reveal(rune0(k[1]), rune0(k[1])+1)
	}
}

// covered says whether a line of a broken document lies inside a value that begins above: below a key that may
// name a secret, or in a block or quoted text.
func (m *strictMasker) covered(n, indent int) bool {
	for i := n - 2; i >= 0; i-- {
		above := strings.TrimRight(m.lines[i], " \t")
		depth := len(above) - len(strings.TrimLeft(above, " \t"))
		if above == "" || strings.HasPrefix(above[depth:], "#") {
			continue
		}
		k := keyInLine.FindStringSubmatch(above + " ")
		if depth >= indent {
			if opensQuote(above) > 0 {
				return true
			}
			continue
		}
		if k == nil || strings.HasSuffix(above, "|") || strings.HasSuffix(above, ">") || strings.HasSuffix(above, "-") || strings.HasSuffix(above, "+") || opensQuote(above) > 0 {
			return true
		}
		// The areas auth and signing hold names as well as secrets: their keys may be told, not what is deeper.
		if w := k[3]; w != "auth" && w != "signing" && (secretWord.MatchString(w) || Nearest(w, secretWords) != "") {
			return true
		}
		indent = depth
	}
	return false
}
