package git

import (
	"errors"
	"testing"

	"github.com/poundlock/poundlock/internal/mirror"
)

func TestFile_ReadsOneFileAndFollowsNothing(t *testing.T) {
	g := fleet(t)
	write(t, g, map[string]string{"a/b/c.yaml": "text", "a/b/d/e": "x", "top": "t"})
	repo := open(t, options(t, g))
	head := fetch(t, repo)
	for name, want := range map[string]string{"a/b/c.yaml": "text", "top": "t", "a/b/none": "", "none/c.yaml": ""} {
		if got, err := repo.File(head, name); err != nil || string(got) != want || (got == nil) != (want == "") {
			t.Errorf("%s: got %q, %v", name, got, err)
		}
	}
	for _, name := range []string{"a/b", "top/x"} {
		if got, err := repo.File(head, name); !errors.As(err, new(mirror.Problems)) || got != nil {
			t.Errorf("%s: got %q, %v, want problems", name, got, err)
		}
	}
}
