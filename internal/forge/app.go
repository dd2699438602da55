package forge

import (
	"cmp"
	"context"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/google/go-github/v76/github"
)

// app gets tokens for an installation of a GitHub App, restricted to the one repository. It speaks to the forge as
// the app itself, with statements that its key signs.
type app struct {
	*rest
	options App
	api     *github.Client

	asking sync.Mutex // one token is made at a time
	mu     sync.Mutex
	have   string
	until  time.Time // from when have is not used any more
	may    *github.InstallationPermissions
}

// Times of a GitHub App. A statement may live for ten minutes by the clock of GitHub.
const (
	statementPast = time.Minute     // clocks differ
	statementLife = 8 * time.Minute // from now
	tokenSpare    = 5 * time.Minute // before its end a token is made anew
)

func newApp(o Options) (*app, error) {
	if o.App.ID <= 0 || o.App.Key == nil {
		return nil, fmt.Errorf("a GitHub App needs its number and its key")
	}
	a := &app{options: *o.App}
	var err error
	if a.rest, err = newRest(o, a.statement, nil); err != nil {
		return nil, err
	}
	a.api = githubClient(a.rest)
	return a, nil
}

// statement is a signed JWT by which GitHub knows the app.
func (a *app) statement(ctx context.Context) (string, error) {
	b, err := a.options.Key(ctx)
	if err != nil {
		return "", err
	}
	key, err := rsaKey(b)
	if err != nil {
		return "", err
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: key}, (&jose.SignerOptions{}).WithType("JWT"))
	if err != nil {
		return "", fmt.Errorf("%w: it signs nothing", ErrKey)
	}
	now := a.guard.now()
	return jwt.Signed(signer).Claims(jwt.Claims{Issuer: strconv.FormatInt(a.options.ID, 10),
		IssuedAt: jwt.NewNumericDate(now.Add(-statementPast)), Expiry: jwt.NewNumericDate(now.Add(statementLife))}).Serialize()
}

// rsaKey reads a private key in PEM form. Its errors repeat nothing of it.
func rsaKey(b []byte) (*rsa.PrivateKey, error) {
	block, _ := pem.Decode(b)
	if block == nil {
		return nil, fmt.Errorf("%w: it is not in PEM form", ErrKey)
	}
	if key, err := x509.ParsePKCS1PrivateKey(block.Bytes); err == nil {
		return key, nil
	}
	any, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	key, ok := any.(*rsa.PrivateKey)
	if err != nil || !ok {
		return nil, fmt.Errorf("%w: it is no RSA key", ErrKey)
	}
	return key, nil
}

// token gives one of the installation that may still be used.
func (a *app) token(ctx context.Context) (string, error) {
	a.asking.Lock()
	defer a.asking.Unlock()
	a.mu.Lock()
	have, until := a.have, a.until
	a.mu.Unlock()
	if have != "" && a.guard.now().Before(until) {
		return have, nil
	}
	id := a.options.Installation
	if id == 0 {
		i, _, err := a.api.Apps.FindRepositoryInstallation(ctx, a.owner, a.name)
		if err != nil {
			return "", a.fail(err, "find the installation of the app for %s/%s", a.owner, a.name)
		}
		id = i.GetID()
	}
	t, _, err := a.api.Apps.CreateInstallationToken(ctx, id, &github.InstallationTokenOptions{Repositories: []string{a.name}})
	if err != nil || t.GetToken() == "" {
		return "", a.fail(cmp.Or(err, ErrAnswer), "get a token for the installation %d of the app", id)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.have, a.until, a.may = t.GetToken(), t.GetExpiresAt().Add(-tokenSpare), t.GetPermissions()
	return a.have, nil
}

// forget drops a token that was not let in.
func (a *app) forget() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.have = ""
}

// login gives the name under which GitHub shows what an app does.
func (a *app) login(ctx context.Context) (string, error) {
	self, _, err := a.api.Apps.Get(ctx, "")
	if err != nil || self.GetSlug() == "" {
		return "", a.fail(cmp.Or(err, ErrAnswer), "ask whose credential this is")
	}
	return self.GetSlug() + "[bot]", nil
}

// missing lists the permissions that the last token came without.
func (a *app) missing() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	var missing []string
	for name, has := range map[string]string{"pull requests: write": a.may.GetPullRequests(), "commit statuses: write": a.may.GetStatuses()} {
		if has != "write" {
			missing = append(missing, name)
		}
	}
	slices.Sort(missing)
	return missing
}
