package mirror

import (
	"slices"
	"strings"
	"testing"
)

func TestParseDocuments(t *testing.T) {
	tests := []struct {
		name, text string
		want       []string // text and place of the key a of each document
		codes      []string
	}{
		{"one", "a: 1\n", []string{"1 f.yaml:1:4"}, nil},
		{"marks around", "---\na: 1\n---\n", []string{"1 f.yaml:2:4"}, nil},
		{"two, with comments between", "# x\n---\na: 1\n---\n# nothing\n...\n---\na: 2\n", []string{"1 f.yaml:3:4", "2 f.yaml:8:4"}, nil},
		{"on the line of the mark", "--- {a: 1}\n--- {a: 2}\n", []string{"1 f.yaml:1:9", "2 f.yaml:2:9"}, nil},
		{"carriage returns", "a: 1\r\n---\r\na: 2\r\n", []string{"1 f.yaml:1:4", "2 f.yaml:3:4"}, nil},
		{"more dashes are no mark", "a: \"\n-----BEGIN\"\n", []string{" -----BEGIN f.yaml:1:4"}, nil},
		{"nothing", "# x\n", nil, nil},
		{"one is malformed", "a: 1\n---\na: [\n---\na: 3\n", []string{"1 f.yaml:1:4", "3 f.yaml:5:4"}, []string{"DOC001"}},
		{"too many", strings.Repeat("a: 1\n---\n", maxDocuments+1), nil, []string{"DOC006"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			docs, ps := ParseDocuments("f.yaml", []byte(tt.text))
			var got, codes []string
			for _, d := range docs {
				text, _ := d.Key("a").Text()
				got = append(got, text+" "+d.Key("a").Where().String())
			}
			for _, p := range ps {
				codes = append(codes, p.Code)
			}
			if tt.want != nil && !slices.Equal(got, tt.want) || !slices.Equal(codes, tt.codes) {
				t.Errorf("got %q, %v, want %q, %v", got, ps, tt.want, tt.codes)
			}
		})
	}
}

func TestNode_Items(t *testing.T) {
	doc, _ := ParseDocument("f.yaml", []byte("a: [1, 2]\nb: {c: 1}\n"))
	if got := doc.Key("a").Items(); len(got) != 2 || got[1].Where().Line != 1 {
		t.Errorf("got %v", got)
	}
	if got := append(doc.Key("b").Items(), doc.Key("x").Items()...); len(got) != 0 {
		t.Errorf("what is no list has %v", got)
	}
}
