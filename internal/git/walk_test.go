package git

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func TestWalk_TellsWhatChangedPathsOnTheLineOfFirstParents(t *testing.T) {
	g := fleet(t)
	p := newPerson(t, g)
	stage := "fleet/stages/a/production.yaml"
	p.commit("", "first", map[string]string{stage: "1"})
	p.commit("", "elsewhere", map[string]string{"fleet/stages/b/production.yaml": "1"})
	p.git("checkout", "-q", "-b", "side")
	p.commit("", "on the side", map[string]string{stage: "2"})
	side := p.head()
	p.git("checkout", "-q", "main")
	main := p.commit("", "ours", map[string]string{"fleet/rendered/s/x": "x"})
	merge := p.merge("", "side")
	p.commit("", "shards", map[string]string{"fleet/stages/a/production.d/a.yaml": "1"})
	p.commit("", "of another fleet", map[string]string{"stages/a/production.yaml": "1"})
	p.push()
	o := options(t, g)
	o.Path = "fleet"
	r := open(t, o)
	fetch(t, r)
	walk := func(paths ...string) (subjects []string) {
		t.Helper()
		err := r.Walk(t.Context(), p.head(), paths, func(s Step) (bool, error) {
			if s.Commit == merge && !slices.Equal(s.Parents, []string{main, side}) {
				t.Errorf("parents of the merge %q", s.Parents)
			}
			if s.Author != "Alice <alice@corp.example>" || s.At.IsZero() {
				t.Errorf("%s is by %q at %s", s.Commit, s.Author, s.At)
			}
			subjects = append(subjects, s.Message)
			return true, nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return subjects
	}
	for _, test := range []struct{ paths, want []string }{
		{[]string{"stages/a/production.yaml"}, []string{"merge\n", "first\n"}},
		{[]string{"stages/a/production.yaml", "stages/a/production.d"}, []string{"shards\n", "merge\n", "first\n"}},
		{[]string{"stages"}, []string{"shards\n", "merge\n", "elsewhere\n", "first\n"}},
		{[]string{""}, []string{"shards\n", "merge\n", "ours\n", "elsewhere\n", "first\n"}},
		{[]string{"desired"}, nil},
	} {
		if got := walk(test.paths...); !slices.Equal(got, test.want) {
			t.Errorf("%q: %q, want %q", test.paths, got, test.want)
		}
	}
	seen, enough := 0, errors.New("enough")
	if err := r.Walk(t.Context(), p.head(), []string{"stages"}, func(Step) (bool, error) { seen++; return false, nil }); err != nil || seen != 1 {
		t.Errorf("%d steps after the last one that was wanted, %v", seen, err)
	}
	if err := r.Walk(t.Context(), p.head(), []string{"stages"}, func(Step) (bool, error) { return true, enough }); !errors.Is(err, enough) {
		t.Errorf("%v, want the error of who looked", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := r.Walk(ctx, p.head(), []string{"desired"}, func(Step) (bool, error) { return true, nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("%v, want it cancelled", err)
	}
	if err := r.Walk(t.Context(), "0123456789012345678901234567890123456789", []string{"desired"}, nil); !errors.Is(err, ErrUnknownCommit) {
		t.Errorf("%v, want an unknown commit", err)
	}
}

func TestMade_KnowsOurCommitsByWhatTheyAreAndChange(t *testing.T) {
	g := fleet(t)
	p := newPerson(t, g, "bot", "alice")
	p.env = append(p.env, "GIT_AUTHOR_NAME=Poundlock", "GIT_AUTHOR_EMAIL=poundlock@site.example")
	const ours = "web: 1 at production\n\nPoundlock-Cycle: 01"
	files := func(names ...string) map[string]string {
		f := map[string]string{}
		for _, name := range names {
			f["fleet/"+name] = p.head()
		}
		return f
	}
	p.commit("", "begin", map[string]string{"fleet/desired/a.yaml": "a"})
	type made struct {
		name             string
		commit           string
		unsigned, signed bool
	}
	all := []made{
		{"recorded", p.commit("", ours, files("rendered/s1/x")), true, false},
		{"recorded and signed", p.commit("bot", ours, files("rendered/s1/record/web/production.yaml")), true, true},
		{"signed by somebody else", p.commit("alice", ours, files("rendered/s1/x")), true, false},
		{"without the trailer", p.commit("bot", "web", files("rendered/s1/x")), false, true},
		{"of another site", p.commit("bot", ours, files("rendered/s2/x")), false, false},
		{"changes a stage besides", p.commit("bot", ours, files("rendered/s1/x", "stages/a/production.yaml")), false, false},
		{"changes desired besides", p.commit("bot", ours, files("rendered/s1/x", "desired/a.yaml")), false, false},
		{"changes what is outside of the fleet", p.commit("bot", ours, map[string]string{"top": "t"}), false, false},
		{"changes nothing", p.commit("bot", ours, nil), true, true},
	}
	p.git("checkout", "-q", "-b", "side")
	p.commit("bot", ours, files("rendered/s1/y"))
	p.git("checkout", "-q", "main")
	p.git(slices.Concat(p.signing("bot"), []string{"merge", "-q", "--no-ff", "-m", ours, "side"})...)
	all = append(all, made{"a merge", p.head(), false, false})
	if err := os.RemoveAll(filepath.Join(p.dir, "fleet", "rendered")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("elsewhere", filepath.Join(p.dir, "fleet", "rendered")); err != nil {
		t.Fatal(err)
	}
	all = append(all, made{"a link in place of the folder", p.commit("bot", ours, nil), false, false})
	p.env = append(p.env, "GIT_AUTHOR_NAME=Alice")
	p.git("rm", "-q", "fleet/rendered")
	all = append(all, made{"by somebody with our trailer", p.commit("", ours, files("rendered/s1/x")), false, false})
	p.push()
	private, err := os.ReadFile(filepath.Join(p.keys, "bot"))
	if err != nil {
		t.Fatal(err)
	}
	signer, err := SSHSigner(private)
	if err != nil {
		t.Fatal(err)
	}
	for _, signs := range []bool{false, true} {
		o := options(t, g)
		o.Path = "fleet"
		if signs {
			o.Sign = signer
		}
		r := open(t, o)
		fetch(t, r)
		for _, one := range all {
			want := one.unsigned
			if signs {
				want = one.signed
			}
			if got, err := r.Made(one.commit, "rendered/s1"); err != nil || got != want {
				t.Errorf("%s, where ours are signed %v: made by us %v, %v, want %v", one.name, signs, got, err, want)
			}
		}
		if _, err := r.Made("0123456789012345678901234567890123456789", "rendered/s1"); !errors.Is(err, ErrUnknownCommit) {
			t.Errorf("%v, want an unknown commit", err)
		}
	}
}

// The first commit of a branch of its own has no parent.
func TestMade_KnowsTheFirstCommitOfTheStateBranch(t *testing.T) {
	g := fleet(t)
	head := write(t, g, map[string]string{"desired/a.yaml": "a"})
	o := options(t, g)
	o.State = "state"
	r := open(t, o)
	fetch(t, r)
	first, err := r.CommitState(t.Context(), head, "", change(map[string]string{"rendered/s1/x": "1"}, "rendered/s1"))
	if err != nil {
		t.Fatal(err)
	}
	if made, err := r.Made(first, "rendered/s1"); err != nil || !made {
		t.Errorf("made by us: %v, %v", made, err)
	}
	if made, err := r.Made(first, "rendered/s2"); err != nil || made {
		t.Errorf("of another site: %v, %v", made, err)
	}
}
