package git

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
	"golang.org/x/crypto/ssh"

	"github.com/poundlock/poundlock/testenv"
)

// person is somebody with the real git binary, a checkout, and an SSH key to sign with.
type person struct {
	t      *testing.T
	dir    string // of the checkout
	keys   string // folder with the private keys, by name
	public map[string]string
	env    []string
	clock  int64
}

// newPerson gives a checkout that pushes to the server, and an SSH key for each name.
func newPerson(t *testing.T, g *testenv.Git, names ...string) *person {
	t.Helper()
	for _, tool := range []string{"git", "ssh-keygen"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("there is no %s", tool)
		}
	}
	p := &person{t: t, dir: t.TempDir(), keys: t.TempDir(), public: map[string]string{}, clock: at.Unix()}
	p.env = append(os.Environ(), "HOME="+p.keys, "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_NOSYSTEM=1", "GIT_TERMINAL_PROMPT=0",
		"GIT_AUTHOR_NAME=Alice", "GIT_AUTHOR_EMAIL=alice@corp.example", "GIT_COMMITTER_NAME=Alice", "GIT_COMMITTER_EMAIL=alice@corp.example")
	for _, name := range names {
		_, key, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		private, public := sshKey(t, key)
		p.public[name] = public
		for file, data := range map[string][]byte{name: private, name + ".pub": []byte(public + "\n")} {
			if err := os.WriteFile(filepath.Join(p.keys, file), data, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	p.git("init", "-q", "-b", "main")
	p.git("remote", "add", "origin", g.Dir())
	return p
}

// git runs the real git and gives what it prints.
func (p *person) git(args ...string) string {
	p.t.Helper()
	out, err := p.try(nil, args...)
	if err != nil {
		p.t.Fatalf("git %s: %v\n%s", args, err, out)
	}
	return out
}

func (p *person) try(stdin []byte, args ...string) (string, error) {
	cmd := exec.CommandContext(p.t.Context(), "git", append([]string{"-C", p.dir, "-c", "protocol.file.allow=always"}, args...)...)
	p.clock += 60
	date := fmt.Sprintf("%d +0000", p.clock)
	cmd.Env = append(slices.Clone(p.env), "GIT_AUTHOR_DATE="+date, "GIT_COMMITTER_DATE="+date)
	cmd.Stdin = bytes.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

// signing gives the arguments that make git sign with a key; "" for none.
func (p *person) signing(key string) []string {
	if key == "" {
		return []string{"-c", "commit.gpgSign=false"}
	}
	return []string{"-c", "gpg.format=ssh", "-c", "user.signingKey=" + filepath.Join(p.keys, key), "-c", "commit.gpgSign=true"}
}

// commit changes files and commits, signed with a key of the name; an empty text deletes a file.
func (p *person) commit(key, message string, files map[string]string) string {
	p.t.Helper()
	for name, text := range files {
		name = filepath.Join(p.dir, name)
		if text == "" {
			if err := os.Remove(name); err != nil {
				p.t.Fatal(err)
			}
			continue
		}
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			p.t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			p.t.Fatal(err)
		}
	}
	p.git("add", "-A")
	p.git(append(p.signing(key), "commit", "-q", "--allow-empty", "-m", message)...)
	return p.head()
}

func (p *person) merge(key string, args ...string) string {
	p.t.Helper()
	p.git(slices.Concat(p.signing(key), []string{"merge", "-q", "--no-ff", "-m", "merge"}, args)...)
	return p.head()
}

func (p *person) head() string { p.t.Helper(); return p.git("rev-parse", "HEAD") }

// push puts HEAD at the server's main, whatever is there.
func (p *person) push() string {
	p.t.Helper()
	p.git("push", "-q", "-f", "origin", "HEAD:main")
	return p.head()
}

// signers gives the keys of the names as an allowed_signers file would.
func (p *person) signers(names ...string) Signers {
	p.t.Helper()
	var b strings.Builder
	for _, name := range names {
		fmt.Fprintf(&b, "%s@corp.example namespaces=\"git\" %s\n", name, p.public[name])
	}
	s, problems := ParseAllowedSigners("allowed_signers", []byte(b.String()))
	if len(problems) > 0 {
		p.t.Fatal(problems)
	}
	return s
}

// trust allows alice, takes merges of the forge, and knows the daemon as bot.
func (p *person) trust(accepted ...string) Trust {
	return Trust{Allowed: p.signers("alice", "bot"), Own: p.signers("bot"), Accepted: accepted, At: at.Add(24 * time.Hour),
		OwnIn: "rendered/demo", OwnFiles: []string{"rendered/demo/suspended.yaml"}}
}

// edited commits a message of the caller's making with the object as it is, and moves the branch there.
func (p *person) raw(body string) string {
	p.t.Helper()
	id, err := p.try([]byte(body), "hash-object", "-t", "commit", "-w", "--stdin", "--literally")
	if err != nil {
		p.t.Fatal(err, id)
	}
	p.git("update-ref", "HEAD", id)
	return id
}

func (p *person) body(id string) string {
	p.t.Helper()
	return p.git("cat-file", "commit", id) + "\n"
}

// sealed commits what a header without its people says, signed with a key, and moves the branch there.
func (p *person) sealed(key, head, message string) string {
	p.t.Helper()
	private, err := os.ReadFile(filepath.Join(p.keys, key))
	if err != nil {
		p.t.Fatal(err)
	}
	signer, err := SSHSigner(private)
	if err != nil {
		p.t.Fatal(err)
	}
	p.clock += 60
	head += fmt.Sprintf("author A <a@b> %d +0000\ncommitter A <a@b> %d +0000\n", p.clock, p.clock)
	signature, err := signer.Sign([]byte(head + "\n" + message + "\n"))
	if err != nil {
		p.t.Fatal(err)
	}
	return p.raw(head + "gpgsig " + strings.ReplaceAll(strings.TrimSpace(signature), "\n", "\n ") + "\n\n" + message + "\n")
}

// judgement gives the subjects of the commits that do not count, the oldest first.
func judgement(t *testing.T, r *Repo, trust Trust) (subjects, whys []string) {
	t.Helper()
	judged, err := r.Judge(t.Context(), fetch(t, r), trust)
	if err != nil {
		t.Fatal(err)
	}
	for _, u := range judged.Unaccepted {
		subjects, whys = append(subjects, u.Subject), append(whys, u.Why)
	}
	return subjects, whys
}

// Each story is told on top of a signed commit that adds desired/a.yaml and is accepted.
func TestJudge_EveryCommitThatChangesInputsIsAsked(t *testing.T) {
	change := func(text string) map[string]string { return map[string]string{"desired/a.yaml": text} }
	onSide := func(p *person, key string, files map[string]string) {
		p.git("checkout", "-q", "-b", "side")
		p.commit(key, "on the side", files)
		p.git("checkout", "-q", "main")
	}
	forge := func(p *person, t Trust) Trust { t.Forge = p.signers("forge"); return t }
	tests := []struct {
		name  string
		do    func(p *person)
		trust func(p *person, t Trust) Trust
		want  []string // subjects of those that do not count
	}{
		{"signed", func(p *person) { p.commit("alice", "signed", change("b")) }, nil, nil},
		{"unsigned", func(p *person) { p.commit("", "unsigned", change("b")) }, nil, []string{"unsigned"}},
		{"by a stranger", func(p *person) { p.commit("mallory", "strange", change("b")) }, nil, []string{"strange"}},
		{"a signed commit on top launders nothing", func(p *person) {
			p.commit("", "below", change("b"))
			p.commit("alice", "on top", change("c"))
		}, nil, []string{"below"}},
		{"a revert launders nothing", func(p *person) {
			p.commit("", "there", change("b"))
			p.commit("", "and back", change("a"))
		}, nil, []string{"there", "and back"}},
		{"only rendered", func(p *person) {
			p.commit("", "ours", map[string]string{"rendered/demo/x": "x"})
			p.commit("", "of another site", map[string]string{"rendered/berlin/x": "x"})
			p.commit("", "elsewhere", map[string]string{"README.md": "x"})
		}, nil, nil},
		{"our own key never counts", func(p *person) {
			p.commit("bot", "records", map[string]string{"rendered/demo/x": "x"})
			p.commit("bot", "changes stages", map[string]string{"stages/a/production.yaml": "x"})
		}, nil, []string{"changes stages"}},
		{"our own key may change the suspensions, and others who sign", func(p *person) {
			p.commit("bot", "suspends", map[string]string{"rendered/demo/suspended.yaml": "x"})
			p.commit("alice", "mends", map[string]string{"rendered/demo/suspended.yaml": "y"})
			p.commit("", "another site's", map[string]string{"rendered/berlin/suspended.yaml": "z"})
			p.commit("", "resumes", map[string]string{"rendered/demo/suspended.yaml": ""})
		}, nil, []string{"resumes"}},
		{"our own proposal, merged by the forge", func(p *person) {
			onSide(p, "bot", map[string]string{"stages/a/production.yaml": "x"})
			p.commit("bot", "records meanwhile", map[string]string{"rendered/demo/x": "x"})
			p.merge("forge", "side")
			p.commit("bot", "records", map[string]string{"rendered/demo/x": "y"})
		}, forge, nil},
		{"our own proposal, rewritten and merged by somebody", func(p *person) {
			onSide(p, "bot", map[string]string{"stages/a/production.yaml": "x"})
			p.git("checkout", "-q", "side")
			p.commit("bot", "once more", map[string]string{"stages/a/production.yaml": "y"})
			p.git("checkout", "-q", "main")
			p.merge("alice", "side")
		}, nil, nil},
		{"our own proposal, merged by the forge that nobody configured", func(p *person) {
			onSide(p, "bot", map[string]string{"stages/a/production.yaml": "x"})
			p.merge("forge", "side")
		}, nil, []string{"on the side", "merge"}},
		{"our own proposal, merged by ourselves", func(p *person) {
			onSide(p, "bot", map[string]string{"stages/a/production.yaml": "x"})
			p.merge("bot", "side")
		}, forge, []string{"on the side", "merge"}},
		{"our own proposal, pushed to the branch before a merge", func(p *person) {
			p.commit("bot", "direct", map[string]string{"stages/a/production.yaml": "x"})
			onSide(p, "alice", change("b"))
			p.merge("forge", "side")
		}, forge, []string{"direct"}},
		{"our own proposal, pushed to the branch and merged as well", func(p *person) {
			onSide(p, "bot", map[string]string{"stages/a/production.yaml": "x"})
			p.git("merge", "-q", "--ff-only", "side")
			p.git("checkout", "-q", "-b", "other")
			p.commit("alice", "more", change("b"))
			p.git("checkout", "-q", "main")
			p.merge("forge", "other")
		}, forge, []string{"on the side"}},
		{"our own proposal for desired", func(p *person) {
			onSide(p, "bot", change("b"))
			p.merge("forge", "side")
		}, forge, []string{"on the side"}},
		{"our own proposal in a merge with something of its own", func(p *person) {
			onSide(p, "bot", map[string]string{"stages/a/production.yaml": "x"})
			p.git(slices.Concat(p.signing("forge"), []string{"merge", "-q", "--no-ff", "--no-commit", "side"})...)
			p.commit("forge", "evil", map[string]string{"stages/a/production.yaml": "evil"})
		}, forge, []string{"on the side", "evil"}},
		{"the folder of the suspensions goes", func(p *person) {
			p.commit("bot", "suspends", map[string]string{"rendered/demo/suspended.yaml": "x"})
			p.git("rm", "-q", "-r", "rendered")
			p.commit("mallory", "goes", nil)
		}, nil, []string{"goes"}},
		{"our own key may not change desired besides", func(p *person) {
			p.commit("bot", "both", map[string]string{"rendered/demo/suspended.yaml": "x", "desired/a.yaml": "b"})
		}, nil, []string{"both"}},
		{"the forge's merge beside a suspension", func(p *person) {
			onSide(p, "alice", change("b"))
			p.commit("bot", "suspends", map[string]string{"rendered/demo/suspended.yaml": "x"})
			p.merge("forge", "side")
		}, forge, nil},
		{"the forge's merge that drops a suspension", func(p *person) {
			onSide(p, "alice", change("b"))
			p.commit("bot", "suspends", map[string]string{"rendered/demo/suspended.yaml": "x"})
			p.git("checkout", "-q", "side")
			p.merge("forge", "-s", "ours", "main")
		}, forge, []string{"merge"}},
		{"octopus of the forge with more sides than anybody makes", func(p *person) {
			base, sides := p.head(), ""
			p.git("checkout", "-q", "-b", "side")
			tree := p.git("rev-parse", p.commit("alice", "on the side", change("b"))+"^{tree}")
			for i := range maxSides {
				p.git("checkout", "-q", "--detach", base)
				sides += "parent " + p.commit("", fmt.Sprint("nothing ", i), nil) + "\n"
			}
			head := "tree " + tree + "\nparent " + p.git("rev-parse", "side") + "\n" + sides
			p.git("checkout", "-q", "main")
			p.sealed("forge", head, "octopus")
		}, forge, []string{"octopus"}},
		{"a mode is a change", func(p *person) {
			p.git("update-index", "--chmod=+x", "desired/a.yaml")
			p.git("commit", "-q", "-m", "mode")
		}, nil, []string{"mode"}},
		{"a link in place of the folder", func(p *person) {
			p.git("rm", "-q", "-r", "desired")
			if err := os.Symlink("elsewhere", filepath.Join(p.dir, "desired")); err != nil {
				p.t.Fatal(err)
			}
			p.commit("", "link", nil)
		}, nil, []string{"link"}},
		{"merge of a signed side, unsigned", func(p *person) {
			onSide(p, "alice", change("b"))
			p.merge("", "side")
		}, nil, []string{"merge"}},
		{"merge of a signed side, signed", func(p *person) {
			onSide(p, "alice", change("b"))
			p.merge("alice", "side")
		}, nil, nil},
		{"merge of an unsigned side, signed", func(p *person) {
			onSide(p, "", change("b"))
			p.merge("alice", "side")
		}, nil, []string{"on the side"}},
		{"merge by the forge, not configured", func(p *person) {
			onSide(p, "alice", change("b"))
			p.merge("forge", "side")
		}, nil, []string{"merge"}},
		{"merge by the forge, configured", func(p *person) {
			onSide(p, "alice", change("b"))
			p.commit("bot", "records meanwhile", map[string]string{"rendered/demo/x": "x"})
			p.merge("forge", "side")
		}, forge, nil},
		{"the forge's merge of an unsigned side", func(p *person) {
			onSide(p, "", change("b"))
			p.merge("forge", "side")
		}, forge, []string{"on the side"}},
		{"the forge's single commit", func(p *person) { p.commit("forge", "web editor", change("b")) }, forge, []string{"web editor"}},
		{"the forge's merge of two files in one folder", func(p *person) {
			onSide(p, "alice", map[string]string{"desired/b.yaml": "b"})
			p.commit("alice", "main", map[string]string{"desired/c.yaml": "c"})
			p.merge("forge", "side")
		}, forge, nil},
		{"the forge's evil merge", func(p *person) {
			onSide(p, "alice", change("b"))
			p.git(slices.Concat(p.signing("forge"), []string{"merge", "-q", "--no-ff", "--no-commit", "side"})...)
			p.commit("forge", "evil", change("evil"))
		}, forge, []string{"evil"}},
		{"the forge's merge that drops a side", func(p *person) {
			onSide(p, "alice", map[string]string{"desired/b.yaml": "b"})
			p.commit("alice", "main", map[string]string{"desired/deny.yaml": "deny"})
			p.git("checkout", "-q", "side")
			p.merge("forge", "-s", "ours", "main")
		}, forge, []string{"merge"}},
		{"a merge that goes back to an old state, unsigned", func(p *person) {
			old := p.head()
			p.commit("alice", "new", change("b"))
			p.raw(fmt.Sprintf("tree %s\nparent %s\nparent %s\nauthor A <a@b> 1 +0000\ncommitter A <a@b> 1 +0000\n\nback\n",
				p.git("rev-parse", old+"^{tree}"), old, p.head()))
		}, nil, []string{"back"}},
		{"octopus", func(p *person) {
			for _, name := range []string{"one", "two"} {
				p.git("checkout", "-q", "-b", name, "main")
				p.commit("alice", name, map[string]string{"desired/" + name: name})
			}
			p.git("checkout", "-q", "main")
			p.merge("alice", "one", "two")
		}, nil, nil},
		{"octopus of the forge with one bad side", func(p *person) {
			for name, key := range map[string]string{"one": "alice", "two": ""} {
				p.git("checkout", "-q", "-b", name, "main")
				p.commit(key, name, map[string]string{"desired/" + name: name})
			}
			p.git("checkout", "-q", "main")
			p.merge("forge", "one", "two")
		}, forge, []string{"two"}},
		{"another root with files", func(p *person) {
			p.git("checkout", "-q", "--orphan", "other")
			p.commit("", "root", change("b"))
			p.git("checkout", "-q", "main")
			p.merge("alice", "--allow-unrelated-histories", "-X", "theirs", "other")
		}, nil, []string{"root"}},
		{"a root without inputs", func(p *person) {
			p.git("checkout", "-q", "--orphan", "other")
			p.git("rm", "-q", "-r", "-f", ".")
			p.commit("", "root", map[string]string{"README.md": "x"})
			p.git("checkout", "-q", "main")
			p.merge("alice", "--allow-unrelated-histories", "other")
		}, nil, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			g := fleet(t)
			p := newPerson(t, g, "alice", "mallory", "forge", "bot")
			base := p.commit("alice", "base", map[string]string{"desired/a.yaml": "a"})
			tt.do(p)
			p.push()
			trust := p.trust(base)
			if tt.trust != nil {
				trust = tt.trust(p, trust)
			}
			got, whys := judgement(t, open(t, options(t, g)), trust)
			slices.Sort(got)
			slices.Sort(tt.want)
			if !slices.Equal(got, tt.want) {
				t.Errorf("not accepted: %q (%q), want %q", got, whys, tt.want)
			}
		})
	}
}

// Whatever was signed must be signed over just these bytes; the body is that of a good commit.
func TestJudge_RefusesCommitsThatWereTamperedWith(t *testing.T) {
	g := fleet(t)
	p := newPerson(t, g, "alice", "mallory", "bot")
	base := p.commit("alice", "base", map[string]string{"desired/a.yaml": "a"})
	good := p.body(p.commit("alice", "good", map[string]string{"desired/a.yaml": "b"}))
	p.git("reset", "-q", "--hard", base)
	strange := p.body(p.commit("mallory", "strange", map[string]string{"desired/a.yaml": "c"}))
	signature := func(body string) string {
		_, rest, _ := strings.Cut(body, "gpgsig ")
		text, _, _ := strings.Cut(rest, "\n\n")
		return "gpgsig " + text + "\n"
	}
	for _, tt := range []struct{ name, body, why string }{
		{"as it was made", good, ""},
		{"another message", strings.Replace(good, "\ngood", "\nbad", 1), "does not fit"},
		{"the signature of another commit", strings.Replace(strange, signature(strange), signature(good), 1), "does not fit"},
		{"another header", strings.Replace(good, "committer ", "committer  ", 1), "does not fit"},
		{"two signatures", strings.Replace(good, "gpgsig ", signature(strange)+"gpgsig ", 1), "more than one gpgsig"},
		{"two signatures, one good twice", strings.Replace(good, "gpgsig ", signature(good)+"gpgsig ", 1), "more than one gpgsig"},
		{"an unsigned second tree", strings.Replace(good, "gpgsig ", "tree "+strings.Repeat("12", 20)+"\ngpgsig ", 1), "out of order"},
		{"an unsigned second parent", strings.Replace(good, "gpgsig ", "parent "+base+"\ngpgsig ", 1), "out of order"},
		{"an unsigned extra header", strings.Replace(good, "gpgsig ", "encoding latin1\ngpgsig ", 1), "does not fit"},
		{"text behind the armour", strings.Replace(good, "\n -----END SSH SIGNATURE-----", "\n -----END SSH SIGNATURE-----\n Approved-By: bob", 1), "does not fit"},
		{"NUL in the header", strings.Replace(good, "author ", "author \x00", 1), "NUL"},
		{"the signature under another name", strings.Replace(good, "gpgsig ", "gpgsig-sha512 x\ngpgsig ", 1), "a header gpgsig-sha512"},
		{"no committer", "tree " + strings.Fields(good)[1] + "\nparent " + base + "\nauthor A <a@b> 1 +0000\n\nx\n", "no committer"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p.raw(tt.body)
			p.git("update-ref", "refs/heads/x", "HEAD")
			if err := exec.Command("cp", "-r", filepath.Join(p.dir, ".git", "objects"), g.Dir()).Run(); err != nil {
				t.Fatal(err) // what git itself would not push
			}
			if err := g.Point("main", p.head()); err != nil {
				t.Fatal(err)
			}
			_, whys := judgement(t, open(t, options(t, g)), p.trust(base))
			if why := strings.Join(whys, "; "); (tt.why == "") != (why == "") || !strings.Contains(why, tt.why) {
				t.Errorf("got %q, want %q", why, tt.why)
			}
		})
	}
}

// What is behind the last accepted commit, or behind since, is nobody's business; what is not known to be is.
func TestJudge_BeginsWhereItIsTold(t *testing.T) {
	g := fleet(t)
	p := newPerson(t, g, "alice", "bot")
	since := p.commit("", "long ago", map[string]string{"desired/a.yaml": "a"})
	p.commit("alice", "signed", map[string]string{"desired/a.yaml": "b"})
	p.commit("bot", "records", map[string]string{"rendered/demo/x": "x"})
	p.commit("", "bad", map[string]string{"desired/a.yaml": "c"})
	bad := p.push()
	r := open(t, options(t, g))
	own := func(t Trust) Trust { t.OwnCounts = true; return t }
	for _, tt := range []struct {
		name  string
		trust Trust
		want  []string
	}{
		{"nothing", p.trust(), []string{"long ago", "bad"}},
		{"since", p.trust(since), []string{"bad"}},
		{"the head", p.trust(bad), nil},
		{"unknown", p.trust(strings.Repeat("12", 20)), []string{"long ago", "bad"}},
		{"malformed", p.trust("HEAD", ""), []string{"long ago", "bad"}},
		{"our own last commit", own(p.trust()), []string{"bad"}},
	} {
		if got, whys := judgement(t, r, tt.trust); !slices.Equal(got, tt.want) {
			t.Errorf("%s: %q (%q), want %q", tt.name, got, whys, tt.want)
		}
	}
	// A commit by our key that changes what it may not is no place to begin at.
	p.git("reset", "-q", "--hard", since)
	p.commit("bot", "stolen", map[string]string{"desired/a.yaml": "x"})
	p.push()
	if got, _ := judgement(t, r, own(p.trust())); !slices.Equal(got, []string{"long ago", "stolen"}) {
		t.Errorf("stolen: %q", got)
	}
	if _, err := r.Judge(t.Context(), strings.Repeat("12", 20), p.trust()); !errors.Is(err, ErrDamaged) {
		t.Errorf("a head that is not there: %v", err)
	}
}

// Dates are whatever people write into commits: a side that was accepted long ago may claim to be new.
func TestJudge_DatesThatLieAccuseNobody(t *testing.T) {
	g := fleet(t)
	p := newPerson(t, g, "alice", "bot")
	p.clock += 1e8
	for i := range 5 {
		p.commit("", fmt.Sprint("old ", i), map[string]string{"desired/a.yaml": fmt.Sprint(i)})
	}
	p.git("branch", "side", "HEAD~2")
	p.clock -= 1e8
	since := p.commit("", "since", map[string]string{"desired/a.yaml": "since"})
	p.git("checkout", "-q", "side")
	p.commit("alice", "side", map[string]string{"desired/b.yaml": "b"})
	p.git("checkout", "-q", "main")
	p.merge("alice", "side")
	p.push()
	if got, whys := judgement(t, open(t, options(t, g)), p.trust(since)); len(got) > 0 {
		t.Errorf("got %q (%q)", got, whys)
	}
}

func TestJudge_GitPath(t *testing.T) {
	g := fleet(t)
	p := newPerson(t, g, "alice", "bot")
	p.commit("alice", "base", map[string]string{"fleets/berlin/desired/a.yaml": "a", "desired/other.yaml": "x"})
	p.commit("", "not ours", map[string]string{"desired/other.yaml": "y", "fleets/paris/desired/a.yaml": "z"})
	o := options(t, g)
	o.Path = "fleets/berlin"
	p.push()
	r := open(t, o)
	if got, whys := judgement(t, r, p.trust()); len(got) > 0 {
		t.Errorf("got %q (%q)", got, whys)
	}
	p.commit("", "ours", map[string]string{"fleets/berlin/stages/a/staging.yaml": "a"})
	p.git("mv", "fleets", "moved")
	p.commit("", "the folder goes", nil)
	p.push()
	if got, _ := judgement(t, r, p.trust()); !slices.Equal(got, []string{"ours", "the folder goes"}) {
		t.Errorf("got %q", got)
	}
}

// The texts of a commit are anybody's.
func TestJudge_TextsOfCommitsAreCleaned(t *testing.T) {
	g := fleet(t)
	p := newPerson(t, g, "alice", "bot")
	p.env = append(p.env, "GIT_AUTHOR_NAME=Eve\x1b[31m\u202e")
	p.commit("", "evil\x1b]0;x\x07 "+strings.Repeat("long ", 500), map[string]string{"desired/a.yaml": "a"})
	r := open(t, options(t, g))
	p.push()
	judged, err := r.Judge(t.Context(), fetch(t, r), p.trust())
	if err != nil || len(judged.Unaccepted) != 1 {
		t.Fatal(judged, err)
	}
	u := judged.Unaccepted[0]
	if text := u.Author + u.Subject + u.Why; strings.ContainsAny(text, "\x1b\x07\u202e\n") || len(u.Subject) > 400 || !strings.Contains(u.Author, "alice@corp.example") {
		t.Errorf("got %q", text)
	}
}

// Two thousand commits of which every second one has to be signed.
func TestJudge_TwoThousandCommits(t *testing.T) {
	if testing.Short() {
		t.Skip("slow")
	}
	const commits = 2_000
	g := fleet(t)
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	private, public := sshKey(t, key)
	signer, err := SSHSigner(private)
	if err != nil {
		t.Fatal(err)
	}
	var stream bytes.Buffer
	blob := func(text string) string {
		return fmt.Sprintf("M 100644 inline %s\ndata %d\n%s\n", map[bool]string{true: "desired/a.yaml", false: "rendered/demo/a"}[strings.HasPrefix(text, "d")], len(text), text)
	}
	for i := range commits {
		fmt.Fprintf(&stream, "commit refs/heads/main\ncommitter A <a@b> %d +0000\ndata 1\nx\n", at.Unix()+int64(i))
		if i == 0 {
			for f := range 40 {
				fmt.Fprintf(&stream, "M 100644 inline docs/%d\ndata 1\nx\n", f)
			}
		}
		fmt.Fprintf(&stream, "%s\n", blob(fmt.Sprint(map[bool]string{true: "d", false: "r"}[i%2 == 0], i)))
	}
	p := newPerson(t, g)
	if out, err := p.try(stream.Bytes(), "fast-import", "--quiet"); err != nil {
		t.Fatal(err, out)
	}
	// Every commit again, those that change desired/ signed: fast-import cannot sign.
	list := strings.Fields(p.git("log", "--reverse", "--format=%H %T %ct", "main"))
	var objects bytes.Buffer
	parent := ""
	dir := t.TempDir()
	var paths []string
	for i := 0; i < len(list); i += 3 {
		head := "tree " + list[i+1] + "\n"
		if parent != "" {
			head += "parent " + parent + "\n"
		}
		head += "author A <a@b> " + list[i+2] + " +0000\ncommitter A <a@b> " + list[i+2] + " +0000\n"
		body := head + "\nx\n"
		if i/3%2 == 0 {
			signature, err := signer.Sign([]byte(body))
			if err != nil {
				t.Fatal(err)
			}
			body = head + "gpgsig " + strings.ReplaceAll(strings.TrimSpace(signature), "\n", "\n ") + "\n\nx\n"
		}
		name := filepath.Join(dir, fmt.Sprint(i))
		if err := os.WriteFile(name, []byte(body), 0o600); err != nil {
			t.Fatal(err)
		}
		paths = append(paths, name)
		parent = plumbing.ComputeHash(plumbing.CommitObject, []byte(body)).String()
	}
	objects.WriteString(strings.Join(paths, "\n") + "\n")
	if out, err := p.try(objects.Bytes(), "hash-object", "-t", "commit", "-w", "--stdin-paths"); err != nil {
		t.Fatal(err, out)
	}
	p.git("update-ref", "refs/heads/main", parent)
	p.git("push", "-q", "-f", "origin", "main")
	o := options(t, g)
	o.URL = g.Dir() // Git itself packs faster than the test server
	r := open(t, o)
	head := fetch(t, r)
	signers, problems := ParseAllowedSigners("f", []byte("a@b "+public+"\n"))
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	began := time.Now()
	judged, err := r.Judge(t.Context(), head, Trust{Allowed: signers, At: at})
	took := time.Since(began)
	t.Logf("%d commits, %d signed, in %s", judged.Commits, judged.Signed, took)
	if err != nil || judged.Commits != commits || judged.Signed != commits/2 || len(judged.Unaccepted) > 0 {
		t.Fatalf("%+v, %v", judged, err)
	}
	if took > 30*time.Second {
		t.Errorf("took %s", took)
	}
	began = time.Now()
	judged, err = r.Judge(t.Context(), head, Trust{Allowed: signers, At: at, Accepted: []string{p.git("rev-parse", "main~3")}})
	t.Logf("%d commits in %s", judged.Commits, time.Since(began))
	if err != nil || judged.Commits != 3 {
		t.Errorf("%+v, %v", judged, err)
	}
}

func TestParseAllowedSigners(t *testing.T) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	_, public := sshKey(t, key)
	ca, err := ssh.NewSignerFromKey(key)
	if err != nil {
		t.Fatal(err)
	}
	cert := &ssh.Certificate{Key: ca.PublicKey(), CertType: ssh.UserCert, ValidBefore: ssh.CertTimeInfinity}
	if err := cert.SignCert(rand.Reader, ca); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, text string
		keys       int
		want       string // of a problem
		line       int
	}{
		{"plain", "alice@corp " + public, 1, "", 0},
		{"all of it", "# people\n\n\"alice@corp,*@corp\"\tnamespaces=\"file,git\",valid-after=\"20260101\",valid-before=20270101120000Z " + public + " a comment\nbob " + public, 2, "", 0},
		{"another namespace", "alice namespaces=\"file\" " + public + "\nbob " + public, 1, "", 0},
		{"not git", "alice namespaces=\"!git,*\" " + public, 0, "allows nobody", 0},
		{"empty", "# nobody\n", 0, "allows nobody", 0},
		{"authority", "bob " + public + "\n*@corp cert-authority " + public, 0, "certificate authorities are not supported", 2},
		{"unknown option", "alice no-touch-required " + public, 0, "unknown option", 1},
		{"option without value", "alice valid-after " + public, 0, "unknown option", 1},
		{"option twice", "alice valid-after=20260101,valid-after=20270101 " + public, 0, "twice", 1},
		{"no time", "alice valid-before=\"tomorrow\" " + public, 0, "is no time", 1},
		{"no such day", "alice valid-before=20261301 " + public, 0, "is no time", 1},
		{"never", "alice valid-after=20270101,valid-before=20260101 " + public, 0, "never count", 1},
		{"no key", "alice ssh-ed25519 AAAA", 0, "no public key", 1},
		{"no principal", public, 0, "no public key", 1},
		{"one word", "alice", 0, "want principals", 1},
		{"certificate", "alice " + strings.TrimSpace(string(ssh.MarshalAuthorizedKey(cert))), 0, "not supported", 1},
		{"a private key", string(pem.EncodeToMemory(&pem.Block{Type: "OPENSSH PRIVATE KEY", Bytes: []byte("s3cret-canary-in-a-key")})), 0, "", 1},
	} {
		s, problems := ParseAllowedSigners("signers", []byte(tt.text+"\n"))
		if len(s.ssh) != tt.keys || (len(problems) == 0) != (tt.keys > 0) {
			t.Errorf("%s: %d keys, %v", tt.name, len(s.ssh), problems)
			continue
		}
		if len(problems) > 0 && (!strings.Contains(problems[0].What, tt.want) || problems[0].Where.Line != tt.line || problems[0].Code != "CFG068" || strings.Contains(problems.Error(), "s3cret")) {
			t.Errorf("%s: %v", tt.name, problems[0])
		}
	}
}
