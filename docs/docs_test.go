package docs

import (
	"slices"
	"testing"
)

const page = "# Codes\n\n## DRT001: no push\n\nAsk for the right.\n\nMore.\n\n## Others\n\n| code | meaning | what to do |\n|---|---|---|\n" +
	"| CFG011 | unknown key | rename it |\n| `NET004` | a \\| b | wait |\n| TLS002 | no authority |\n"

func TestCode_FindsSectionsAndRows(t *testing.T) {
	for code, want := range map[string]string{
		"DRT001": "## DRT001: no push\n\nAsk for the right.\n\nMore.\n",
		"CFG011": "CFG011: unknown key\n  fix: rename it\n",
		"NET004": "NET004: a | b\n  fix: wait\n",
		"TLS002": "TLS002: no authority\n",
	} {
		if got, ok := codeIn(page, code); !ok || got != want {
			t.Errorf("%s: %q, want %q", code, got, want)
		}
	}
	for _, none := range []string{"CFG01", "CFG0111", "code", "---", ""} {
		if got, ok := codeIn(page, none); ok {
			t.Errorf("%q: %q", none, got)
		}
	}
}

func TestTopics_AreThePages(t *testing.T) {
	names := []string{}
	for _, topic := range Topics() {
		names = append(names, topic.Name)
		if text, ok := Page(topic.Name); !ok || text == "" {
			t.Errorf("%s has no page", topic.Name)
		}
	}
	for _, want := range []string{"decisions", "fleet-repository", "policy", "registries", "troubleshooting", "trust"} {
		if !slices.Contains(names, want) {
			t.Errorf("no topic %s in %v", want, names)
		}
	}
	for _, none := range []string{"nothing", "../docs", ""} {
		if _, ok := Page(none); ok {
			t.Errorf("%q is a page", none)
		}
	}
}

func TestCodes_AreAllFound(t *testing.T) {
	codes := Codes()
	if len(codes) < 20 {
		t.Errorf("only %v", codes)
	}
	for _, code := range codes {
		if _, ok := Code(code); !ok || !IsCode(code) {
			t.Errorf("%s is not found", code)
		}
	}
}
