package policy_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/policy"
)

func codesOf(problems mirror.Problems) (all []string) {
	for _, p := range problems {
		all = append(all, p.Code)
	}
	slices.Sort(all)
	return all
}

// What cannot be read hides nothing of what the rest names, and makes no noise of its own.
func TestLoad_AnUnknownKeyHidesNoOtherMistake(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		want []string
	}{
		"at the top":       {"foo: 1\nsigners: {a: {key: keys/none.pub}}\nrules:\n  - {match: x.example/**, require: {signers: [zz]}}", []string{"DOC002", "POL005", "POL011"}},
		"in a signer":      {"signers: {a: {key: keys/none.pub, bogus: 1}}", []string{"DOC002", "POL005"}},
		"in a keyless one": {"signers: {a: {keyless: {root: none, issuer: a, subject: b, bogus: 1}}}", []string{"DOC002", "POL017"}},
		"in a root":        {"roots: {r: {file: none.json, bogus: 1}}", []string{"DOC002", "POL005"}},
		"in a rule":        {"rules:\n  - {match: x.example/**, stages: [nowhere], require: {signers: [zz]}, bogus: 1}", []string{"DOC002", "POL008", "POL011"}},
		"in an exception":  {"exceptions:\n  - {match: x.example/a, stages: [nowhere], skip: [age], until: 2026-12-31, reason: x, approvedBy: y, bogus: 1}", []string{"DOC002", "POL008"}},
		"only itself":      {"signers: {a: {kee: keys/good.pub}}\nrules:\n  - {mach: x.example/**, require: {signers: a}}", []string{"DOC002", "DOC002", "DOC004"}},
		"another type":     {"signers: {a: {key: [x]}}", []string{"DOC004"}},
		"no root":          {"signers: {a: {keyless: {issuer: a, subject: b}}}", []string{"DOC005"}},
	} {
		files := keyFiles(t)
		for file := range files {
			if strings.Contains(string(files[file]), "PRIVATE KEY") {
				delete(files, file)
			}
		}
		files[mirror.PolicyFile] = []byte("version: 1\n" + c.text + "\n")
		_, problems := policy.Load(files, commit)
		if got := codesOf(problems); !slices.Equal(got, c.want) {
			t.Errorf("%s: got %v, want %v", name, problems, c.want)
		}
	}
}

func TestLoad_FindsPrivateKeysThatNothingNames(t *testing.T) {
	files := keyFiles(t)
	private := string(files["desired/keys/private.pem"])
	for file := range files {
		if strings.Contains(string(files[file]), "PRIVATE KEY") {
			delete(files, file)
		}
	}
	files[mirror.PolicyFile] = []byte("version: 1\nsigners: {a: {key: keys/named.pem}}\n")
	files["desired/keys/named.pem"] = []byte(private)
	files["desired/forgotten.key"] = []byte("# mine\n" + private)
	files["desired/values.yaml"] = []byte("key: |\n  " + strings.ReplaceAll(private, "\n", "\n  "))
	files["desired/notes.txt"] = []byte("a private key begins with BEGIN PRIVATE KEY\n")
	files["desired/late.txt"] = []byte(strings.Repeat("x", 64<<10) + private)
	files["elsewhere/other.key"] = []byte(private)
	_, problems := policy.Load(files, commit)
	var got []string
	for _, p := range problems {
		if p.Code == "POL006" {
			got = append(got, p.Where.String())
		}
		if strings.Contains(p.Error(), strings.Split(private, "\n")[1]) {
			t.Error("the problem shows the key")
		}
	}
	slices.Sort(got)
	if want := []string{"desired/forgotten.key:2", "desired/keys/named.pem:1", "desired/values.yaml:2"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestLoad_SaysThatThereIsNoSignerYet(t *testing.T) {
	_, problems := policy.Load(mirror.Files{mirror.PolicyFile: []byte("version: 1\ndeny: {signers: [nobody]}\n")}, commit)
	if len(problems) != 1 || problems[0].Fix != "add it under signers, where there is none yet" {
		t.Errorf("got %v", problems)
	}
}

func TestPolicy_ListsExceptionsWithTheirEnd(t *testing.T) {
	p := load(t, nil, "exceptions:\n  - "+exception+"\n")
	all := p.Exceptions()
	if len(all) != 1 || all[0].Name != "x.example/a" || all[0].Reason != "VEND-123" || all[0].Where.Line == 0 {
		t.Fatalf("got %+v", all)
	}
	end := time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)
	for at, want := range map[time.Time][2]bool{ // ended, ends soon
		end.Add(-14*24*time.Hour - time.Second): {false, false},
		end.Add(-14 * 24 * time.Hour):           {false, true},
		end.Add(-time.Second):                   {false, true},
		end:                                     {true, false},
	} {
		if got := [2]bool{all[0].Ended(at), all[0].EndsSoon(at)}; got != want {
			t.Errorf("at %s: got %v, want %v", at, got, want)
		}
	}
}
