package git

import "testing"

// What the forge looks at is read from the top of the repository, wherever the fleet lies in it.
func TestRootFile_IsNotBelowThePath(t *testing.T) {
	g := fleet(t)
	write(t, g, map[string]string{".github/CODEOWNERS": "* @alice", "sub/.github/CODEOWNERS": "* @bob", "sub/desired/x.yaml": "x"})
	o := options(t, g)
	o.Path = "sub"
	repo := open(t, o)
	head := fetch(t, repo)
	for name, want := range map[string]string{".github/CODEOWNERS": "* @alice", "CODEOWNERS": "", ".github": "", ".github/CODEOWNERS/x": ""} {
		if got, err := repo.RootFile(head, name); err != nil || string(got) != want || (got == nil) != (want == "") {
			t.Errorf("%s: got %q, %v, want %q", name, got, err, want)
		}
	}
	for _, name := range []string{"../CODEOWNERS", ".git/config", "/CODEOWNERS", ""} {
		if got, err := repo.RootFile(head, name); err == nil {
			t.Errorf("%q: got %q", name, got)
		}
	}
	step, err := repo.Step(head)
	if err != nil || step.Commit != head || step.Message == "" {
		t.Errorf("got %+v, %v", step, err)
	}
	if _, err := repo.Step("0123456789012345678901234567890123456789"); err == nil {
		t.Error("a commit that is not there was read")
	}
}
