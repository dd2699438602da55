package trust

import (
	"crypto"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/sigstore/sigstore-go/pkg/bundle"
	"github.com/sigstore/sigstore-go/pkg/root"
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
		if _, err := c.Prove(t.Context(), Signer{accept: byKey{verifier: explosive{}}}, mirror.DigestOf(nil), time.Time{}); err == nil || !strings.Contains(err.Error(), "gave up") {
			t.Errorf("%s: got %v; want the panic as an error", name, err)
		}
	}
}

func TestCheckOpts_NeverLackAClaimVerifierAndNeverAskTheNetwork(t *testing.T) {
	for _, form := range []Form{Payload, Envelope, Bundle} {
		o := checkOpts(&root.BaseTrustedMaterial{}, form, &Proof{})
		if o.ClaimVerifier == nil || o.TrustedMaterial == nil {
			t.Error("options without claim verifier or trusted material")
		}
		if !o.Offline || o.RekorClient != nil {
			t.Error("options that ask a log")
		}
		if o.IgnoreTlog || o.IgnoreSCT {
			t.Error("options that ignore logs although no key was asked for")
		}
		if o = withKey(o, explosive{}); !o.IgnoreTlog || !o.IgnoreSCT || o.SigVerifier == nil {
			t.Error("options for a key that ask for logs, or for no key")
		}
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
