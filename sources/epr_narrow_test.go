package sources

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/poundlock/poundlock/testenv"
)

// liveHub asks a server.
type liveHub struct{ packageHub }

func (h *liveHub) Since(ctx context.Context, url string, _ int64, _ Version) (io.ReadCloser, Version, error) {
	h.since = append(h.since, url)
	body, err := fetch(ctx, url)
	return io.NopCloser(strings.NewReader(body)), Version{}, err
}

func fetch(ctx context.Context, url string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("the server answers %s: %s", resp.Status, text)
	}
	return string(text), err
}

// What is left to the package registry changes nothing: the same is chosen as from the list of everything.
func TestEPR_WhatUpstreamChoosesIsWhatIsChosenHere(t *testing.T) {
	var packages []testenv.EPRPackage
	for i, name := range []string{"nginx", "system", "sql", "dash", "aws"} {
		for j, version := range []string{"0.9.0", "1.0.0", "1.1.0-beta1", "1.1.0", "2.0.0", "2.1.0-rc.1"} {
			p := testenv.EPRPackage{Name: name, Version: version, Type: []string{"integration", "input", "content"}[(i+j/4)%3],
				Kibana: []string{"", "^8.12.0", "^8.12.0 || ^9.0.0", "^9.0.0", "~7.x.x"}[(i+j)%5], Categories: [][]string{nil, {"security"}, {"cloud", "security"}}[(i*j)%3],
				Format: []string{"2.3.0", "3.0.0", "3.4.2"}[j/2]}
			if i == 3 && j == 3 {
				p.Release = "experimental"
			}
			packages = append(packages, p)
		}
	}
	epr, err := testenv.NewEPR(testenv.EPROptions{Prefix: "/registry"}, packages...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(epr.Close)
	n := 0
	for _, names := range []string{"", ", packages: [nginx]", ", packages: ['s*', aws]", ", packages: [dash-1.1.0]", ", packages: [sql-1.1.0, sql]"} {
		for _, kibana := range []string{"", ", kibana: [8.19.0]", ", kibana: [9.3.0-SNAPSHOT, 7.17.0]"} {
			for _, rest := range []string{"", ", versions: all", ", versions: 2, prereleases: true", ", prereleases: true", ", types: [input]", ", types: [input, content]",
				", categories: [security]", ", exclude: ['*-2.*']"} {
				for _, spec := range []string{"", ", spec: {max: '3.0'}", ", spec: {min: '3.0', max: '3.4'}"} {
					rules := names + kibana + rest
					set, files := askingEPR(t, "url: "+epr.URL()+rules+spec)
					live := &liveHub{}
					l, err := Ask(t.Context(), set, files, live, &remembers{now: noon}, noon)
					asked, _, _ := strings.Cut(live.since[0], "?")
					everything := asked + "?all=true&prerelease=true"
					if spec != "" { // which only upstream can tell
						everything += strings.NewReplacer(", spec: {", "&", "max: ", "&spec.max=", "min: ", "&spec.min=", "'", "", ", ", "", "}", "").Replace(spec)
					}
					body, problem := fetch(t.Context(), everything)
					if problem != nil {
						t.Fatal(problem)
					}
					want, wantErr := Ask(t.Context(), set, files, &packageHub{body: body}, &remembers{now: noon}, noon)
					if idsOf(l) != idsOf(want) || (err == nil) != (wantErr == nil) || len(live.since) != 1 {
						t.Errorf("%s: by %s\ngot %s (%v)\nwant %s (%v)", rules+spec, live.since, idsOf(l), err, idsOf(want), wantErr)
					}
					n++
				}
			}
		}
	}
	if n != 360 {
		t.Errorf("%d questions were asked", n)
	}
}
