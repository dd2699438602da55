package config

import (
	"strings"
	"testing"

	"github.com/poundlock/poundlock/internal/mirror"
)

func TestSite_MistakesAreToldAtTheirKeys(t *testing.T) {
	key, other := Secret{Env: "SITE_KEY"}, Secret{Env: "RELEASE_KEY"}
	for name, c := range map[string]struct {
		site Site
		want []string
	}{
		"nothing":                {Site{}, nil},
		"all":                    {Site{key, Secret{File: "/run/p"}, "https://poundlock.example.org/berlin", SiteSign{[]string{"production", "staging"}, other, Secret{File: "/run/q"}, "each"}}, nil},
		"statements alone":       {Site{Key: key}, nil},
		"signatures alone":       {Site{Sign: SiteSign{Stages: []string{"production"}, Key: other}}, nil},
		"urn":                    {Site{Key: key, Verifier: "urn:example:berlin"}, nil},
		"no key":                 {Site{Password: key, Verifier: "https://x.example"}, []string{"CFG060 trust.site.password", "CFG060 trust.site.verifier"}},
		"verifier without host":  {Site{Key: key, Verifier: "berlin"}, []string{"CFG061 trust.site.verifier"}},
		"verifier with password": {Site{Key: key, Verifier: "https://u:canary@x.example"}, []string{"CFG061 trust.site.verifier"}},
		"nothing signs": {Site{Key: key, Sign: SiteSign{Stages: []string{"production"}, Password: key, Platforms: "index"}},
			[]string{"CFG060 trust.site.sign.stages", "CFG060 trust.site.sign.password", "CFG060 trust.site.sign.platforms"}},
		"nothing is signed": {Site{Sign: SiteSign{Key: other}}, []string{"CFG060 trust.site.sign.key"}},
		"no stage":          {Site{Sign: SiteSign{Stages: []string{"Production!"}, Key: other}}, []string{"CFG062 trust.site.sign.stages.0"}},
		"some platforms":    {Site{Sign: SiteSign{Stages: []string{"production"}, Key: other, Platforms: "linux/amd64"}}, []string{"CFG053 trust.site.sign.platforms"}},
		"stage twice":       {Site{Sign: SiteSign{Stages: []string{"production", "production"}, Key: other}}, []string{"CFG063 trust.site.sign.stages.1"}},
		"one key for both":  {Site{Key: key, Sign: SiteSign{Stages: []string{"production"}, Key: key}}, []string{"CFG054 trust.site.sign.key"}},
		"key in clear":      {Site{Key: Secret{File: "-----BEGIN PRIVATE KEY-----\ncanary"}}, []string{"DOC012 trust.site.key.file"}},
		"signing in clear":  {Site{Sign: SiteSign{Stages: []string{"production"}, Key: Secret{File: "-----BEGIN PRIVATE KEY-----\ncanary"}}}, []string{"DOC012 trust.site.sign.key.file"}},
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
