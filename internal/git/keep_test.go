package git

import (
	"encoding/hex"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/poundlock/poundlock/testenv"
)

// What we committed vouches for a history only where it was committed for these files, and upon since.
func TestJudge_WhichCommitsOfOursCount(t *testing.T) {
	g := fleet(t)
	p := newPerson(t, g, "alice", "bot")
	p.commit("", "old line", map[string]string{"desired/a.yaml": "a", "other/desired/a.yaml": "a"})
	p.commit("bot", "records", map[string]string{"rendered/demo/x": "x"})
	since := p.commit("", "since", map[string]string{"desired/a.yaml": "b"})
	p.commit("bot", "records again", map[string]string{"rendered/demo/x": "y"})
	p.git("checkout", "-q", "-b", "gone", since+"~1")
	p.commit("", "on the old line", map[string]string{"desired/a.yaml": "evil"})
	p.commit("bot", "there too", map[string]string{"rendered/demo/x": "z"})
	for _, tt := range []struct {
		name, branch, path string
		since, in          string
		want               []string
	}{
		{"ours is the newest", "main", "", "", "rendered/demo", nil},
		{"ours stands upon since", "main", "", since, "rendered/demo", nil},
		{"ours stands upon something else", "gone", "", since, "rendered/demo", []string{"old line", "on the old line"}},
		{"and since is not asked for", "gone", "", "", "rendered/demo", nil},
		{"it was made for another site", "main", "", "", "rendered/berlin", []string{"old line", "since"}},
		{"it was made for another folder", "main", "other", "", "rendered/demo", []string{"old line"}},
		{"nobody says for which", "main", "", "", "", []string{"old line", "since"}},
	} {
		p.git("checkout", "-q", tt.branch)
		p.push()
		o := options(t, g)
		o.Path = tt.path
		trust := p.trust()
		trust.OwnCounts, trust.Since, trust.OwnIn = true, tt.since, tt.in
		if got, whys := judgement(t, open(t, o), trust); !slices.Equal(got, tt.want) {
			t.Errorf("%s: %q (%q), want %q", tt.name, got, whys, tt.want)
		}
	}
}

// malformed puts the branch at a commit whose top folder has two entries of one name.
func (p *person) malformed(key, message string) string {
	p.t.Helper()
	body, err := exec.CommandContext(p.t.Context(), "git", "-C", p.dir, "cat-file", "tree", "HEAD^{tree}").Output()
	if err != nil {
		p.t.Fatal(err)
	}
	blob, err := hex.DecodeString(p.git("rev-parse", "HEAD:desired/a.yaml"))
	if err != nil {
		p.t.Fatal(err)
	}
	twice := "100644 zz\x00" + string(blob)
	tree, err := p.try(append(body, twice+twice...), "hash-object", "-t", "tree", "-w", "--stdin", "--literally")
	if err != nil {
		p.t.Fatal(err, tree)
	}
	return p.sealed(key, "tree "+tree+"\nparent "+p.head()+"\n", message)
}

// smuggle puts the checkout's objects at the server, and the branch at its head: what git itself would not push.
func (p *person) smuggle(g *testenv.Git) {
	p.t.Helper()
	if err := exec.Command("cp", "-r", filepath.Join(p.dir, ".git", "objects"), g.Dir()).Run(); err != nil {
		p.t.Fatal(err)
	}
	if err := g.Point("main", p.head()); err != nil {
		p.t.Fatal(err)
	}
}

// Anybody can push a tree or a commit that nobody can read: that is no damage of the clone, and does not count, whoever
// signed it.
func TestJudge_WhatNobodyCanReadIsRefusedAndNotFetchedAgain(t *testing.T) {
	for _, tt := range []struct {
		name string
		do   func(p *person)
		why  string
	}{
		{"top folder", func(p *person) { p.malformed("mallory", "bad") }, "its top folder cannot be read without doubt"},
		{"top folder, signed", func(p *person) { p.malformed("alice", "bad") }, "its top folder cannot be read without doubt"},
		{"a commit that is too large", func(p *person) {
			p.sealed("alice", "tree "+p.git("rev-parse", "HEAD^{tree}")+"\nparent "+p.head()+"\n", "bad"+strings.Repeat("x", maxTree))
		}, "it cannot be read without doubt"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			g := fleet(t)
			p := newPerson(t, g, "alice", "mallory", "bot")
			base := p.commit("alice", "base", map[string]string{"desired/a.yaml": "a"})
			p.push()
			r := open(t, options(t, g))
			fetch(t, r)
			tt.do(p)
			p.smuggle(g)
			mark := filepath.Join(r.cloneDir(), "is-the-same")
			if err := os.WriteFile(mark, nil, 0o600); err != nil {
				t.Fatal(err)
			}
			for range 2 {
				if _, whys := judgement(t, r, p.trust(base)); len(whys) != 1 || !strings.Contains(whys[0], tt.why) {
					t.Errorf("got %q", whys)
				}
			}
			if below, err := r.Ancestor(t.Context(), strings.Repeat("12", 20), p.head()); below || err != nil {
				t.Errorf("%v, %v", below, err)
			}
			bad := p.head()
			p.git("reset", "-q", "--hard", base)
			p.commit("alice", "good", map[string]string{"desired/a.yaml": "b"})
			p.push()
			if got, whys := judgement(t, r, p.trust(base)); len(got) > 0 {
				t.Errorf("afterwards %q (%q)", got, whys)
			}
			if _, err := os.Stat(mark); err != nil || !r.Holds(bad) {
				t.Error("the clone was made anew")
			}
			again := open(t, r.opts)
			if again.damage != nil {
				t.Errorf("opened again: %v", again.damage)
			}
		})
	}
}

// A clone that is made anew keeps what was accepted, also when the remote has another history by then.
func TestFetch_AClonedAnewKeepsWhatItIsTold(t *testing.T) {
	for _, tt := range []struct {
		name string
		harm func(t *testing.T, r *Repo, kept string)
		want bool
	}{
		{"in too many pieces", func(_ *testing.T, r *Repo, _ string) { r.damage = errors.New("for the test") }, true},
		{"left locked", func(t *testing.T, r *Repo, _ string) {
			if err := os.WriteFile(filepath.Join(r.cloneDir(), "HEAD.lock"), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}, true},
		{"deleted", func(t *testing.T, r *Repo, _ string) {
			if err := os.RemoveAll(r.cloneDir()); err != nil {
				t.Fatal(err)
			}
		}, false},
		{"a pack is gone", func(t *testing.T, r *Repo, _ string) {
			packs, _ := filepath.Glob(filepath.Join(r.cloneDir(), "objects", "pack", "*"))
			for _, name := range packs {
				if err := os.Remove(name); err != nil {
					t.Fatal(err)
				}
			}
			r.damage = errors.New("for the test")
		}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			g := fleet(t)
			p := newPerson(t, g)
			root := p.commit("", "root", map[string]string{"desired/a.yaml": "a", "docs/x": "x"})
			p.commit("", "between", map[string]string{"desired/b.yaml": "b"})
			kept := p.commit("", "accepted", map[string]string{"desired/a.yaml": "b", "docs/x": "y"})
			p.push()
			o := options(t, g)
			o.Keep = func() []string { return []string{kept, strings.Repeat("12", 20), "", "HEAD"} }
			first := open(t, o)
			fetch(t, first)
			p.git("reset", "-q", "--hard", root)
			p.commit("", "another history", map[string]string{"desired/a.yaml": "c"})
			p.push()
			// The server forgets what is on no branch.
			for _, args := range [][]string{{"reflog", "expire", "--expire=now", "--all"}, {"gc", "-q", "--prune=now"}} {
				if out, err := exec.Command("git", append([]string{"-C", g.Dir()}, args...)...).CombinedOutput(); err != nil {
					t.Fatal(err, string(out))
				}
			}
			tt.harm(t, first, kept)
			r := first
			if first.damage == nil {
				first.Close()
				r = open(t, o)
			}
			head := fetch(t, r)
			if r.Holds(kept) != tt.want || !r.Holds(head) {
				t.Fatalf("holds it: %v, want %v", r.Holds(kept), tt.want)
			}
			if !tt.want {
				return
			}
			files, err := r.Files(kept)
			if err != nil || string(files["desired/a.yaml"]) != "b" || string(files["desired/b.yaml"]) != "b" || string(files["docs/x"]) != "y" {
				t.Errorf("%v, %v", files, err)
			}
			if below, err := r.Ancestor(t.Context(), root, kept); !below || err != nil {
				t.Errorf("%v, %v", below, err)
			}
			if again := open(t, o); again.damage != nil || !again.Holds(kept) {
				t.Errorf("the next process: %v", again.damage)
			}
		})
	}
}

// An id of a tree or a file is none of a commit, and asking for it harms nothing.
func TestHolds_OnlyCommits(t *testing.T) {
	g := fleet(t)
	p := newPerson(t, g, "alice", "bot")
	base := p.commit("alice", "base", map[string]string{"desired/a.yaml": "a"})
	p.push()
	r := open(t, options(t, g))
	fetch(t, r)
	tree, blob := p.git("rev-parse", base+"^{tree}"), p.git("rev-parse", base+":desired/a.yaml")
	if !r.Holds(base) || r.Holds(tree) || r.Holds(blob) || r.Holds("") || r.Holds(strings.Repeat("12", 20)) {
		t.Error("it is wrong about what it holds")
	}
	if got, _ := judgement(t, r, p.trust(tree, blob)); len(got) > 0 || r.damage != nil {
		t.Errorf("%q, %v", got, r.damage)
	}
}
