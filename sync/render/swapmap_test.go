package render

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// expected holds what the real program made of maps: image, SWAP or SKIP, and the image that comes out.
const imageSwapData = "../../../shared/realdata/imageswap"

func TestSwapMap_GivesWhatTheRealProgramGave(t *testing.T) {
	tables, _ := filepath.Glob(filepath.Join(imageSwapData, "expected", "*.tsv"))
	if len(tables) == 0 {
		t.Skip("no results of the real program beside the repository: the table below has to do")
	}
	for _, table := range tables {
		name := strings.TrimSuffix(filepath.Base(table), ".tsv")
		t.Run(name, func(t *testing.T) {
			text, err := os.ReadFile(filepath.Join(imageSwapData, "maps", name+".conf"))
			if err != nil {
				t.Fatal(err)
			}
			rows, err := os.ReadFile(table)
			if err != nil {
				t.Fatal(err)
			}
			m, told := readSwapMap(string(text)), 0
			for row := range strings.Lines(string(rows)) {
				cells := strings.Split(strings.TrimRight(row, "\r\n"), "\t")
				if got := swapResult(m, cells[0]); got != cells[1]+" "+cells[2] {
					t.Errorf("%s: got %s, want %s %s", cells[0], got, cells[1], cells[2])
				}
				told++
			}
			if told < 30 {
				t.Errorf("only %d lines were compared", told)
			}
		})
	}
}

func swapResult(m swapMap, image string) string {
	swapped, changed, err := m.swap(image)
	switch {
	case err != nil:
		return "ERROR"
	case changed:
		return "SWAP " + swapped
	}
	return "SKIP " + swapped
}

// What the program does where a map has one of its traps; seen with the real one.
func TestSwapMap_Traps(t *testing.T) {
	tests := []struct{ name, text, image, want string }{
		{"no default", "quay.io::m.example/q", "quay.io/a:1", "SKIP quay.io/a:1"},
		{"exact without default", "[EXACT]quay.io/a:1::m.example/a:1", "quay.io/a:1", "SWAP m.example/a:1"},
		{"library without the hub", "default::\ndocker.io/library::m.example/l", "ghcr.io/a", "SKIP ghcr.io/a"},
		{"a hub image without the hub", "default::\ndocker.io/library::m.example/l", "a/b", "ERROR"},
		{"a library image without the hub", "default::\ndocker.io/library::m.example/l", "nginx", "SWAP m.example/l/nginx"},
		{"the hub off, library on", "default::\ndocker.io::\ndocker.io/library::h/library", "tmobile/magtape", "SKIP tmobile/magtape"},
		{"a port stays behind", "default::\ngcr.io::m.example/gcr.io", "gcr.io:443/a", "SWAP m.example/gcr.io:443/a"},
		{"glue eats the path", "default::\nh.example:5000::m.example/x-", "h.example:5000/a/b:1", "SWAP m.example/x-h.example/b:1"},
		{"glue of the default keeps the port", "default::m.example/x-", "h.example:5000/a:1", "SWAP m.example/x-h.example/h.example:5000/a:1"},
		{"dots match anything", "default::\na.io::m.example", "a.io/x/a-io:1", "SWAP m.example/x/m.example:1"},
		{"dots of the default match anything, too", "default::m.example", "a.io/x/a-io:1", "SWAP m.example/x/m.example:1"},
		{"every occurrence", "default::\na.io::m.example", "a.io/a.io/b", "SWAP m.example/m.example/b"},
		{"only the last comment is cut", "default::\na.io::m.example # x # y", "a.io/b", "SWAP m.example#x/b"},
		{"a comment behind blanks", "default::\n  # a.io::m.example", "a.io/b", "SKIP a.io/b"},
		{"an empty word spares all", "default::m.example\nnoswap_wildcards::x.io,", "a.io/b", "SKIP a.io/b"},
		{"a word does not spare a host with a key", "default::\nnoswap_wildcards::a.io\na.io::m.example", "a.io/b", "SWAP m.example/b"},
		{"the later key wins", "default::\na.io::one.example\na.io::two.example", "a.io/b", "SWAP two.example/b"},
		{"replace keeps the last part alone", "[REPLACE]a.io/*::m.example/x", "a.io/b/c:1", "SWAP m.example/x/c:1"},
		{"replace with a class", "[REPLACE]a.io/b[:@]*::m.example/x", "a.io/b@sha256:1", "SWAP m.example/x/b@sha256:1"},
		{"replace with what is not", "default::\n[REPLACE]a.io/[!b]::m.example/x", "a.io/b", "SKIP a.io/b"},
		{"an open bracket stands for itself", "default::\n[REPLACE]a.io/[b::m.example/x", "a.io/b", "SKIP a.io/b"},
		{"a port needs two colons", "default::\na.io:m.example:5000", "a.io/b", "SKIP a.io/b"},
		{"no dot is the hub", "default::\ndocker.io::m.example/h\nlocalhost:5000::m.example/l", "localhost:5000/a", "SWAP m.example/h/localhost:5000/a"},
		{"carriage returns", "default::\r\na.io::m.example\r\n", "a.io/b", "SWAP m.example/b"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := swapResult(readSwapMap(tt.text), tt.image); got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
		})
	}
}
