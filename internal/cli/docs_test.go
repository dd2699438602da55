package cli

import (
	"fmt"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/poundlock/poundlock/daemon/config"
	"github.com/poundlock/poundlock/docs"
	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/policy"
	"github.com/poundlock/poundlock/testenv"
)

var (
	yamlBlock = regexp.MustCompile("(?ms)^```yaml\n(.*?)^```")
	keyFile   = regexp.MustCompile(`key: (keys/[a-z0-9-]+\.pub)`)
	pgpFile   = regexp.MustCompile(`pgp: (keys/[A-Za-z0-9-]+\.asc)`)
	named     = regexp.MustCompile(`^# (\S+)\n`)
)

// material gives the files of trust that the pages name, relative to the folder of the policy: keys, roots of an
// authority, certificates, a TUF repository.
func material(t *testing.T, text string) mirror.Files {
	t.Helper()
	files := mirror.Files{}
	for _, m := range keyFile.FindAllStringSubmatch(text, -1) {
		s, err := testenv.NewSigner("p256")
		if err != nil {
			t.Fatal(err)
		}
		files[m[1]] = []byte(s.PublicPEM())
	}
	for _, m := range pgpFile.FindAllStringSubmatch(text, -1) {
		k, err := testenv.NewPGPKey("Package Maker", testenv.PGPOptions{})
		if err != nil {
			t.Fatal(err)
		}
		files[m[1]] = []byte(k.Public())
	}
	authority, err := testenv.NewAuthority()
	if err != nil {
		t.Fatal(err)
	}
	files["trust/trusted_root.json"] = authority.TrustedRoot()
	chain, err := testenv.NewChain(testenv.ChainOptions{})
	if err != nil {
		t.Fatal(err)
	}
	files["trust/ca.pem"] = chain.CA()
	repository, err := testenv.TUFRepository(map[string][]byte{"trusted_root.json": authority.TrustedRoot()}, testenv.TUFOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range repository {
		files[path.Join("trust/tuf", name)] = data
	}
	return files
}

// loaded reads a block of a page as the daemon reads the file that its first line names.
func loaded(t *testing.T, block string) error {
	t.Helper()
	name := named.FindStringSubmatch(block)
	if name == nil {
		return fmt.Errorf("its first line does not name the file that it is of, as # desired/policy.yaml does")
	}
	switch file := name[1]; file {
	case mirror.PolicyFile, policy.TestsFile:
		files := mirror.Files{file: []byte(block), "desired/elastic.yaml": []byte("version: 1\nsource: {kind: epr, url: https://epr.elastic.co}\n")}
		if file == mirror.PolicyFile {
			for below, data := range material(t, block) {
				files["desired/"+below] = data
			}
		}
		_, problems := policy.LoadTests(files, "")
		if file == mirror.PolicyFile {
			_, problems = policy.Load(files, "")
		}
		return problems.Err()
	case "floor.yaml":
		files := material(t, block)
		files[file] = []byte(block)
		_, problems := policy.LoadFloor(file, files)
		return problems.Err()
	case "config.yaml":
		_, err := config.Load(configure(t, goodConfig+strings.TrimPrefix(block, name[0])), nil, nil)
		return err
	default:
		return fmt.Errorf("nobody knows how %s is read", file)
	}
}

// What the pages on policy and trust show is what the daemon reads.
func TestDocs_EveryDocumentIsAccepted(t *testing.T) {
	for _, page := range []string{"policy", "trust"} {
		text, ok := docs.Page(page)
		blocks := yamlBlock.FindAllStringSubmatch(text, -1)
		if !ok || len(blocks) < 5 {
			t.Fatalf("%s: %d blocks", page, len(blocks))
		}
		for i, block := range blocks {
			if err := loaded(t, block[1]); err != nil {
				t.Errorf("block %d of docs/%s.md: %v\n%s", i+1, page, err, block[1])
			}
		}
		if code, out, talk := command(t, t.Context(), "help", page); code != exitOK || !strings.HasPrefix(out, strings.SplitN(text, "\n", 2)[0]) {
			t.Errorf("help %s: exit %d: %.200s%s", page, code, out, talk)
		}
	}
}

// A command that a page tells people to type is there, with its flags.
func TestDocs_EveryCommandIsThere(t *testing.T) {
	pages, err := filepath.Glob("../../docs/*.md")
	if err != nil || len(pages) < 8 {
		t.Fatalf("%d pages, %v", len(pages), err)
	}
	typed := regexp.MustCompile("`poundlock ((?:[a-z][a-z-]+ ?)+)((?:[^A-Za-z`][^`]*)?)`")
	flag := regexp.MustCompile(`--[a-z-]+`)
	for _, page := range pages {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range typed.FindAllStringSubmatch(string(text), -1) {
			if topic, ok := strings.CutPrefix(m[1], "help "); ok {
				if _, ok := docs.Page(strings.TrimSpace(topic)); !ok && topic != "" {
					t.Errorf("%s: %s: there is no such topic", page, m[0])
				}
				continue
			} else if strings.HasPrefix(m[1], "help") { // of a code, or of what the reader puts there
				continue
			}
			root := (&app{out: os.Stdout, talk: &talker{to: os.Stderr}}).root()
			cmd, _, err := root.Find(strings.Fields(m[1]))
			if err != nil || cmd == root {
				t.Errorf("%s: %s: there is no such command", page, m[0])
				continue
			}
			for _, name := range flag.FindAllString(m[2], -1) {
				name = strings.TrimPrefix(name, "--")
				if cmd.Flags().Lookup(name) == nil && root.PersistentFlags().Lookup(name) == nil {
					t.Errorf("%s: %s: there is no flag --%s", page, m[0], name)
				}
			}
		}
	}
}

// The tests that the page on policy shows pass by the policy of its fifth step, as it is printed.
func TestDocs_TheExampleOfPolicyTestsPasses(t *testing.T) {
	w, config := inWorld(t)
	text, _ := docs.Page("policy")
	var step, tests string
	for _, block := range yamlBlock.FindAllStringSubmatch(text, -1) {
		switch {
		case strings.Contains(block[1], "mode: {production: warn}"):
			step = block[1]
		case strings.HasPrefix(block[1], "# "+policy.TestsFile):
			tests = block[1]
		}
	}
	if step == "" || tests == "" {
		t.Fatal("the page has no fifth step, or no tests")
	}
	changed := map[string]string{mirror.PolicyFile: step, policy.TestsFile: tests}
	for name, data := range material(t, step) {
		changed["desired/"+name] = string(data)
	}
	vendor, err := testenv.NewSigner("p256")
	if err != nil {
		t.Fatal(err)
	}
	changed["desired/keys/vendor.pub"] = vendor.PublicPEM()
	d, err := testenv.Push(t.Context(), w.Upstream.Back(), "ghcr.io/vendor/app", "1.4.2", testenv.Image("app"))
	if err != nil {
		t.Fatal(err)
	}
	if err := vendor.SignLegacy(t.Context(), w.Upstream.Back()+"/ghcr.io/vendor/app", d, testenv.Claiming("ghcr.io/vendor/app")); err != nil {
		t.Fatal(err)
	}
	code, out, talk := command(t, t.Context(), "-c", config, "policy", "test", aCheckout(t, w, changed))
	if code != exitOK || !strings.Contains(out, ": 4 passed") {
		t.Errorf("exit %d: %s%s", code, out, talk)
	}
	// What the page says of the day on which the mode is gone.
	changed[mirror.PolicyFile] = strings.Replace(step, "mode: {production: warn}", "mode: enforce", 1)
	changed[policy.TestsFile] = strings.Replace(tests, "expect: warn", "expect: rejected, reason: no-signature", 1)
	if code, out, talk = command(t, t.Context(), "-c", config, "policy", "test", aCheckout(t, w, changed)); code != exitOK {
		t.Errorf("enforced: exit %d: %s%s", code, out, talk)
	}
	// A registry that does not answer fails no test, and passes none.
	w.Upstream.Proxy().Break(testenv.Always(func(*http.Request) bool { return true }, testenv.Fault{Status: http.StatusServiceUnavailable}))
	if code, out, _ = command(t, t.Context(), "-c", config, "policy", "test", aCheckout(t, w, changed)); code != exitRetry || !strings.Contains(out, "?     ghcr.io/vendor/app:1.4.2 at snapshot") ||
		strings.Contains(out, "FAIL") || !strings.Contains(out, "2 passed, 2 could not be asked now") {
		t.Errorf("nobody answers: exit %d: %s", code, out)
	}
}
