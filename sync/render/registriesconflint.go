package render

import (
	"fmt"
	"slices"
	"strings"

	"github.com/poundlock/poundlock/internal/mirror"
)

// registriesConf is a registries.conf in its second version (containers-registries.conf(5)).
type registriesConf []confRegistry

type confRegistry struct {
	prefix, location               string
	insecure, blocked, digestsOnly bool
	mirrors                        []confMirror
}

type confMirror struct {
	location string
	insecure bool
	pulls    string // all, digest-only or tag-only; "" is all
}

// confSource is one place that is asked for an image.
type confSource struct {
	ref               string
	insecure, blocked bool
}

const breaksPulls = "one such line in any of these files breaks every pull of the node"

// readRegistriesConf reads one file and finds what would be refused, passed over or never matched.
func readRegistriesConf(name string, data []byte) (conf registriesConf, ps mirror.Problems) {
	t, ps := readTOML(name, data, breaksPulls)
	if len(ps) > 0 {
		return nil, ps
	}
	if _, old := t.root["registries"]; old {
		ps.Add("RND054", t.where("registries"), "write [[registry]] tables", "this is the first version of the format, which has no mirrors")
		if len(t.root) > 1 {
			ps[0].What, ps[0].Why = "a table of the first version of the format beside those of the second", breaksPulls
		}
	}
	ps = append(ps, t.check(t.root, forms{"registries": isTable, "registry": isTables, "unqualified-search-registries": isTexts, "credential-helpers": isTexts, "short-name-mode": isText,
		"additional-layer-store-auth-helper": isText, "aliases": isTable}, breaksPulls)...)
	for i, host := range texts(t.root["unqualified-search-registries"]) {
		if r, err := mirror.ParseReference(host + "/x/y"); err != nil || r.Repository != "x/y" {
			ps.Add("RND054", t.where("unqualified-search-registries"), "write host or host:port", "unqualified-search-registries: item %d is no host", i+1)
			ps[len(ps)-1].Why = breaksPulls
		}
	}
	if mode, said := t.root["short-name-mode"].(string); said && !slices.Contains([]string{"disabled", "enforcing", "permissive"}, mode) {
		ps.Add("RND054", t.where("short-name-mode"), mirror.Suggest(mode, []string{"disabled", "enforcing", "permissive"}), "short-name-mode: unknown mode")
		ps[len(ps)-1].Why = breaksPulls
	}
	list, _ := t.root["registry"].([]any)
	for i, item := range list {
		if table, ok := item.(map[string]any); ok {
			one, problems := t.readConfRegistry(table, "registry", fmt.Sprint(i))
			conf, ps = append(conf, one), append(ps, problems...)
		}
	}
	return conf, append(ps, t.conflicts(conf)...)
}

func (t tomlFile) readConfRegistry(table map[string]any, at ...string) (r confRegistry, ps mirror.Problems) {
	under := func(key ...string) mirror.Position { return t.where(append(slices.Clone(at), key...)...) }
	ps = t.check(table, forms{"prefix": isText, "location": isText, "insecure": isBool, "blocked": isBool, "mirror-by-digest-only": isBool,
		"mirror": isTables, "pull-from-mirror": isText}, breaksPulls, at...)
	r.insecure, _ = table["insecure"].(bool)
	r.blocked, _ = table["blocked"].(bool)
	r.digestsOnly, _ = table["mirror-by-digest-only"].(bool)
	r.prefix, _ = table["prefix"].(string)
	r.location, _ = table["location"].(string)
	ps = append(ps, checkLocation(r.location, "location", under("location"))...)
	ps = append(ps, checkPrefix(r.prefix, under("prefix"))...)
	r.prefix, r.location = strings.TrimRight(r.prefix, "/"), strings.TrimRight(r.location, "/")
	switch {
	case r.prefix == "" && r.location == "":
		ps.Add("RND054", under(), "write location", "a registry without prefix and location")
	case r.location == "" && !strings.HasPrefix(r.prefix, "*."):
		ps.Add("RND054", under("prefix"), "write location beside it", "a prefix without location")
	}
	if table["pull-from-mirror"] != nil {
		ps.Add("RND054", under("pull-from-mirror"), "move it below [[registry.mirror]]", "pull-from-mirror of a registry that is no mirror")
	}
	if r.prefix == "" {
		r.prefix = r.location
	}
	mirrors, _ := table["mirror"].([]any)
	for i, item := range mirrors {
		fields, _ := item.(map[string]any)
		m, problems := t.readConfMirror(fields, r.digestsOnly, append(slices.Clone(at), "mirror", fmt.Sprint(i))...)
		r.mirrors, ps = append(r.mirrors, m), append(ps, problems...)
	}
	for i := range ps {
		if ps[i].Code == "RND054" {
			ps[i].Why = breaksPulls
		}
	}
	return r, ps
}

func (t tomlFile) readConfMirror(table map[string]any, digestsOnly bool, at ...string) (m confMirror, ps mirror.Problems) {
	under := func(key ...string) mirror.Position { return t.where(append(slices.Clone(at), key...)...) }
	ps = t.check(table, forms{"location": isText, "insecure": isBool, "pull-from-mirror": isText}, breaksPulls, at...)
	m.location, _ = table["location"].(string)
	m.insecure, _ = table["insecure"].(bool)
	m.pulls, _ = table["pull-from-mirror"].(string)
	words := []string{"all", "digest-only", "tag-only"}
	switch {
	case m.location == "":
		ps.Add("RND054", under(), "write location", "a mirror without location")
	case m.pulls != "" && !slices.Contains(words, m.pulls):
		ps.Add("RND054", under("pull-from-mirror"), mirror.Suggest(m.pulls, words), "pull-from-mirror: unknown word %q", mirror.OneLine(m.pulls))
	case m.pulls != "" && digestsOnly:
		ps.Add("RND054", under("pull-from-mirror"), "keep one of the two", "pull-from-mirror together with mirror-by-digest-only")
	}
	ps = append(ps, checkLocation(m.location, "location", under("location"))...)
	m.location = strings.TrimRight(m.location, "/")
	return m, ps
}

// checkLocation finds what cannot be the beginning of an image reference. The value is not repeated, it may hold a
// password.
func checkLocation(text, key string, where mirror.Position) (ps mirror.Problems) {
	text = strings.TrimRight(text, "/")
	if text == "" {
		return nil
	}
	_, err := mirror.ParseReference(text + "/x")
	switch {
	case strings.Contains(text, "://"):
		ps.Add("RND024", where, "write host[:port]/path alone; insecure = true stands for http", "%s with a scheme", key)
	case err != nil:
		ps.Add("RND024", where, "write host[:port]/path, in lower case and without tag", "%s: this is no host and path", key)
	}
	if len(ps) > 0 {
		ps[0].Why = breaksPulls
	}
	return ps
}

func checkPrefix(text string, where mirror.Position) (ps mirror.Problems) {
	if rest, wildcard := strings.CutPrefix(text, "*."); wildcard {
		if strings.ContainsAny(rest, "/:@*") {
			ps.Add("RND054", where, "write *.example.org alone", "prefix: a wildcard with a path or a port")
			ps[0].Why = breaksPulls
		}
		return ps
	}
	ps = checkLocation(text, "prefix", where)
	if host, _, _ := strings.Cut(text, "/"); len(ps) == 0 && (host == "index.docker.io" || host == "registry-1.docker.io") {
		ps.Add("RND025", where, "write docker.io", "prefix: images of Docker Hub are named docker.io")
		ps[0].Why = "it matches nothing, and the upstream is asked"
	}
	return ps
}

// conflicts tells of registries that contradict each other, and of a prefix that a registry above took already.
func (t tomlFile) conflicts(conf registriesConf) (ps mirror.Problems) {
	prefixes, locations := map[string]int{}, map[string]confRegistry{}
	for i, r := range conf {
		where := t.where("registry", fmt.Sprint(i))
		if _, taken := prefixes[r.prefix]; taken && r.prefix != "" {
			ps.Add("RND059", where, "keep one of them, with all mirrors", "a second registry with prefix %s", mirror.OneLine(r.prefix))
			ps[len(ps)-1].Why = "only the first counts"
		}
		prefixes[r.prefix] = i
		other, seen := locations[r.location]
		if seen && r.location != "" && (other.insecure != r.insecure || other.blocked != r.blocked) {
			ps.Add("RND054", where, "say the same in both", "registries with one location and different insecure or blocked")
			ps[len(ps)-1].Why = breaksPulls
		}
		locations[r.location] = r
	}
	return ps
}

// sources gives where an image is asked for, in that order; false where no registry of the file matches. The longest
// prefix counts alone.
func (conf registriesConf) sources(ref string) (all []confSource, known bool) {
	best, length := confRegistry{}, -1
	for _, r := range conf {
		if n := r.matches(ref); n > 0 && len(r.prefix) > length {
			best, length = r, len(r.prefix)
		}
	}
	if length < 0 {
		return nil, false
	}
	rest, byDigest := ref[best.matches(ref):], strings.Contains(ref, "@")
	for _, m := range best.mirrors {
		if byDigest && m.pulls == "tag-only" || !byDigest && (m.pulls == "digest-only" || best.digestsOnly) {
			continue
		}
		all = append(all, confSource{m.location + rest, m.insecure, false})
	}
	last := confSource{best.location + rest, best.insecure, best.blocked}
	if best.location == "" {
		last.ref = ref
	}
	return append(all, last), true
}

// matches gives how many characters of a reference the prefix stands for; 0 where it does not match.
func (r confRegistry) matches(ref string) int {
	if suffix, wildcard := strings.CutPrefix(r.prefix, "*"); wildcard {
		host, _, _ := strings.Cut(ref, "/")
		host, _, _ = strings.Cut(host, ":")
		if strings.HasSuffix(host, suffix) {
			return len(host)
		}
		return 0
	}
	rest, ok := strings.CutPrefix(ref, r.prefix)
	if !ok || r.prefix == "" || rest != "" && !strings.ContainsAny(rest[:1], "/:@") {
		return 0
	}
	return len(r.prefix)
}
