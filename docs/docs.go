// Package docs carries the pages of this folder inside the binary, so that `poundlock help` answers without a
// network. It promises that every page is a topic and that a code of a problem finds what is written of it;
// what the pages say is theirs.
package docs

import (
	"embed"
	"path"
	"regexp"
	"slices"
	"strings"
)

//go:embed *.md
var pages embed.FS

// codesPage is the page that lists the codes of problems.
const codesPage = "troubleshooting"

// Topic is one page: its name, as in `poundlock help policy`, and its title.
type Topic struct{ Name, Title string }

// Topics lists the pages by name.
func Topics() []Topic {
	var topics []Topic
	entries, err := pages.ReadDir(".")
	if err != nil {
		return nil // an embedded folder can be read
	}
	for _, e := range entries {
		name := strings.TrimSuffix(e.Name(), ".md")
		text, _ := Page(name)
		first, _, _ := strings.Cut(text, "\n")
		topics = append(topics, Topic{name, strings.TrimSpace(strings.TrimLeft(first, "# "))})
	}
	return topics
}

// Page gives the text of a page.
func Page(name string) (string, bool) {
	text, err := pages.ReadFile(path.Base(name) + ".md")
	return string(text), err == nil
}

var codePattern = regexp.MustCompile(`^[A-Z]{2,4}[0-9]{3}$`)

// IsCode says whether a word has the form of a problem's code, such as CFG011.
func IsCode(word string) bool { return codePattern.MatchString(strings.ToUpper(word)) }

// Code gives what the pages say of a problem's code: the section whose heading begins with it, else its row of
// a table of `| code | meaning | what to do |`.
func Code(code string) (text string, ok bool) {
	page, _ := Page(codesPage)
	return codeIn(page, strings.ToUpper(code))
}

func codeIn(page, code string) (string, bool) {
	if !IsCode(code) {
		return "", false
	}
	lines := strings.Split(page, "\n")
	names := func(s string) bool { // the code, also where it is set in code or bold type
		return strings.Trim(strings.TrimSpace(s), "`*") == code
	}
	for i, line := range lines {
		if word, _, _ := strings.Cut(strings.TrimLeft(line, "# "), " "); strings.HasPrefix(line, "#") && names(strings.TrimRight(word, ":")) {
			end := slices.IndexFunc(lines[i+1:], func(l string) bool { return strings.HasPrefix(l, "#") })
			if end < 0 {
				end = len(lines) - i - 1
			}
			return strings.TrimSpace(strings.Join(lines[i:i+1+end], "\n")) + "\n", true
		}
	}
	for _, line := range lines {
		if !strings.HasPrefix(line, "|") {
			continue
		}
		const bar = "\x00" // stands for a bar inside a cell
		cells := strings.Split(strings.Trim(strings.ReplaceAll(strings.TrimSpace(line), `\|`, bar), "|"), "|")
		if !names(cells[0]) {
			continue
		}
		text := code
		for i, label := range []string{"", ": ", "\n  fix: "} {
			if i > 0 && i < len(cells) {
				text += label + strings.TrimSpace(strings.ReplaceAll(cells[i], bar, "|"))
			}
		}
		return text + "\n", true
	}
	return "", false
}

// Codes lists the codes that Code knows.
func Codes() []string {
	page, _ := Page(codesPage)
	var codes []string
	for _, word := range strings.FieldsFunc(page, func(r rune) bool { return !('A' <= r && r <= 'Z' || '0' <= r && r <= '9') }) {
		if _, ok := codeIn(page, word); ok && !slices.Contains(codes, word) {
			codes = append(codes, word)
		}
	}
	slices.Sort(codes)
	return codes
}
