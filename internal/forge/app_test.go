package forge_test

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/poundlock/poundlock/internal/forge"
	"github.com/poundlock/poundlock/testenv"
)

func appKey(t *testing.T) (*rsa.PrivateKey, []byte) {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	return key, pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)})
}

func TestApp_TokensAreMadeAnewBeforeTheyEnd(t *testing.T) {
	for _, installation := range []int64{0, 77} {
		p := open(t, "github")
		key, text := appKey(t)
		p.host.AddApp(123, "lockkeeper", &key.PublicKey)
		o := p.options
		o.App = &forge.App{ID: 123, Installation: installation, Key: func(context.Context) ([]byte, error) { return text, nil }}
		f := dial(t, o)
		made := 0
		p.host.Fail(func(r *http.Request) *testenv.Fault {
			if strings.HasSuffix(r.URL.Path, "/access_tokens") {
				made++
			}
			return nil
		})
		if a, err := f.Access(t.Context()); err != nil || a.User != "lockkeeper[bot]" || len(a.Missing) > 0 {
			t.Fatalf("got %+v, %v", a, err)
		}
		n := p.propose(t, "poundlock/web").Number
		for range 3 {
			if _, err := f.Comment(t.Context(), n, "poundlock:plan", "plan"); err != nil {
				t.Fatal(err)
			}
		}
		if made != 1 {
			t.Errorf("%d tokens were made, want one", made)
		}
		p.clock.pass(time.Hour)
		if changed, err := f.Comment(t.Context(), n, "poundlock:plan", "plan"); err != nil || changed || made != 2 {
			t.Errorf("an hour later: changed %t, %v, %d tokens; the comment is ours as before", changed, err, made)
		}
	}
}

func TestApp_KeyThatIsNone(t *testing.T) {
	p := open(t, "github")
	_, other := appKey(t)
	for _, c := range []struct {
		name string
		key  []byte
		want error
	}{{"no PEM", []byte("secret-of-ours"), forge.ErrKey}, {"not RSA", pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: []byte("secret-of-ours")}), forge.ErrKey},
		{"of another app", other, forge.ErrForbidden}} {
		t.Run(c.name, func(t *testing.T) {
			o := p.options
			o.App = &forge.App{ID: 123, Key: func(context.Context) ([]byte, error) { return c.key, nil }}
			if _, err := dial(t, o).Proposals(t.Context(), forge.Query{}); !errors.Is(err, c.want) || strings.Contains(err.Error(), "secret-of-ours") {
				t.Errorf("got %v, want %v", err, c.want)
			}
		})
	}
}
