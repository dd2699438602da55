package git

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
)

// gpgHome makes OpenPGP keys with the real gpg, one for each address, and gives the environment to use them in.
// expired@ was made longAgo, for two days.
func gpgHome(t *testing.T, addresses ...string) (env []string, run func(args ...string) string) {
	t.Helper()
	if _, err := exec.LookPath("gpg"); err != nil {
		t.Skip("there is no gpg")
	}
	dir, err := os.MkdirTemp("", "g") // the agent's socket needs a short path
	if err != nil {
		t.Fatal(err)
	}
	env = []string{"GNUPGHOME=" + dir}
	run = func(args ...string) string {
		t.Helper()
		cmd := exec.Command("gpg", append([]string{"--batch", "--no-tty", "--yes", "--pinentry-mode", "loopback", "--passphrase", ""}, args...)...)
		cmd.Env = append(os.Environ(), env...)
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("gpg %s: %v", args, err)
		}
		return string(out)
	}
	t.Cleanup(func() {
		stop := exec.Command("gpgconf", "--kill", "all")
		stop.Env = append(os.Environ(), env...)
		_ = stop.Run()
		os.RemoveAll(dir)
	})
	for _, address := range addresses {
		if strings.HasPrefix(address, "expired") {
			run("--faked-system-time", longAgo, "--quick-gen-key", address, "ed25519", "sign", "2d")
			continue
		}
		run("--quick-gen-key", address, "ed25519", "sign", "never")
	}
	return env, run
}

const longAgo = "20260101T000000"

// What git verify-commit says of a commit is what we say, with the same files of keys; where we are stricter, the
// table says so.
func TestVerify_AgreesWithGit(t *testing.T) {
	g := fleet(t)
	p := newPerson(t, g, "alice", "file", "early", "late", "mallory", "bot")
	env, gpg := gpgHome(t, "good@corp.example", "expired@corp.example", "revoked@corp.example", "stranger@corp.example")
	p.env = append(p.env, env...)
	lines := "alice@corp.example " + p.public["alice"] + "\n" +
		"file@corp.example namespaces=\"file\" " + p.public["file"] + "\n" +
		"early@corp.example valid-before=\"20260101Z\" " + p.public["early"] + "\n" +
		"late@corp.example valid-after=\"20260101Z\",valid-before=\"20270101Z\" " + p.public["late"] + "\n"
	allowed := filepath.Join(p.keys, "allowed")
	if err := os.WriteFile(allowed, []byte(lines), 0o600); err != nil {
		t.Fatal(err)
	}
	past := filepath.Join(p.keys, "gpg-long-ago")
	if err := os.WriteFile(past, []byte("#!/bin/sh\nexec gpg --faked-system-time "+longAgo+" \"$@\"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	withGPG := func(address, message string, more ...string) string {
		args := append([]string{"-c", "gpg.format=openpgp", "-c", "user.signingKey=" + address, "-c", "gpg.program=gpg"}, more...)
		p.git(append(args, "commit", "-q", "--allow-empty", "-S", "-m", message)...)
		return p.head()
	}
	onTop := func(body string) string { // the object alone: no branch has it
		id, err := p.try([]byte(body), "hash-object", "-t", "commit", "-w", "--stdin", "--literally")
		if err != nil {
			t.Fatal(err, id)
		}
		return id
	}
	p.commit("alice", "first", nil)
	good := p.commit("alice", "ssh", nil)
	pgp := withGPG("good@corp.example", "gpg")
	expired, revoked := withGPG("expired@corp.example", "expired", "-c", "gpg.program="+past), withGPG("revoked@corp.example", "revoked")
	stranger := withGPG("stranger@corp.example", "stranger")
	latin := withGPG("good@corp.example", "gr\xfc\xdfe", "-c", "i18n.commitEncoding=latin1")
	p.git("checkout", "-q", "-b", "side")
	withGPG("good@corp.example", "side")
	p.git("-c", "gpg.format=openpgp", "-c", "user.signingKey=good@corp.example", "tag", "-s", "-m", "tag", "v1")
	p.git("checkout", "-q", "main")
	p.git(append(p.signing("alice"), "merge", "-q", "--no-ff", "-m", "merge of a tag", "v1")...)
	mergetag := p.head()
	if !strings.Contains(p.body(mergetag), "\nmergetag object ") || !strings.Contains(p.body(latin), "\nencoding latin1\n") {
		t.Fatal("git made other commits than this test is about")
	}
	fingerprint := func(address string) string {
		for line := range strings.Lines(gpg("--list-keys", "--with-colons", address)) {
			if f := strings.Split(line, ":"); f[0] == "fpr" {
				return f[9]
			}
		}
		t.Fatal("no key of ", address)
		return ""
	}
	revoke(t, gpg, env[0], fingerprint("revoked@corp.example"))
	ring, problems := ParseKeyring("ring", []byte(gpg("--armor", "--export", "good@corp.example")+gpg("--armor", "--export", "expired@corp.example", "revoked@corp.example")))
	if len(problems) > 0 || len(ring.pgp) != 3 {
		t.Fatal(problems, len(ring.pgp))
	}
	gpg("--delete-secret-and-public-key", fingerprint("stranger@corp.example")) // now git does not know it either
	signers, problems := ParseAllowedSigners(allowed, []byte(lines))
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	signers = signers.Plus(ring)
	body := p.body(good)
	for _, tt := range []struct {
		name, commit string
		good         bool
		stricter     bool
	}{
		{"ssh", good, true, false},
		{"ssh, unsigned", p.commit("", "plain", nil), false, false},
		{"ssh, stranger", p.commit("mallory", "m", nil), false, false},
		{"ssh, for files", p.commit("file", "f", nil), false, false},
		{"ssh, key of last year", p.commit("early", "e", nil), false, false},
		{"ssh, key of this year", p.commit("late", "l", nil), true, false},
		{"ssh, tampered", onTop(strings.Replace(body, "\nssh", "\nssH", 1)), false, false},
		{"ssh, a header more", onTop(strings.Replace(body, "\ngpgsig ", "\nx-y z\ngpgsig ", 1)), false, false},
		{"ssh, another signature beside", onTop(strings.Replace(body, "\ngpgsig ", "\ngpgsig-sha256 junk\n more junk\ngpgsig ", 1)), true, false},
		{"ssh, two signatures", onTop(strings.Replace(body, "\ngpgsig ", "\ngpgsig x\ngpgsig ", 1)), false, false},
		{"ssh, over a merged tag", mergetag, true, false},
		{"gpg", pgp, true, false},
		{"gpg, another encoding", latin, true, false},
		{"gpg, expired", expired, false, false},
		{"gpg, revoked", revoked, false, false},
		{"gpg, stranger", stranger, false, false},
		{"gpg, tampered", onTop(strings.Replace(p.body(pgp), "\ngpg", "\ngPg", 1)), false, false},
		{"gpg, signature over another commit", onTop(strings.Replace(p.body(pgp), p.git("rev-parse", pgp+"^"), strings.Repeat("12", 20), 1)), false, false},
		{"gpg, text behind the armour", onTop(strings.Replace(p.body(pgp), "\n -----END PGP SIGNATURE-----", "\n -----END PGP SIGNATURE-----\n Approved-By: bob", 1)), false, true},
	} {
		raw := p.git("cat-file", "commit", tt.commit)
		c, err := parseCommit([]byte(raw + "\n"))
		if plumbing.ComputeHash(plumbing.CommitObject, []byte(raw+"\n")).String() != tt.commit {
			t.Fatalf("%s: not the bytes of %s", tt.name, tt.commit)
		}
		who := ""
		if err == nil {
			who, err = signers.verify(c, time.Now())
		}
		out, bad := p.try(nil, "-c", "gpg.ssh.allowedSignersFile="+allowed, "verify-commit", tt.commit)
		if (err == nil) != tt.good || tt.good && who == "" {
			t.Errorf("%s: we say %q, %v", tt.name, who, err)
		}
		if (bad == nil) != (tt.good || tt.stricter) {
			t.Errorf("%s: git says %v\n%s", tt.name, bad, out)
		}
	}
}

// revoke imports the revocation that gpg made together with the key.
func revoke(t *testing.T, gpg func(...string) string, home, fingerprint string) {
	t.Helper()
	file := filepath.Join(strings.TrimPrefix(home, "GNUPGHOME="), "openpgp-revocs.d", fingerprint+".rev")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	armed := strings.Replace(string(text), "\n:-----BEGIN", "\n-----BEGIN", 1)
	if err := os.WriteFile(file, []byte(armed), 0o600); err != nil {
		t.Fatal(err)
	}
	gpg("--import", file)
}
