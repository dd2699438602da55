package trust_test

import (
	"errors"
	"testing"
	"time"

	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/policy/trust"
	"github.com/poundlock/poundlock/testenv"
)

// Of whom an item is not, it says nothing; what its own signer did wrong is told apart.
func TestProve_TellsStrangersFromWhatASignerDidWrong(t *testing.T) {
	b := newImage(t)
	mine, other := newKeyPair(t), newKeyPair(t)
	if err := errors.Join(mine.SignLegacy(t.Context(), b.repo, b.digest), mine.SignBundle(t.Context(), b.repo, b.digest)); err != nil {
		t.Fatal(err)
	}
	for _, it := range b.items(t) {
		c, err := trust.Prepare(it)
		if err != nil {
			t.Fatal(err)
		}
		for name, want := range map[string]struct {
			by       *testenv.Signer
			digest   mirror.Digest
			stranger bool
		}{
			"another key":    {other, b.digest, true},
			"another digest": {mine, mirror.DigestOf([]byte("other")), false},
		} {
			s, err := trust.NewKey(name, []byte(want.by.PublicPEM()), trust.KeyOptions{})
			if err != nil {
				t.Fatal(err)
			}
			if _, err = c.Prove(t.Context(), s, want.digest, time.Time{}); err == nil || errors.Is(err, trust.ErrStranger) != want.stranger {
				t.Errorf("%s, form %d: got %v, a stranger %t; want %t", name, it.Form, err, errors.Is(err, trust.ErrStranger), want.stranger)
			}
		}
	}
}

func newKeyPair(t *testing.T) *testenv.Signer {
	t.Helper()
	s, err := testenv.NewSigner("p256")
	if err != nil {
		t.Fatal(err)
	}
	return s
}
