package render

import (
	"path"
	"regexp"
	"slices"

	"github.com/poundlock/poundlock/internal/mirror"
)

// lintHosts finds what containerd would ignore or misread, and a fallback to the upstream that nobody asked for.
func lintHosts(name string, data []byte) mirror.Problems {
	_, ps := readHosts(name, data)
	if slices.ContainsFunc(ps, func(p mirror.Problem) bool { return p.Why == asksUpstream || p.Code == "RND021" || p.Code == "RND028" }) {
		return ps // the upstream is asked for a graver reason
	}
	return append(ps, lintFallback(name, data)...)
}

// checkAsked tells of a host that pulls never come to, whatever is written for it.
func (e hostsEndpoint) checkAsked(where mirror.Position) (ps mirror.Problems) {
	if e.push && !e.pull && !e.resolve {
		ps.Add("RND025", where, `write capabilities = ["pull", "resolve"]`, "a host that may be pushed to only")
		ps[0].Why = "no pull ever asks it: containerd goes on to the next host, the upstream last"
	}
	return ps
}

// fallbackWord is the beginning of the comment that says that the upstream is meant to be asked.
const fallbackWord = "# fallback"

var fallbackComment = regexp.MustCompile(`(?m)^[ \t]*# ?fallback\b`)

// lintFallback tells of a file without server: containerd then asks the upstream of the image last, which nothing in the
// file says. Who wants it names the upstream as server, or says so by a comment.
func lintFallback(name string, data []byte) (ps mirror.Problems) {
	t, ps := readTOML(name, data, asksUpstream)
	hosts, _ := t.root["host"].(map[string]any)
	if server, _ := t.root["server"].(string); len(ps) > 0 || server != "" || len(hosts) == 0 || fallbackComment.Match(data) {
		return nil
	}
	order, _ := t.hostTables(hosts)
	if len(order) == 0 {
		return nil // told already: none is ever asked
	}
	upstream := "the upstream's address"
	if host := hostOfFolder(name); host != "" {
		upstream = upstreamEndpoint(host).address()
	}
	ps.Add("RND028", t.where("host", order[0]), `write server = with the address of the mirror at the top; where the upstream is meant to be asked, write server = "`+mirror.OneLine(upstream)+`" or the comment `+fallbackWord,
		"there is no server")
	ps[0].Why = "containerd appends the upstream to the hosts, and asks it for what they do not answer"
	return ps
}

func (e hostsEndpoint) address() string { return e.scheme + "://" + e.host }

// NamedFile is a file that another file names, and where.
type NamedFile struct {
	Path  string
	Where mirror.Position
}

// FilesBeside gives the files of certificates that a hosts.toml names by a path relative to its own folder, where
// containerd looks for them. A file of another kind names none.
func FilesBeside(kind, name string, data []byte) (all []NamedFile) {
	if kind != "containerd" {
		return nil
	}
	t, ps := readTOML(name, data, asksUpstream)
	if len(ps) > 0 {
		return nil
	}
	add := func(table map[string]any, at ...string) {
		for _, file := range texts(table["ca"]) {
			if file != "" && !path.IsAbs(file) {
				all = append(all, NamedFile{file, t.where(append(at, "ca")...)})
			}
		}
	}
	add(t.root)
	hosts, _ := t.root["host"].(map[string]any)
	order, _ := t.hostTables(hosts)
	for _, address := range slices.Compact(slices.Sorted(slices.Values(order))) {
		table, _ := hosts[address].(map[string]any)
		add(table, "host", address)
	}
	return all
}
