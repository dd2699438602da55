package render

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/poundlock/poundlock/internal/mirror"
)

// swapTold gives code and line of problems.
func swapTold(ps mirror.Problems) (all []string) {
	for _, p := range ps {
		all = append(all, p.Code+" "+strings.TrimPrefix(p.Where.String(), p.Where.File+":"))
	}
	slices.Sort(all)
	return all
}

func TestLintSwapMap(t *testing.T) {
	const good = "default::\ndocker.io::m.example/docker.io\ndocker.io/library::m.example/docker.io/library\nindex.docker.io::m.example/docker.io\nnoswap_wildcards::m.example\n"
	tests := []struct {
		name, text string
		want       []string
	}{
		{"as it should be", good, nil},
		{"the old separator is read", "default:\na.io:m.example\n", nil},
		{"the hub left alone", "default::\ndocker.io::\n", nil},
		{"no default", "a.io::m.example/a\n", []string{"RND081 1"}},
		{"empty", "# nothing\n", []string{"RND081 1"}},
		{"single images need no default", "[EXACT]a.io/b:1::m.example/b:1\n", nil},
		{"no separator", good + "a.io;m.example\n", []string{"RND080 6"}},
		{"a port and the old separator", good + "a.io:m.example:5000\n", []string{"RND080 6"}},
		{"two separators", good + "a.io::m.example::b\n", []string{"RND080 6"}},
		{"a tab", good + "a.io\t::m.example\n", []string{"RND080 6"}},
		{"two comments", good + "a.io::m.example # x # y\n", []string{"RND080 6"}},
		{"library without the hub", "default::\ndocker.io/library::m.example/l\n", []string{"RND082 2"}},
		{"not idempotent", "default::other.example\na.io::m.example\n", []string{"RND083 2"}},
		{"idempotent by noswap", "default::other.example\na.io::m.example\nnoswap_wildcards::m.example,other.example\n", nil},
		{"a mirror below its own upstream", "default::\na.io::a.io/mirror\n", []string{"RND083 2"}},
		{"a mirror without a dot", "default::\ndocker.io::registry:5000/hub\n", []string{"RND083 2"}},
		{"twice", good + "a.io::m.example/a\na.io::m.example/b\n", []string{"RND084 7"}},
		{"a repository as key", good + "ghcr.io/org::m.example/org\n", []string{"RND085 6"}},
		{"a key without a dot", good + "localhost:5000::m.example/l\n", []string{"RND085 6"}},
		{"a pattern as key", good + "*.pkg.dev::m.example/pkg\n", []string{"RND085 6"}},
		{"a word that is none", good + "[EXAKT]nginx::m.example/l\n", []string{"RND085 6"}},
		{"a class that is none", good + "[REPLACE]a.io/[z-a]::m.example/l\n", []string{"RND085 6"}},
		{"a port and glue", good + "a.io:5000::m.example/x-\n", []string{"RND086 6"}},
		{"glue", good + "a.io::m.example/x-\n", nil},
		{"a scheme", good + "a.io::https://m.example\n", []string{"RND087 6"}},
		{"a slash at the end", good + "a.io::m.example/\n", []string{"RND087 6"}},
		{"capitals", good + "a.io::m.example/Mirror\n", []string{"RND087 6"}},
		{"the path of the interface", good + "a.io::m.example/v2/mirror\n", []string{"RND088 6"}},
		{"a word too much", "default::m.example\nnoswap_wildcards::a.io,\n", []string{"RND089 2"}},
		{"exact becomes no image", good + "[EXACT]a.io/b::M.example/B:x y:z\n", []string{"RND087 6"}},
		{"exact that is swapped again", "default::other.example\n[EXACT]a.io/b::m.example/b\n", []string{"RND083 2"}},
		{"replace that matches its own result", good + "[REPLACE]*/b:*::m.example/x/y\n", nil},
		{"replace that catches results of others", good + "[REPLACE]m.example/*::o.example/x\n", []string{"RND083 2", "RND083 3", "RND083 4"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			ps := Lint("image-swap", "imageswap-maps.conf", []byte(tt.text))
			if got := swapTold(ps); !slices.Equal(got, tt.want) {
				t.Errorf("got %v, want %v:\n%v", got, tt.want, ps)
			}
		})
	}
}

func TestLintImageSwap_PlacesInAConfigMap(t *testing.T) {
	block := "kind: ConfigMap\nmetadata: {name: imageswap-maps}\ndata:\n  maps: |\n    default::\n    a.io;m.example\n"
	quoted := "kind: ConfigMap\nmetadata: {name: imageswap-maps}\ndata:\n  maps: \"default::\\na.io;m.example\\n\"\n"
	other := "kind: ConfigMap\nmetadata: {name: imageswap-maps}\ndata:\n  map: x\n"
	for text, want := range map[string]string{block: "RND080 6", quoted: "RND080 4:9", other: "RND080 x.yaml"} {
		if got := swapTold(Lint("image-swap", "x.yaml", []byte(text))); !slices.Equal(got, []string{want}) {
			t.Errorf("got %v, want %s of\n%s", got, want, text)
		}
		if kinds := KindOf("x.yaml", []byte(text)); !slices.Contains(kinds, "image-swap") {
			t.Errorf("taken for %v", kinds)
		}
	}
}

// Maps of others: what the linter says of a map agrees with what the real program made of it.
func TestLintImageSwap_RealMaps(t *testing.T) {
	want := map[string][]string{
		"from-palette-harbor-no-default.conf":   {"RND081"},
		"from-palette-harbor-with-default.conf": nil,
		"map_file_empty_default.conf":           nil,
		"xujinheng-public-proxycache.conf":      nil,
		"map_file.conf":                         {"RND080", "RND083"},
		"map_file_exact.conf":                   {"RND083"},
		"map_file_library_image.conf":           {"RND083"},
	}
	for name, codes := range want {
		text, err := os.ReadFile(filepath.Join(imageSwapData, "maps", name))
		if err != nil {
			t.Skip("no maps beside the repository: the table above has to do")
		}
		if kinds := KindOf(name, text); !slices.Equal(kinds, []string{"image-swap"}) && !strings.HasPrefix(name, "map_file") {
			t.Errorf("%s is taken for %v", name, kinds)
		}
		var got []string
		for _, p := range Lint("image-swap", name, text) {
			got = append(got, p.Code)
		}
		slices.Sort(got)
		if got = slices.Compact(got); !slices.Equal(got, codes) {
			t.Errorf("%s: got %v, want %v", name, got, codes)
		}
	}
}
