package publish

import (
	"fmt"
	"strings"
	"testing"

	"github.com/poundlock/poundlock/internal/mirror"
)

func TestPackagesTitle(t *testing.T) {
	moves := func(n int) (all []Move) {
		for i := range n {
			all = append(all, Move{Stage: "staging", Entry: fmt.Sprintf("package%d-1.0.0-beta1", i), New: mirror.Reference{Repository: "x"}})
		}
		return append(all, Move{Stage: "staging", Entry: "gone-1.0.0", Old: mirror.Reference{Repository: "x"}})
	}
	f := ProposalFacts{Site: "s", Set: "elastic", Stage: "staging", From: "snapshot", Packages: true, Moves: moves(2)}
	written, err := Words{}.Write(f)
	if want := "[staging] Promote packages from snapshot (package0-1.0.0-beta1, package1-1.0.0-beta1)"; err != nil || written.Title != want {
		t.Errorf("title %q, %v", written.Title, err)
	}
	// The longest title that names all, and the shortest that does not.
	f.Moves = moves(9)
	for f.Moves[0].Entry = "x"; len(PackagesTitle(f)) < 256; f.Moves[0].Entry += "x" {
		if strings.Contains(PackagesTitle(f), "many") {
			t.Fatalf("%d characters are too many already", len(PackagesTitle(f)))
		}
	}
	if written, err := (Words{}).Write(f); err != nil || len(written.Title) != 256 || !strings.HasSuffix(written.Title, ")") {
		t.Errorf("256 characters: %q, %v", written.Title, err)
	}
	f.Moves[0].Entry += "x"
	if written, err := (Words{}).Write(f); err != nil || written.Title != "[staging] Promote many packages from snapshot" {
		t.Errorf("257 characters: %q, %v", written.Title, err)
	}
	f.Frozen, f.Stage = "9.3.0", "production"
	if got := PackagesTitle(f); got != "[production] Freeze packages as 9.3.0 (10)" {
		t.Errorf("frozen: %q", got)
	}
	if written, err := (Words{Title: "mine {{.Set}}"}).Write(f); err != nil || written.Title != "mine elastic" {
		t.Errorf("a title of one's own: %q, %v", written.Title, err)
	}
}
