package config

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/poundlock/poundlock/internal/mirror"
)

// outletFile is all that `poundlock epr` needs.
const outletFile = "version: 1\nregistries: {local: {host: registry.example.org, prefix: mirror}}\n"

func codesOf(t *testing.T, err error) (all []string) {
	t.Helper()
	var ps mirror.Problems
	if err != nil && !errors.As(err, &ps) {
		t.Fatal(err)
	}
	for _, p := range ps {
		all = append(all, p.Code+" "+p.Path)
	}
	slices.Sort(all)
	return all
}

func TestEPR_MistakesAreTold(t *testing.T) {
	for name, tt := range map[string]struct {
		epr  string
		want []string
	}{
		"all of it":           {"{listen: 0.0.0.0:8080, ports: {elastic/production: 0.0.0.0:8081, elastic/9.3.0: 0.0.0.0:8082}, tls: {certFile: /c, keyFile: /k}, refresh: 30s}", nil},
		"nothing":             {"{}", nil},
		"no address":          {"{listen: here}", []string{"CFG007 epr.listen"}},
		"no channel":          {"{ports: {production: 0.0.0.0:8081}}", []string{"CFG135 epr.ports.production"}},
		"one port twice":      {"{listen: 0.0.0.0:8080, ports: {elastic/production: 127.0.0.1:8080}}", []string{"CFG136 epr.ports.elastic/production"}},
		"any port twice":      {"{listen: 0.0.0.0:0, ports: {elastic/production: 127.0.0.1:0}}", nil},
		"the port of listen":  {"{listen: 0.0.0.0:8686}", []string{"CFG136 epr.listen"}},
		"refresh":             {"{listen: 0.0.0.0:8080, refresh: 10ms}", []string{"CFG137 epr.refresh"}},
		"a key alone":         {"{listen: 0.0.0.0:8080, tls: {keyFile: /k}}", []string{"CFG001 epr.tls.certFile"}},
		"a certificate alone": {"{listen: 0.0.0.0:8080, tls: {certFile: /c}}", []string{"CFG001 epr.tls.keyFile"}},
		"nobody to show it":   {"{tls: {certFile: /c, keyFile: /k}}", []string{"CFG138 epr.tls"}},
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "config.yaml")
			text := outletFile + "site: berlin\ngit: {url: https://git.example.org/fleet.git}\nepr: " + tt.epr + "\n"
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := Load(file, nil, nil); !slices.Equal(codesOf(t, err), tt.want) {
				t.Errorf("got %q: %v, want %q", codesOf(t, err), err, tt.want)
			}
		})
	}
}

func TestLoadOutlet_NeedsTheLocalRegistryAlone(t *testing.T) {
	for name, tt := range map[string]struct {
		text string
		want []string
	}{
		"as little as is needed":  {outletFile + "epr: {listen: 0.0.0.0:8080}\n", nil},
		"the daemon's":            {outletFile + "site: berlin\ngit: {url: https://git.example.org/fleet.git, auth: {token: {file: /nowhere}}}\nepr: {listen: 0.0.0.0:8080}\n", nil},
		"no local registry":       {"version: 1\nepr: {listen: 0.0.0.0:8080}\n", []string{"CFG001 registries.local"}},
		"a login that is missing": {"version: 1\nregistries: {local: {host: registry.example.org, auth: {token: {file: /nowhere}}}}\nepr: {listen: 0.0.0.0:8080}\n", []string{"CFG017 registries.local.auth.token"}},
		"a mistake of epr":        {outletFile + "epr: {listen: 0.0.0.0:8080, refresh: 2h}\n", []string{"CFG137 epr.refresh"}},
		"an unknown key":          {outletFile + "epr: {listens: 0.0.0.0:8080}\n", []string{"DOC002 epr.listen"}},
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "epr.yaml")
			if err := os.WriteFile(file, []byte(tt.text), 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := LoadOutlet(file, nil, nil); !slices.Equal(codesOf(t, err), tt.want) {
				t.Errorf("got %q: %v, want %q", codesOf(t, err), err, tt.want)
			}
		})
	}
}
