package render

import (
	"fmt"
	"slices"
	"strings"

	"github.com/poundlock/poundlock/internal/mirror"
)

// talosMirror is what Talos makes of the mirror of one host.
type talosMirror struct {
	endpoints    []string
	skipFallback bool
}

// talosDocument is a RegistryMirrorConfig (docs.siderolabs.com, configuration reference of Talos).
type talosDocument struct {
	APIVersion string `yaml:"apiVersion,required"`
	Kind       string `yaml:"kind,required"`
	Name       string `yaml:"name,required"`
	Endpoints  []struct {
		URL          string `yaml:"url,required"`
		OverridePath bool   `yaml:"overridePath"`
		Where        mirror.Position
	} `yaml:"endpoints"`
	SkipFallback bool `yaml:"skipFallback"`
}

// talosMachineMirror is an item of machine.registries.mirrors.
type talosMachineMirror struct {
	Endpoints    []string `yaml:"endpoints"`
	OverridePath bool     `yaml:"overridePath"`
	SkipFallback bool     `yaml:"skipFallback"`
}

// readTalos gives the mirrors by host of both forms, and what Talos would refuse or misread. Documents of other kinds,
// and what else a machine configuration holds, are passed over.
func readTalos(name string, data []byte) (all map[string]talosMirror, ps mirror.Problems) {
	all = map[string]talosMirror{}
	docs, ps := mirror.ParseDocuments(name, data)
	for _, doc := range docs {
		if kind, _ := doc.Key("kind").Text(); kind == "RegistryMirrorConfig" {
			ps = append(ps, readTalosDocument(doc, all)...)
		}
		mirrors := doc.Find("machine", "registries", "mirrors")
		for _, host := range mirrors.Keys() {
			var m talosMachineMirror
			ps = append(ps, mirrors.Key(host).DecodeAs("machine.registries.mirrors."+host, &m)...)
			ps = append(ps, checkMirrorName(host, mirrors.KeyWhere(host))...)
			for i, text := range m.Endpoints {
				ps = append(ps, checkTalosEndpoint(text, m.OverridePath, mirrors.Find(host, "endpoints", fmt.Sprint(i)).Where())...)
			}
			all[host] = talosMirror{m.Endpoints, m.SkipFallback}
		}
	}
	return all, ps
}

func readTalosDocument(doc mirror.Node, all map[string]talosMirror) mirror.Problems {
	var d talosDocument
	ps := doc.Decode(&d)
	where := doc.Key("name").Where()
	if d.Name != "" {
		ps = append(ps, checkMirrorName(d.Name, where)...)
	}
	if d.APIVersion != "" && d.APIVersion != "v1alpha1" {
		ps.Add("RND056", doc.Key("apiVersion").Where(), "write v1alpha1", "a RegistryMirrorConfig of another version")
		ps[len(ps)-1].Why = "Talos refuses the whole configuration"
	}
	if _, twice := all[d.Name]; twice {
		ps.Add("RND059", where, "keep one of them, with all endpoints", "a second mirror of %s", mirror.OneLine(d.Name))
		ps[len(ps)-1].Why = "Talos refuses two documents of one kind and name"
	}
	m := talosMirror{skipFallback: d.SkipFallback}
	for _, e := range d.Endpoints {
		ps = append(ps, checkTalosEndpoint(e.URL, e.OverridePath, e.Where)...)
		m.endpoints = append(m.endpoints, e.URL)
	}
	all[d.Name] = m
	return ps
}

// checkTalosEndpoint: without overridePath containerd appends /v2 to any path.
func checkTalosEndpoint(text string, override bool, where mirror.Position) mirror.Problems {
	u, ps := checkAddress(text, where)
	if u == nil {
		return ps
	}
	hasPath, complete := strings.Trim(u.Path, "/") != "", slices.Contains(strings.Split(u.Path, "/"), "v2")
	switch {
	case override && !complete:
		ps.Add("RND024", where, "write https://host/v2/path", "overridePath with a path without /v2")
		ps[0].Why = "with overridePath the path is used as it is, and registries serve /v2/... only"
	case !override && hasPath && !strings.HasSuffix(u.Path, "/v2") && !isGateway(u.Path+"/"):
		ps.Add("RND024", where, "write https://host/v2/path and overridePath: true", "an endpoint with a path and without overridePath")
		ps[0].Why = "/v2 is put behind the path, which registries do not serve"
	}
	return ps
}
