package trust

import (
	"crypto"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/sigstore/sigstore-go/pkg/bundle"
	"github.com/sigstore/sigstore/pkg/signature"

	"github.com/poundlock/poundlock/internal/mirror"
)

// explosive is a key whose use panics, as some content made the library do.
type explosive struct{}

func (explosive) PublicKey(...signature.PublicKeyOption) (crypto.PublicKey, error) {
	panic("public key")
}
func (explosive) VerifySignature(io.Reader, io.Reader, ...signature.VerifyOption) error {
	panic("verify")
}

func TestCandidate_SurvivesAPanicOfTheLibrary(t *testing.T) {
	legacy, err := Prepare(Item{Body: []byte(`{}`), Signature: "AAAA"})
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]*Candidate{"legacy": legacy, "bundle": {bundle: &bundle.Bundle{}}} {
		if _, err := c.Prove(t.Context(), Signer{accept: byKey{verifier: explosive{}}}, mirror.DigestOf(nil)); err == nil || !strings.Contains(err.Error(), "gave up") {
			t.Errorf("%s: got %v; want the panic as an error", name, err)
		}
	}
}

func TestCheckOpts_NeverLackAClaimVerifierAndNeverAskTheNetwork(t *testing.T) {
	o := checkOpts(explosive{}, new([]string))
	if o.ClaimVerifier == nil || o.TrustedMaterial == nil || o.SigVerifier == nil {
		t.Error("options without claim verifier, trusted material or key")
	}
	if !o.Offline || !o.IgnoreTlog || !o.IgnoreSCT || o.RekorClient != nil {
		t.Error("options that ask a log")
	}
}

func TestClearEnvironment_LeavesNothingThatSteersTheLibraries(t *testing.T) {
	for _, name := range []string{"SIGSTORE_ROOT_FILE", "TUF_ROOT", "COSIGN_EXPERIMENTAL", "COSIGN_MAX_ATTACHMENT_SIZE"} {
		t.Setenv(name, "1GiB")
	}
	t.Setenv("POUNDLOCK_TEST", "kept")
	if err := ClearEnvironment(); err != nil {
		t.Fatal(err)
	}
	for _, entry := range os.Environ() {
		if strings.HasPrefix(entry, "SIGSTORE_") || strings.HasPrefix(entry, "TUF_") || strings.HasPrefix(entry, "COSIGN_") && entry != "COSIGN_MAX_ATTACHMENT_SIZE=16777216" {
			t.Errorf("%s is still set", entry)
		}
	}
	if os.Getenv("POUNDLOCK_TEST") != "kept" || os.Getenv("COSIGN_MAX_ATTACHMENT_SIZE") != "16777216" {
		t.Error("too much was removed, or the limit is not set")
	}
}
