package sops

import (
	"bytes"
	"errors"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"filippo.io/age"
)

var tools = flag.String("tools", "", "folder of the real commands, as testenv/interop.sh builds them")

// The throwaway keys that the files of testdata are encrypted for, by the real command.
const (
	firstKey  = "AGE-SECRET-KEY-1K0Y69MXFP445STCXT0Y2UG5ZCW0EWDXL3ZPPC7ZQPEASAVCGQCEQEV4F8F"
	secondKey = "AGE-SECRET-KEY-143HCK0XFMCVYWJR5TCA6PG9EE02UQQV08RKVQXUL220AH4D09S9SL0MJYF"
)

const manifest = `apiVersion: v1
kind: Secret
metadata:
  name: "registry"
type: Opaque
stringData:
  user: "reader"
  password: "p\"ss: # é\n"
  empty: ""
  port: 5000
  tls: true
`

var at = time.Date(2026, 3, 1, 12, 0, 0, 5, time.FixedZone("", 3600))

func identity(t *testing.T, text string) *Identity {
	t.Helper()
	i, err := ParseIdentity("# a comment\n" + text + "\n")
	if err != nil {
		t.Fatal(err)
	}
	return i
}

func TestEncrypt_IsOpenedByEachRecipientAlone(t *testing.T) {
	hybrid, err := age.GenerateHybridIdentity()
	if err != nil {
		t.Fatal(err)
	}
	first, second, third := identity(t, firstKey), identity(t, secondKey), identity(t, hybrid.String())
	to := []Recipient{first.Recipient(), third.Recipient()}
	body, err := Encrypt([]byte(manifest), to, at)
	if err != nil {
		t.Fatal(err)
	}
	for _, clear := range []string{"reader", "5000", "p\\\"ss"} {
		if bytes.Contains(body, []byte(clear)) {
			t.Errorf("%s stands in clear", clear)
		}
	}
	for _, shown := range []string{"kind: Secret\n", "name: \"registry\"\n", "lastmodified: \"2026-03-01T11:00:00Z\"\n"} {
		if !bytes.Contains(body, []byte(shown)) {
			t.Errorf("%q is not in\n%s", shown, body)
		}
	}
	for name, who := range map[string]*Identity{"usual": first, "hybrid": third} {
		d, err := Decrypt(body, who)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if !d.Is([]byte(manifest), to) || !d.Is([]byte(manifest), []Recipient{to[1], to[0]}) {
			t.Errorf("%s: not the manifest", name)
		}
		for what, other := range map[string]bool{
			"another value":     d.Is([]byte(strings.Replace(manifest, "reader", "writer", 1)), to),
			"another name":      d.Is([]byte(strings.Replace(manifest, `"registry"`, `"other"`, 1)), to),
			"one key less":      d.Is([]byte(strings.Replace(manifest, "  tls: true\n", "", 1)), to),
			"text for a number": d.Is([]byte(strings.Replace(manifest, "5000", `"5000"`, 1)), to),
			"fewer recipients":  d.Is([]byte(manifest), to[:1]),
			"other recipients":  d.Is([]byte(manifest), []Recipient{to[0], second.Recipient()}),
			"more recipients":   d.Is([]byte(manifest), append([]Recipient{second.Recipient()}, to...)),
		} {
			if other {
				t.Errorf("%s: taken for the same: %s", name, what)
			}
		}
	}
	if _, err := Decrypt(body, second); !errors.Is(err, ErrNotForUs) {
		t.Errorf("a stranger: %v", err)
	}
}

func TestDecrypt_ReadsWhatTheRealCommandWrote(t *testing.T) {
	want := "port: 5000\n"
	for _, tt := range []struct {
		file, key string
		plain     bool
	}{{"secret.yaml", firstKey, true}, {"secret.yaml", secondKey, true}, {"all.yaml", firstKey, false}} {
		data, err := os.ReadFile(filepath.Join("testdata", tt.file))
		if err != nil {
			t.Fatal(err)
		}
		d, err := Decrypt(data, identity(t, tt.key))
		if err != nil {
			t.Fatalf("%s: %v", tt.file, err)
		}
		clear, err := d.YAML()
		if err != nil || !strings.Contains(string(clear), want) || !strings.Contains(string(clear), "user: reader") || strings.Contains(string(clear), "sops") {
			t.Errorf("%s: %v\n%s", tt.file, err, clear)
		}
		if d.plain != tt.plain {
			t.Errorf("%s: taken for ours: %t", tt.file, d.plain)
		}
	}
}

// Whatever is changed in a document, it is not believed, and the error shows nothing of it.
func TestDecrypt_BelievesNothingThatWasChanged(t *testing.T) {
	first := identity(t, firstKey)
	body, err := Encrypt([]byte(manifest), []Recipient{first.Recipient()}, at)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(body), "\n")
	line := func(key string) string {
		for _, l := range lines {
			if strings.HasPrefix(strings.TrimSpace(l), key+":") {
				return l
			}
		}
		t.Fatalf("no line %s in\n%s", key, body)
		return ""
	}
	value := func(key string) string { _, v, _ := strings.Cut(line(key), ": "); return v }
	for name, changed := range map[string]string{
		"readable value":     strings.Replace(string(body), "Opaque", "opaque", 1),
		"readable key more":  strings.Replace(string(body), "type:", "x: y\ntype:", 1),
		"key more":           strings.Replace(string(body), "stringData:\n", "stringData:\n  hunter2: hunter2\n", 1),
		"key less":           strings.Replace(string(body), line("user")+"\n", "", 1),
		"values exchanged":   strings.NewReplacer(value("user"), value("password"), value("password"), value("user")).Replace(string(body)),
		"value emptied":      strings.Replace(string(body), value("user"), `""`, 1),
		"unknown kind":       strings.Replace(string(body), "type:int]", "type:time]", 1),
		"time":               strings.Replace(string(body), "2026-03-01", "2026-03-02", 1),
		"no MAC":             strings.Replace(string(body), line("mac")+"\n", "", 1),
		"rule":               strings.Replace(string(body), "|stringData)", "|stringdata)", 1),
		"rule that is none":  strings.Replace(string(body), "^(data|stringData)$", "(", 1),
		"key groups":         strings.Replace(string(body), "  lastmodified", "  key_groups: []\n  lastmodified", 1),
		"key twice":          strings.Replace(string(body), "type: Opaque", "type: Opaque\ntype: Opaque", 1),
		"alias":              strings.Replace(string(body), "type: Opaque", "type: &a Opaque\nx: *a", 1),
		"second document":    string(body) + "---\nhunter2: 1\n",
		"no YAML":            "hunter2: [",
		"no mapping":         "- hunter2\n",
		"not encrypted":      manifest,
		"number as the part": "sops: 5\n",
	} {
		if changed == string(body) {
			t.Errorf("%s: the test changes nothing", name)
		}
		_, err := Decrypt([]byte(changed), first)
		if err == nil {
			t.Errorf("%s: believed", name)
		} else if strings.Contains(err.Error(), "hunter2") || strings.Contains(err.Error(), "reader") {
			t.Errorf("%s: the error shows a value: %v", name, err)
		}
	}
}

// sops binds no value to its kind, so a number may be made a text; then it is not what we would write.
func TestDocument_TellsKindsOfValuesApart(t *testing.T) {
	first := identity(t, firstKey)
	body, err := Encrypt([]byte(manifest), []Recipient{first.Recipient()}, at)
	if err != nil {
		t.Fatal(err)
	}
	d, err := Decrypt(bytes.Replace(body, []byte("type:int]"), []byte("type:str]"), 1), first)
	if err != nil || d.Is([]byte(manifest), []Recipient{first.Recipient()}) {
		t.Errorf("taken for the same: %v", err)
	}
}

func TestParse_NoErrorShowsAKey(t *testing.T) {
	if _, err := ParseIdentity(firstKey[:len(firstKey)-1] + "x"); err == nil || strings.Contains(err.Error(), firstKey[20:30]) {
		t.Errorf("a broken private key: %v", err)
	}
	if _, err := ParseRecipient(firstKey); err == nil || strings.Contains(err.Error(), firstKey[20:30]) {
		t.Errorf("a private key where a public one belongs: %v", err)
	}
	for _, bad := range []string{"", "age1", "ssh-ed25519 AAAA", "age1x\nage1y"} {
		if _, err := ParseRecipient(bad); err == nil {
			t.Errorf("%q is taken for a recipient", bad)
		}
	}
	if _, err := Encrypt([]byte(manifest), nil, at); err == nil {
		t.Error("encrypted for nobody")
	}
}

// The real command opens what we write and finds its MAC right; testdata was written by it.
func TestInterop_TheRealCommandOpensOurs(t *testing.T) {
	if *tools == "" {
		t.Skip("no -tools: testenv/interop.sh runs this")
	}
	first := identity(t, firstKey)
	body, err := Encrypt([]byte(manifest), []Recipient{identity(t, secondKey).Recipient(), first.Recipient()}, at)
	if err != nil {
		t.Fatal(err)
	}
	run := func(in []byte, args ...string) string {
		t.Helper()
		name := filepath.Join(t.TempDir(), "secret.yaml")
		if err := os.WriteFile(name, in, 0o600); err != nil {
			t.Fatal(err)
		}
		cmd := exec.CommandContext(t.Context(), filepath.Join(*tools, "sops"), append(args, name)...)
		cmd.Env = append(os.Environ(), "SOPS_AGE_KEY="+firstKey)
		out, err := cmd.Output()
		if err != nil {
			var failed *exec.ExitError
			if errors.As(err, &failed) {
				t.Fatalf("%v: %s", err, failed.Stderr)
			}
			t.Fatal(err)
		}
		return string(out)
	}
	if got := run(body, "decrypt", "--extract", `["stringData"]["password"]`); got != "p\"ss: # é\n" {
		t.Errorf("got %q", got)
	}
	clear := run(body, "decrypt")
	for _, want := range []string{"name: registry", "port: 5000", "tls: true", `empty: ""`} {
		if !strings.Contains(clear, want) {
			t.Errorf("no %q in\n%s", want, clear)
		}
	}
	theirs := run([]byte(manifest), "encrypt", "--age", first.Recipient().String(), "--encrypted-regex", encryptedRegex)
	d, err := Decrypt([]byte(theirs), first)
	if err != nil || !d.Is([]byte(manifest), []Recipient{first.Recipient()}) {
		t.Errorf("theirs: %v", err)
	}
}
