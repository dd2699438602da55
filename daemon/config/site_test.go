package config

import (
	"strings"
	"testing"

	"github.com/poundlock/poundlock/internal/mirror"
)

func TestSite_MistakesAreToldAtTheirKeys(t *testing.T) {
	key := Secret{Env: "SITE_KEY"}
	for name, c := range map[string]struct {
		site Site
		want []string
	}{
		"nothing":                {Site{}, nil},
		"all":                    {Site{Key: key, Password: Secret{File: "/run/p"}, Sign: []string{"production", "staging"}, Verifier: "https://poundlock.example.org/berlin"}, nil},
		"urn":                    {Site{Key: key, Verifier: "urn:example:berlin"}, nil},
		"no key":                 {Site{Password: key, Sign: []string{"production"}, Verifier: "https://x.example"}, []string{"CFG060 trust.site.password", "CFG060 trust.site.sign", "CFG060 trust.site.verifier"}},
		"verifier without host":  {Site{Key: key, Verifier: "berlin"}, []string{"CFG061 trust.site.verifier"}},
		"verifier with password": {Site{Key: key, Verifier: "https://u:canary@x.example"}, []string{"CFG061 trust.site.verifier"}},
		"no stage":               {Site{Key: key, Sign: []string{"Production!"}}, []string{"CFG062 trust.site.sign.0"}},
		"each platform":          {Site{Key: key, Sign: []string{"production"}, Platforms: "each"}, nil},
		"platforms, no key":      {Site{Platforms: "index"}, []string{"CFG060 trust.site.platforms"}},
		"some platforms":         {Site{Key: key, Platforms: "linux/amd64"}, []string{"CFG053 trust.site.platforms"}},
		"stage twice":            {Site{Key: key, Sign: []string{"production", "production"}}, []string{"CFG063 trust.site.sign.1"}},
		"key in clear":           {Site{Key: Secret{File: "-----BEGIN PRIVATE KEY-----\ncanary"}}, []string{"DOC012 trust.site.key.file"}},
	} {
		k := &checker{where: func(path ...string) mirror.Position { return mirror.Position{File: strings.Join(path, ".")} }}
		k.site(c.site, keyPath{"trust", "site"})
		var got []string
		for _, p := range k.ps {
			got = append(got, p.Code+" "+p.Where.File)
		}
		if strings.Join(got, "\n") != strings.Join(c.want, "\n") || len(k.ps) > 0 && strings.Contains(k.ps.Error(), "canary") {
			t.Errorf("%s: got %v, want %v", name, got, c.want)
		}
	}
}
