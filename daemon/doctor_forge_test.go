package daemon

import (
	"context"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/poundlock/poundlock/daemon/config"
	"github.com/poundlock/poundlock/internal/forge"
	"github.com/poundlock/poundlock/internal/wire"
	"github.com/poundlock/poundlock/testenv"
)

// forgeFor gives a forge of a kind and the configuration that speaks to it as poundlock.
func forgeFor(t *testing.T, kind string) (*testenv.Forge, config.Config) {
	t.Helper()
	server := must(testenv.NewGit(filepath.Join(t.TempDir(), "fleet.git")))(t)
	t.Cleanup(server.Close)
	must(server.Commit(t.Context(), "first", map[string]string{"README.md": "hello\n"}))(t)
	host := must(testenv.NewForge(server, kind))(t)
	t.Cleanup(host.Stop)
	t.Setenv("POUNDLOCK_TEST_FORGE", host.Token("poundlock"))
	c := config.Default()
	c.Git.URL, c.Git.Insecure = host.CloneURL(), true
	c.Forge.Kind, c.Forge.Token = kind, config.Secret{Env: "POUNDLOCK_TEST_FORGE"}
	return host, c
}

// outFor gives the way out of a configuration.
func outFor(t *testing.T, c config.Config) *wire.Wire {
	t.Helper()
	hosts, _, err := hostsOf(c)
	if err != nil {
		t.Fatal(err)
	}
	out := must(wire.New(wire.Settings{Hosts: hosts}))(t)
	t.Cleanup(out.Close)
	return out
}

func TestDoctor_AsksTheForgeWhatWeMay(t *testing.T) {
	now := time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC)
	for _, tt := range []struct {
		name, kind string
		change     func(*testenv.Forge, *config.Config)
		state      CheckState
		code       string
		says       []string
	}{
		{"gitea", "gitea", func(*testenv.Forge, *config.Config) {}, CheckOK, "", []string{"platform/fleet at 127.0.0.1:", "as poundlock, the token of env POUNDLOCK_TEST_FORGE", "proposals, comments, statuses"}},
		{"gitlab", "gitlab", func(*testenv.Forge, *config.Config) {}, CheckOK, "", []string{"as poundlock"}},
		{"none", "gitea", func(_ *testenv.Forge, c *config.Config) { c.Forge = config.ForgeConfig{Kind: config.NoForge} }, CheckNone, "", []string{"none configured", "people open the proposals"}},
		{"a scope is missing", "gitea", func(f *testenv.Forge, _ *config.Config) {
			f.SetScopes("poundlock", time.Time{}, "read:user", "write:repository")
		}, CheckFailed, "FRG010", []string{"and misses write:issue\n", "the scopes read:user"}},
		{"a scope is missing at GitLab", "gitlab", func(f *testenv.Forge, _ *config.Config) { f.SetScopes("poundlock", time.Time{}, "read_api") }, CheckFailed, "FRG010", []string{"scope api"}},
		{"it ends soon", "gitlab", func(f *testenv.Forge, _ *config.Config) { f.SetScopes("poundlock", now.AddDate(0, 0, 10), "api") }, CheckWarning, "FRG011", []string{"2026-12-01"}},
		{"it ends later", "gitlab", func(f *testenv.Forge, _ *config.Config) { f.SetScopes("poundlock", now.AddDate(0, 0, 20), "api") }, CheckOK, "", []string{"until 2026-12-11"}},
		{"another credential", "gitea", func(*testenv.Forge, *config.Config) { t.Setenv("POUNDLOCK_TEST_FORGE", "canary-of-ours") }, CheckFailed, "FRG001", []string{"does not let us in"}},
		{"another kind of forge", "gitea", func(_ *testenv.Forge, c *config.Config) { c.Forge.Kind = "gitlab" }, CheckFailed, "FRG007", []string{"not as gitlab does", "check forge.kind and forge.url"}},
		{"another repository", "gitea", func(_ *testenv.Forge, c *config.Config) { c.Forge.Repository = "platform/felet" }, CheckFailed, "FRG003", []string{"platform/felet"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			host, c := forgeFor(t, tt.kind)
			host.Git().Now = func() time.Time { return now }
			tt.change(host, &c)
			d := &doctor{config: c, now: func() time.Time { return now }, out: outFor(t, c)}
			got := d.checkForge(t.Context())[0]
			code, text := "", got.Detail
			if got.Problem != nil {
				code, text = got.Problem.Code, text+" "+got.Problem.Error()
			}
			if got.State != tt.state || code != tt.code || got.Group != "forge" || strings.Contains(text, "canary") {
				t.Errorf("got %+v, want %s %s", got, tt.state, tt.code)
			}
			for _, want := range tt.says {
				if !strings.Contains(text, want) {
					t.Errorf("%q is not said: %s", want, text)
				}
			}
		})
	}
}

func TestDoctor_SaysHowTheForgeTellsUs(t *testing.T) {
	_, c := forgeFor(t, "gitea")
	for _, tt := range []struct {
		receivers map[string]config.Receiver
		want      string
	}{{nil, "every 5m0s (forge.poll)"}, {map[string]config.Receiver{"zot": {Kind: "zot"}}, "every 5m0s"}, {map[string]config.Receiver{"fleet": {Kind: "gitea"}}, "/hooks/fleet"}} {
		c.Webhooks.Receivers = tt.receivers
		if got := (&doctor{config: c}).checkTold(); !strings.Contains(got.Detail, tt.want) {
			t.Errorf("got %+v, want %q", got, tt.want)
		}
	}
}

func TestAdvise_Forge(t *testing.T) {
	at := func(status int, header map[string]string, body string) func(*testing.T, *config.Config) {
		return func(t *testing.T, c *config.Config) { c.Forge.URL = answering(t, status, header, body) }
	}
	for _, tt := range []struct {
		name   string
		change func(*testing.T, *config.Config)
		code   string
		says   []string
	}{
		{"401", at(401, nil, `{"message":"token is required"}`), "FRG001", []string{"forge 127.0.0.1:", "the token of env POUNDLOCK_TEST_FORGE", "token is required", "write:issue"}},
		{"403", at(403, nil, `{"message":"token does not have at least one of required scope(s), required=[write:issue], token scope=read:user"}`), "FRG002", []string{"may not read proposal 1", "asks for write:issue"}},
		{"404", at(404, nil, `{}`), "FRG003", []string{"platform/fleet", "forge.repository"}},
		{"429", at(429, map[string]string{"Retry-After": "600"}, ""), "FRG004", []string{"09:10:00 UTC", "webhooks"}},
		{"502", at(502, nil, "<html>"), "FRG005", []string{"502 Bad Gateway"}},
		{"422", at(422, nil, `{"message":"branch is gone"}`), "FRG006", []string{"branch is gone"}},
		{"a page", at(200, nil, "<html>log in</html>"), "FRG007", []string{"not as gitea does"}},
		{"moved", at(302, map[string]string{"Location": "https://other.example/x"}, ""), "FRG008", []string{"https://other.example/x"}},
		{"a key that is none", func(_ *testing.T, c *config.Config) {
			c.Forge.Kind, c.Forge.App = "github", config.ForgeApp{ID: 1, Key: config.Secret{Env: "POUNDLOCK_TEST_FORGE"}}
		}, "FRG009", []string{"not in PEM form"}},
		{"nobody there", func(_ *testing.T, c *config.Config) { c.Forge.URL = "http://127.0.0.1:1" }, "NET002", []string{"forge 127.0.0.1:1"}},
		{"no secret", func(_ *testing.T, c *config.Config) { c.Forge.Token = config.Secret{Env: "POUNDLOCK_TEST_NOT_SET"} }, "CFG017", []string{"POUNDLOCK_TEST_NOT_SET"}},
		{"plain http that nobody allowed", func(t *testing.T, c *config.Config) {
			at(200, nil, "{}")(t, c)
			c.Forge.Insecure = false
		}, "NET006", []string{"insecure: true"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Setenv("POUNDLOCK_TEST_FORGE", "canary-of-ours")
			c := config.Default()
			c.Git.URL = "https://git.example/platform/fleet.git"
			c.Forge.Kind, c.Forge.Insecure, c.Forge.Token = "gitea", true, config.Secret{Env: "POUNDLOCK_TEST_FORGE"}
			tt.change(t, &c)
			f := must(forge.Dial(forgeOptions(c, outFor(t, c).Impatient(), func() time.Time { return time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC) })))(t)
			_, err := f.Proposal(t.Context(), 1)
			all := Advise(c, err)
			if len(all) != 1 || all[0].Code != tt.code || all[0].Fix == "" {
				t.Fatalf("want %s alone, with a fix, of %v:\n%v", tt.code, err, all)
			}
			for _, want := range tt.says {
				if !strings.Contains(all[0].Error(), want) {
					t.Errorf("%q is not said:\n%v", want, all[0])
				}
			}
			if strings.Contains(all.Error(), "canary") {
				t.Errorf("a secret is shown:\n%v", all)
			}
		})
	}
}

// A forge that is busy keeps nobody from fetching the repository at the same host.
func TestForge_BusyAPIHoldsUpNoGit(t *testing.T) {
	host, c := forgeFor(t, "gitea")
	host.Fail(testenv.Always(testenv.OfPath("GET", "/pulls/1"), testenv.Fault{Status: 429, RetryAfter: 30 * time.Second}))
	out := outFor(t, c)
	f := must(forge.Dial(forgeOptions(c, out.Impatient(), time.Now)))(t)
	if _, err := f.Proposal(t.Context(), 1); Advise(c, err)[0].Code != "FRG004" {
		t.Fatalf("got %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second) // sooner than the forge wants to be asked
	defer cancel()
	req := must(http.NewRequestWithContext(ctx, http.MethodGet, host.CloneURL()+"/info/refs?service=git-upload-pack", nil))(t)
	resp := must(out.RoundTrip(req))(t)
	resp.Body.Close()
	if resp.StatusCode != http.StatusUnauthorized {
		t.Errorf("got %s", resp.Status)
	}
}
