package publish

import (
	"testing"

	"github.com/poundlock/poundlock/internal/mirror"
)

// What belongs to the same commit may own folders: what it does not name there goes, and what it does not own stays.
func TestPublish_BesideMayOwnFolders(t *testing.T) {
	m := start()
	m.add(mirror.Files{"rendered/s/consumers/a/old": []byte("x"), "rendered/s/consumers/b/old": []byte("x")})
	r := request(m)
	r.Change.Owned = append(make([]string, 0, 4), r.Change.Owned...)
	var heads []string
	r.Beside = func(head string) (Beside, error) {
		heads = append(heads, head)
		return Beside{Owned: []string{"rendered/s/consumers/a"}, Files: mirror.Files{"rendered/s/consumers/a/new": []byte("y"), "rendered/s/holds.yaml": []byte("h")}}, nil
	}
	m.before = func(push int) {
		if push == 1 {
			m.add(mirror.Files{"rendered/s/web/snapshot.yaml": []byte("newer")})
		}
	}
	head, changed, err := Publish(t.Context(), m, r)
	if err != nil || !changed || len(heads) != 2 || heads[0] == heads[1] {
		t.Fatalf("got %s, %v, %v; asked at %v", head, changed, err, heads)
	}
	tree := m.tree(head)
	for name, want := range map[string]string{"rendered/s/consumers/a/old": "", "rendered/s/consumers/a/new": "y", "rendered/s/consumers/b/old": "x", "rendered/s/holds.yaml": "h"} {
		if string(tree[name]) != want {
			t.Errorf("%s: got %q, want %q", name, tree[name], want)
		}
	}
	if len(r.Change.Owned) != 1 || len(r.Change.Owned[:2][1]) != 0 {
		t.Error("the caller's change was written to")
	}
}
