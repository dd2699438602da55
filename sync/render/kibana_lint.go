package render

import (
	"bytes"
	"maps"
	"net/url"
	"path"
	"slices"
	"strings"

	"github.com/poundlock/poundlock/internal/mirror"
)

// readsKibana knows settings of Fleet, wherever they stand.
func readsKibana(name string, data []byte) bool {
	return isDocument(name) && (strings.HasPrefix(path.Base(name), "kibana") || bytes.Contains(data, []byte("kind: Kibana\n"))) &&
		slices.ContainsFunc([]string{"registryUrl", "registryProxyUrl", "isAirGapped"}, func(key string) bool { return bytes.Contains(data, []byte(key)) })
}

// setting is one setting of Kibana as it was written.
type setting struct {
	node mirror.Node
	at   mirror.Position
}

// kibanaSettings gives the settings of Fleet in a kibana.yml, in a ConfigMap that holds one, and in a Kibana resource, by their
// whole name: Kibana takes keys with dots and nested ones alike.
func kibanaSettings(name string, data []byte, ps *mirror.Problems) map[string]setting {
	docs, wrong := mirror.ParseDocuments(name, data)
	*ps = append(*ps, wrong...)
	found := map[string]setting{}
	for _, root := range docs {
		switch text(root.Key("kind")) {
		case "Kibana":
			flatten(root.Find("spec", "config"), "", found)
		case "ConfigMap":
			for _, key := range root.Key("data").Keys() {
				if path.Ext(key) != ".yml" && path.Ext(key) != ".yaml" {
					continue
				}
				inner, wrong := root.Find("data", key).Inner()
				*ps = append(*ps, wrong...)
				flatten(inner, "", found)
			}
		default:
			flatten(root, "", found)
		}
	}
	return found
}

func flatten(n mirror.Node, path string, found map[string]setting) {
	for _, key := range n.Keys() {
		at := strings.TrimPrefix(path+"."+key, ".")
		if child := n.Key(key); child.IsMapping() {
			flatten(child, at, found)
		} else {
			found[at] = setting{child, n.KeyWhere(key)}
		}
	}
}

// lintKibana finds settings with which Fleet reads another registry than is meant, or none.
func lintKibana(name string, data []byte) (ps mirror.Problems) {
	found := kibanaSettings(name, data, &ps)
	if ps.Stop() {
		return ps
	}
	named := false
	for _, key := range slices.Sorted(maps.Keys(found)) {
		last := key[strings.LastIndexByte(key, '.')+1:]
		for _, known := range []string{settingURL, settingProxy, settingAirGapped} {
			if !strings.HasSuffix(strings.ToLower(known), "."+strings.ToLower(last)) {
				continue
			}
			if named = true; key != known {
				ps.Add("RND143", found[key].at, "write "+known, "%s is no setting of Kibana", key)
				ps[len(ps)-1].Why = "Kibana does not start with an unknown setting, and the old names ended with 7.x"
			}
		}
	}
	if !named && len(ps) == 0 {
		ps.Add("RND143", mirror.Position{File: name}, "write "+settingURL, "the file says nothing of a package registry")
	}
	registry, proxy, apart := found[settingURL], found[settingProxy], found[settingAirGapped]
	if !registry.node.IsZero() {
		ps = append(ps, lintRegistryURL(registry)...)
	} else if !proxy.node.IsZero() {
		ps.Add("RND143", proxy.at, "write "+settingURL+" beside it", "a proxy without %s", settingURL)
		ps[len(ps)-1].Why = "Kibana asks epr.elastic.co through the proxy, whatever isAirGapped says"
	} else if !apart.node.IsZero() && text(apart.node) == "true" {
		ps.Add("RND143", apart.at, "write "+settingURL+" beside it", "isAirGapped without %s: Fleet asks no registry at all", settingURL)
	}
	if !proxy.node.IsZero() {
		ps = append(ps, lintAddress(settingProxy, proxy)...)
	}
	if value := text(apart.node); !apart.node.IsZero() && value != "true" && value != "false" {
		ps.Add("RND143", apart.node.Where(), "write true or false", "%s: want true or false", settingAirGapped)
	}
	return ps
}

func lintAddress(name string, s setting) (ps mirror.Problems) {
	u, err := url.Parse(text(s.node))
	switch {
	case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https":
		ps.Add("RND143", s.node.Where(), "write https://host[:port]", "%s is no address over http or https", name)
	case u.User != nil:
		ps.Add("RND143", s.node.Where(), "take user and password out, and change the password if others could read it", "%s holds a user", name)
	}
	return ps
}

func lintRegistryURL(s setting) (ps mirror.Problems) {
	if ps = lintAddress(settingURL, s); len(ps) > 0 {
		return ps
	}
	address := text(s.node)
	u, _ := url.Parse(address)
	switch host := strings.ToLower(u.Hostname()); {
	case strings.HasSuffix(address, "/"):
		ps.Add("RND143", s.node.Where(), "delete the slash at the end", "%s ends with a slash", settingURL)
		ps[len(ps)-1].Why = "Kibana puts /search behind it, and a package registry answers //search with 404"
	case host == "elastic.co" || strings.HasSuffix(host, ".elastic.co"):
		ps.Add("RND143", s.node.Where(), "write the address of a channel", "%s leads to the upstream, %s", settingURL, mirror.OneLine(host))
	case u.RawQuery != "" || u.Fragment != "":
		ps.Add("RND143", s.node.Where(), "cut the address before ? or #", "%s holds a query", settingURL)
	}
	return ps
}
