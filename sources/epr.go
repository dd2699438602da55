package sources

import (
	"fmt"
	"net/url"
	"regexp"
	"strconv"
	"strings"

	"github.com/poundlock/poundlock/internal/mirror"
)

func init() { register("epr", readEPR, eprDefaults) }

// eprOptions are the options of kind epr: source: {kind: epr, url: https://epr.elastic.co, packages: [nginx], kibana: [9.3.0]}.
type eprOptions struct {
	Kind         string        `yaml:"kind,required" jsonschema_description:"Elastic packages of a package registry, and the site's own; each version moves by itself."`
	URL          string        `yaml:"url" jsonschema:"format=uri,example=https://epr.elastic.co" jsonschema_description:"Address of the package registry; it may have a path. Left out where only own packages are meant, or where the distribution file names it."`
	Packages     []string      `yaml:"packages" jsonschema:"minItems=1,example=nginx,example=aws*,example=endpoint-8.6.1" jsonschema_description:"Which packages: names, globs over names, or name-version for exactly one version, which no other rule but exclude concerns; every package when it is left out."`
	Exclude      []string      `yaml:"exclude" jsonschema:"example=*_otel,example=nginx-1.19.*" jsonschema_description:"Globs over names and over name-version of what is not taken from the package registry, before the newest are chosen."`
	Types        []packageType `yaml:"types" jsonschema:"minItems=1,example=integration" jsonschema_description:"Types of packages: integration, input or content; every type when it is left out."`
	Categories   []string      `yaml:"categories" jsonschema:"minItems=1,example=security" jsonschema_description:"Categories of which a package has one, itself or in a policy template; sub-categories are named themselves. The newest versions are chosen before."`
	Versions     versions      `yaml:"versions" jsonschema:"oneof_type=string;integer,title=a number or all,example=3,example=all" jsonschema_description:"How many of the newest versions of each name are taken, for each Kibana version, or all."`
	Prereleases  bool          `yaml:"prereleases" jsonschema_description:"Takes prereleases such as 2.0.0-beta1 and packages that call themselves experimental, too."`
	Kibana       []string      `yaml:"kibana" jsonschema:"minItems=1,example=9.3.0" jsonschema_description:"Versions of Kibana: only packages that say they work with one of them. What follows the first hyphen, such as -SNAPSHOT, does not count."`
	Spec         specRange     `yaml:"spec" jsonschema_description:"Range of the package format, as the package registry applies it."`
	Distribution string        `yaml:"distribution" jsonschema:"example=elastic/lite.yaml" jsonschema_description:"File with queries, matrix and packages as Elastic's own downloader reads them, relative to desired/, instead of the rules above."`
	Own          []ownPackage  `yaml:"own" jsonschema_description:"The site's own packages."`
	PackagesAt   string        `yaml:"packagesAt" jsonschema_description:"Reference below which own packages are known as an upstream, so that policy tells them apart."`
	Shrink       shrink        `yaml:"shrink" jsonschema:"enum=refuse,enum=allow" jsonschema_description:"Whether an answer may have less than half of the packages of the one before; otherwise what was listed before stays."`
	Where        mirror.Position
}

// eprDefaults take the newest version of each package, as a package registry does. .invalid is a name that no registry can have.
var eprDefaults = eprOptions{Versions: "1", PackagesAt: "packages.invalid", Shrink: "refuse"}

// specRange is a range of versions of the package format.
type specRange struct {
	Min string `yaml:"min" jsonschema:"example=2.3" jsonschema_description:"Lowest, as major.minor."`
	Max string `yaml:"max" jsonschema:"example=3.6" jsonschema_description:"Highest, as major.minor."`
}

// packageType is a type of package. Source: elastic/package-spec : spec/*/manifest.spec.yml.
type packageType string

// UnmarshalText accepts the types that there are.
func (t *packageType) UnmarshalText(b []byte) error {
	switch *t = packageType(b); *t {
	case "integration", "input", "content":
		return nil
	}
	return mirror.UnknownWord{Kind: "type", Word: string(b), Known: []string{"integration", "input", "content"}}
}

// versions says how many versions of each name are meant: a number, or all.
type versions string

// UnmarshalText accepts all and a number from 1 on.
func (v *versions) UnmarshalText(b []byte) error {
	*v = versions(b)
	if n, err := strconv.Atoi(string(b)); *v != "all" && (err != nil || n < 1 || n > maxVersions) {
		return fmt.Errorf("want all, or a number from 1 to %d", maxVersions)
	}
	return nil
}

// Form says how it is written.
func (versions) Form() string {
	return "write how many of the newest versions are taken, such as 3, or all"
}

// maxVersions is the most versions of one name that can be asked for; more is all of them.
const maxVersions = 1000

// newest gives the number; 0 for all.
func (v versions) newest() int {
	n, err := strconv.Atoi(string(v))
	if err != nil {
		return 0
	}
	return n
}

// eprSource is a source of kind epr as it is read.
type eprSource struct {
	options eprOptions
	node    mirror.Node
	given   []byte // files of the fleet repository that the question is made from
	base    *url.URL
	at      string // host and path below which packages of upstream are known
	queries []eprQuery
	pinned  []mirror.Package
	exclude []string
}

// readEPR reads which packages are meant; which there are is asked for, but for own packages that lie in the fleet
// repository.
func readEPR(set mirror.Set, files mirror.Files) (listing, mirror.Problems) {
	s := eprSource{options: eprDefaults, node: set.Source.Node}
	ps := s.node.DecodeAs("source", &s.options)
	ps = ps.Plus(s.readRules(files))
	ps = ps.Plus(s.readAddress(ps))
	own, problems := s.readOwn(files, ps)
	if ps = ps.Plus(problems); len(ps) > 0 {
		return listing{packages: true}, ps
	}
	l := listing{entries: own.entries, made: own.made, packages: true, follow: true, origin: own.origin}
	if s.base != nil {
		l.packagesFrom, l.packagesAs = s.base.String(), s.at
	}
	if s.base == nil && len(own.asked) == 0 {
		return l, nil
	}
	l.origin = mirror.DigestOf(append([]byte("epr 1\n"), s.given...))
	q := eprQuestion{eprSource: s, own: own.asked, question: questionOf(set, l)}
	for _, e := range own.entries {
		q.ownNames = append(q.ownNames, e.Name)
	}
	l.ask = q.ask
	return l, nil
}

// readAddress reads where the package registry is.
func (s *eprSource) readAddress(told mirror.Problems) (ps mirror.Problems) {
	node := s.node.Key("url")
	switch o := s.options; {
	case told.Touch("source.url"), told.Touch("source.distribution"):
		return nil
	case s.base == nil && o.URL == "" && len(s.queries)+len(s.pinned) > 0:
		ps.Add("SRC110", o.Where, "write url: https://epr.elastic.co", "source: packages are asked for, and no package registry is named")
		return ps
	case s.base == nil && o.URL == "" && len(o.Own) == 0:
		ps.Add("SRC110", o.Where, "write url: https://epr.elastic.co, or name own packages", "source: neither a package registry nor own packages are named")
		return ps
	case o.URL == "" && s.base == nil:
		return nil
	case o.URL != "":
		base, err := parseBase(o.URL)
		if err != nil {
			ps.AddAt("source.url", "SRC110", node.Where(), "write https://host/path; a credential belongs into config.yaml", "source.url is no address of a package registry")
			return ps
		}
		s.base = base
	}
	s.at = hostOf(s.base) + imagePath(s.base.Path)
	if at, err := mirror.ParseReference(s.at + "/x"); err != nil || at.Name() != s.at+"/x" {
		ps.AddAt("source.url", "SRC110", node.Where(), "write the full name of the host, and its port where that is not the usual one", "source.url: packages of %s cannot be named", s.base.Host)
	}
	return ps
}

// parseBase reads the address of a package registry.
func parseBase(text string) (*url.URL, error) {
	at, err := url.Parse(text)
	if err != nil || !isWeb(text) || at.Host == "" || at.User != nil || at.RawQuery != "" || at.ForceQuery || at.Fragment != "" || at.Opaque != "" {
		return nil, errAddress
	}
	at.Path, at.RawPath = strings.TrimRight(at.Path, "/"), ""
	return at, nil
}

// isWeb says whether an address is of a web server.
func isWeb(address string) bool {
	return strings.HasPrefix(address, "https://") || strings.HasPrefix(address, "http://")
}

// hostOf gives the host of an address as references name it: without the port that goes without saying.
func hostOf(u *url.URL) string {
	host := strings.ToLower(u.Host)
	if u.Scheme == "http" {
		return strings.TrimSuffix(host, ":80")
	}
	return strings.TrimSuffix(host, ":443")
}

var noPath = regexp.MustCompile(`[^a-z0-9/]+`)

// imagePath gives the path of an address as a repository can have it, with a slash before it; "" for none.
func imagePath(path string) string {
	var parts []string
	for _, part := range strings.Split(noPath.ReplaceAllString(strings.ToLower(path), "-"), "/") {
		if part = strings.Trim(part, "-"); part != "" {
			parts = append(parts, part)
		}
	}
	if len(parts) == 0 {
		return ""
	}
	return "/" + strings.Join(parts, "/")
}

// packageImage gives the reference under which a package is known below a place. Not every name of a package is one of a
// repository: __a and a_ are none.
func packageImage(at string, p mirror.Package) (mirror.Reference, error) {
	return mirror.ParseReference(at + "/" + p.Name + ":" + p.Tag())
}
