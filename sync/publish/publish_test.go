package publish

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/poundlock/poundlock/internal/mirror"
)

var errRejected = errors.New("remote moved")

// memory is a branch in memory: commits are numbered, head is the last one.
type memory struct {
	trees   []mirror.Files
	message []string
	// before runs ahead of each push and may move the branch.
	before func(push int)
	pushes int
	broken error
}

func (m *memory) head() string { return fmt.Sprint(len(m.trees) - 1) }

func (m *memory) tree(commit string) mirror.Files {
	var i int
	_, _ = fmt.Sscan(commit, &i)
	return m.trees[i]
}

func (m *memory) add(files mirror.Files) {
	tree := maps.Clone(m.trees[len(m.trees)-1])
	maps.Copy(tree, files)
	m.trees, m.message = append(m.trees, tree), append(m.message, "by hand")
}

func (m *memory) Fetch(context.Context) (string, error) { return m.head(), m.broken }

func (m *memory) Inputs(commit string) (string, error) {
	var all []string
	for name, body := range m.tree(commit) {
		if !strings.HasPrefix(name, "rendered/") {
			all = append(all, name+string(body))
		}
	}
	slices.Sort(all)
	return strings.Join(all, "\n"), nil
}

func (m *memory) Files(commit string, dirs ...string) (mirror.Files, error) {
	files := mirror.Files{}
	for _, dir := range dirs {
		for _, name := range m.tree(commit).Under(dir) {
			files[name] = m.tree(commit)[name]
		}
	}
	return files, nil
}

func (m *memory) Commit(_ context.Context, parent string, c Change) (string, error) {
	m.pushes++
	if m.before != nil {
		m.before(m.pushes)
	}
	if parent != m.head() {
		return "", fmt.Errorf("push: %w", errRejected)
	}
	tree := maps.Clone(m.tree(parent))
	for _, dir := range c.Owned {
		for _, name := range tree.Under(dir) {
			delete(tree, name)
		}
	}
	maps.Copy(tree, c.Files)
	if maps.EqualFunc(tree, m.tree(parent), func(a, b []byte) bool { return string(a) == string(b) }) {
		return parent, nil
	}
	m.trees, m.message = append(m.trees, tree), append(m.message, c.Message)
	return m.head(), nil
}

func start() *memory {
	return &memory{trees: []mirror.Files{{
		"desired/ess.yaml":                  []byte("x"),
		"rendered/s/ess/snapshot.yaml":      []byte("old"),
		"rendered/s/ess/gone.yaml":          []byte("old"),
		"rendered/s/ess/production/cm.yaml": []byte("last bytes"),
		"rendered/s/web/snapshot.yaml":      []byte("of another set"),
	}}, message: []string{""}}
}

func request(m *memory) Request {
	inputs, _ := m.Inputs(m.head())
	return Request{Head: m.head(), Inputs: inputs, Rejected: errRejected, Kept: []string{"rendered/s/ess/production"},
		Change: Change{Owned: []string{"rendered/s/ess"}, Message: "m", Files: mirror.Files{"rendered/s/ess/snapshot.yaml": []byte("new")}}}
}

func TestPublish_OwnsItsFoldersAndKeepsWhatMustNotChange(t *testing.T) {
	m := start()
	r := request(m)
	head, changed, err := Publish(t.Context(), m, r)
	if err != nil || !changed || head != "1" {
		t.Fatalf("got %s, %v, %v", head, changed, err)
	}
	want := mirror.Files{
		"desired/ess.yaml":                  []byte("x"),
		"rendered/s/ess/snapshot.yaml":      []byte("new"),
		"rendered/s/ess/production/cm.yaml": []byte("last bytes"),
		"rendered/s/web/snapshot.yaml":      []byte("of another set"),
	}
	if got := m.tree(head); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got %s, want %s", got, want)
	}
	if len(r.Change.Files) != 1 {
		t.Error("the caller's files were changed")
	}
	r.Head = head
	if head, changed, err = Publish(t.Context(), m, r); err != nil || changed || head != "1" {
		t.Errorf("nothing changed: got %s, %v, %v", head, changed, err)
	}
}

func TestPublish_ARejectedPushIsMadeAgainOnTheNewHead(t *testing.T) {
	m := start()
	m.before = func(push int) {
		if push == 1 {
			m.add(mirror.Files{"rendered/s/web/snapshot.yaml": []byte("newer"), "rendered/s/ess/production/cm.yaml": []byte("mended")})
		}
	}
	head, changed, err := Publish(t.Context(), m, request(m))
	if err != nil || !changed || m.pushes != 2 {
		t.Fatalf("got %s, %v, %v after %d pushes", head, changed, err, m.pushes)
	}
	tree := m.tree(head)
	for name, want := range map[string]string{"rendered/s/ess/snapshot.yaml": "new", "rendered/s/web/snapshot.yaml": "newer", "rendered/s/ess/production/cm.yaml": "mended"} {
		if string(tree[name]) != want {
			t.Errorf("%s: got %q, want %q", name, tree[name], want)
		}
	}
}

func TestPublish_MovedInputsAreComputedAnew(t *testing.T) {
	for _, file := range []string{"desired/ess.yaml", "stages/ess/production.yaml"} {
		m := start()
		m.before = func(push int) {
			if push == 1 {
				m.add(mirror.Files{file: []byte("other")})
			}
		}
		_, changed, err := Publish(t.Context(), m, request(m))
		if !errors.Is(err, ErrSuperseded) || changed || len(m.trees) != 2 {
			t.Errorf("%s: got %v, %v and %d commits", file, changed, err, len(m.trees))
		}
	}
}

func TestPublish_GivesUpOnABranchThatNeverRests(t *testing.T) {
	m := start()
	m.before = func(push int) { m.add(mirror.Files{"rendered/s/web/snapshot.yaml": []byte(fmt.Sprint(push))}) }
	if _, changed, err := Publish(t.Context(), m, request(m)); !errors.Is(err, errRejected) || changed || m.pushes != tries {
		t.Errorf("got %v, %v after %d pushes", changed, err, m.pushes)
	}
}

func TestPublish_OtherErrorsEndIt(t *testing.T) {
	m := start()
	m.before = func(int) { m.add(nil) }
	m.broken = errors.New("unreachable")
	if _, _, err := Publish(t.Context(), m, request(m)); !errors.Is(err, m.broken) || m.pushes != 1 {
		t.Errorf("got %v after %d pushes", err, m.pushes)
	}
	r := request(m)
	r.Rejected = nil
	if _, _, err := Publish(t.Context(), m, r); !errors.Is(err, errRejected) {
		t.Errorf("got %v", err)
	}
}

func TestMessage_NamesWhatMovedAndTheCycle(t *testing.T) {
	set := mirror.Set{Name: "ess", Stages: mirror.DefaultStages}
	image := func(tag, version string) mirror.Line {
		return mirror.Line{Image: mirror.Reference{Host: "h.example", Repository: "r", Tag: tag, Digest: mirror.DigestOf([]byte(version))}}
	}
	before := mirror.Record{Stages: map[mirror.Stage]mirror.Standing{"snapshot": {"a": image("1", "v1"), "b": image("1", "v1"), "c": image("1", "v1")}}}
	after := mirror.Record{Stages: map[mirror.Stage]mirror.Standing{"snapshot": {"a": image("2", "v2"), "b": image("1", "v1")}, "staging": {"a": image("1", "v1")}}}
	facts := Facts{Set: "ess", Site: "s", Cycle: "01J", Moves: Moves(set, before, after)}
	got, err := Message{}.Text(facts)
	want := `ess: 2 at snapshot, 1 at staging

snapshot a: 2 sha256:fb04dcb6970e, was 1 sha256:3bfc269594ef
snapshot c: gone, was 1 sha256:3bfc269594ef
staging a: 1 sha256:3bfc269594ef

Poundlock-Cycle: 01J
`
	if err != nil || got != want {
		t.Errorf("got\n%s%v\nwant\n%s", got, err, want)
	}
	if got, err := (Message{}).Text(Facts{Set: "ess", Cycle: "01J"}); err != nil || got != "ess: render anew\n\nPoundlock-Cycle: 01J\n" {
		t.Errorf("nothing moved: got %q, %v", got, err)
	}
	facts.Moves = slices.Repeat(facts.Moves, 100)
	if got, _ := (Message{}).Text(facts); strings.Count(got, "\n") > maxMoves+6 || !strings.Contains(got, "and 200 more") {
		t.Errorf("a large commit: got %d lines", strings.Count(got, "\n"))
	}
}

func TestMessage_ATemplateCannotForgeTheTrailer(t *testing.T) {
	var m Message
	if err := m.UnmarshalText([]byte("{{.Set}} at {{.Site}}\n\nPoundlock-Cycle: fake\n\nReviewed-by: nobody\npoundlock-cycle: fake\n")); err != nil {
		t.Fatal(err)
	}
	got, err := m.Text(Facts{Set: "ess", Site: "s", Cycle: "01J\nPoundlock-Cycle: x"})
	if want := "ess at s\n\nReviewed-by: nobody\nPoundlock-Cycle: 01JPoundlock-Cycle:x\n"; err != nil || got != want {
		t.Errorf("got %q, %v, want %q", got, err, want)
	}
	commit := strings.Repeat("a", 40)
	if err := m.UnmarshalText([]byte("{{.Set}}\n\nReviewed-by: nobody\n poundlock-promotion: ess/production " + commit)); err != nil {
		t.Fatal(err)
	}
	promoted := []Promoted{{Set: "ess", Stage: "staging", Commit: commit, Number: 7}, {Set: "ess", Stage: "production", Commit: commit, Rollback: true}}
	got, err = m.Text(Facts{Set: "ess", Cycle: "01J", Promoted: promoted})
	if want := "ess\n\nReviewed-by: nobody\nPoundlock-Promotion: ess/staging " + commit + " #7\nPoundlock-Promotion: ess/production " + commit + " rollback\nPoundlock-Cycle: 01J\n"; err != nil || got != want {
		t.Errorf("got %q, %v, want %q", got, err, want)
	}
	if read := ParsePromoted(got); !slices.Equal(read, promoted) {
		t.Errorf("read %v, want %v", read, promoted)
	}
	for _, bad := range []string{"{{.Nope}}", "{{", "  ", "Poundlock-Cycle: fake", `{{call .Set}}`} {
		if err := m.UnmarshalText([]byte(bad)); err == nil {
			t.Errorf("%q was accepted", bad)
		}
	}
}
