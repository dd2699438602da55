package sources

import (
	"slices"
	"strconv"

	"github.com/poundlock/poundlock/internal/mirror"
)

// distributionFile is the configuration of Elastic's own downloader. Source: elastic/package-registry : cmd/distribution/
// config.go and README.md.
type distributionFile struct {
	Address      string                `yaml:"address"`
	VersionLimit int                   `yaml:"version.limit"`
	Matrix       []distributionQuery   `yaml:"matrix"`
	Queries      []distributionQuery   `yaml:"queries"`
	Packages     []distributionPackage `yaml:"packages"`
	Actions      []mirror.Node         `yaml:"actions"`
	Where        mirror.Position
}

// distributionQuery are parameters of one search; a query is made with each entry of the matrix, and wins over it.
type distributionQuery struct {
	Package      string `yaml:"package"`
	All          bool   `yaml:"all"`
	Prerelease   bool   `yaml:"prerelease"`
	Type         string `yaml:"type"`
	Kibana       string `yaml:"kibana.version"`
	SpecMin      string `yaml:"spec.min"`
	SpecMax      string `yaml:"spec.max"`
	VersionLimit *int   `yaml:"version.limit"`
	Where        mirror.Position
}

type distributionPackage struct {
	Name    string `yaml:"name,required"`
	Version string `yaml:"version,required"`
	Where   mirror.Position
}

// distributionAddress is what the downloader asks where the file names no address.
const distributionAddress = "https://epr.elastic.co"

// maxQueries bounds what matrix times queries may give.
const maxQueries = 20_000

// readDistribution reads the file that stands instead of rules.
func (s *eprSource) readDistribution(files mirror.Files) (ps mirror.Problems) {
	for _, key := range eprRules {
		if !s.node.Key(key).IsZero() {
			ps.Add("SRC113", s.node.KeyWhere(key), "write it into that file, or delete one of them", "source.%s stands beside distribution, whose file says which packages are meant", key)
		}
	}
	name, data, problems := open(files, s.options.Distribution, s.node.Key("distribution").Where())
	if ps = append(ps, problems...); len(problems) > 0 {
		return pathed(ps, "source.distribution")
	}
	var d distributionFile
	problems = mirror.Decode(name, data, &d)
	doc, _ := mirror.ParseDocument(name, data)
	problems = problems.Plus(d.check(doc))
	s.given = data
	if s.options.URL == "" {
		address := d.Address
		if address == "" {
			address = distributionAddress
		}
		base, err := parseBase(address)
		if err != nil {
			problems.Add("SRC110", doc.Key("address").Where(), "write https://host/path", "address is no address of a package registry")
		}
		s.base = base
	}
	for _, p := range d.Packages {
		pinned, err := mirror.NewPackage(p.Name, p.Version)
		switch {
		case err != nil && (p.Name == "" || p.Version == ""): // told already
		case err != nil:
			problems.Add("SRC112", p.Where, "write name: nginx and version: 1.20.0", "packages: %v", err)
		case !slices.Contains(s.pinned, pinned): // the downloader takes it once
			s.pinned = append(s.pinned, pinned)
		}
	}
	queries, more := d.queries()
	s.queries = queries
	return pathed(append(ps, append(problems, more...)...), "source.distribution")
}

// pathed says of problems of a file that they are about the key that names it, so that nothing is told of what follows.
func pathed(ps mirror.Problems, path string) mirror.Problems {
	for i := range ps {
		ps[i].Path = path
	}
	return ps
}

// check refuses what is not read: an action that we do not know may say that something is not to be taken.
func (d distributionFile) check(doc mirror.Node) (ps mirror.Problems) {
	if len(d.Queries)+len(d.Packages) == 0 && doc.Key("queries").IsZero() && doc.Key("packages").IsZero() {
		ps.Add("SRC113", d.Where, "write queries: [{all: true}], or packages", "the file asks for no package")
	}
	if d.VersionLimit < 0 {
		ps.Add("SRC111", doc.Key("version.limit").Where(), "write a number of versions; 0 is no limit", "version.limit: %d", d.VersionLimit)
	}
	for _, action := range d.Actions {
		keys := action.Keys()
		if len(keys) != 1 {
			ps.Add("SRC113", action.Where(), "write - download: or - print:", "actions: want one action in each item")
			continue
		}
		if !slices.Contains([]string{"print", "download"}, keys[0]) {
			ps.Add("SRC113", action.KeyWhere(keys[0]), "delete it; print and download are known, and nothing is done for them here", "actions: unknown action %q", keys[0])
		}
		for _, key := range action.Key(keys[0]).Keys() {
			if key != "destination" {
				ps.Add("SRC113", action.Key(keys[0]).KeyWhere(key), "delete it; packages are fetched from where they are searched", "actions: %s.%s is not followed", keys[0], key)
			}
		}
	}
	return ps
}

// queries gives each query with each entry of the matrix, each once.
func (d distributionFile) queries() (all []eprQuery, ps mirror.Problems) {
	matrix := d.Matrix
	if len(matrix) == 0 {
		matrix = []distributionQuery{{}}
	}
	if len(matrix)*len(d.Queries) > maxQueries {
		ps.Add("SRC113", d.Where, "split it into several sets", "matrix and queries give %d searches, more than %d", len(matrix)*len(d.Queries), maxQueries)
		return nil, ps
	}
	for _, q := range slices.Concat(d.Matrix, d.Queries) {
		ps = append(ps, q.check()...)
	}
	if len(ps) > 0 {
		return nil, ps
	}
	for _, m := range matrix {
		for _, q := range d.Queries {
			all = append(all, d.query(m, q))
		}
	}
	return all, nil
}

func (q distributionQuery) check() (ps mirror.Problems) {
	if _, err := mirror.NewPackage(q.Package, "1.0.0"); q.Package != "" && err != nil {
		ps.Add("SRC112", q.Where, "write a name such as nginx", "package: %q is no name of a package", q.Package)
	}
	if _, err := kibanaVersion(q.Kibana); q.Kibana != "" && err != nil {
		ps.Add("SRC111", q.Where, "write three numbers, as in 9.3.0", "kibana.version: %q is no version of Kibana", q.Kibana)
	}
	for _, one := range (specRange{q.SpecMin, q.SpecMax}).check(mirror.Node{}, "spec.") {
		one.Where = q.Where
		ps = append(ps, one)
	}
	if q.VersionLimit != nil && *q.VersionLimit < 0 {
		ps.Add("SRC111", q.Where, "write a number of versions; 0 is no limit", "version.limit: %s", strconv.Itoa(*q.VersionLimit))
	}
	return ps
}

// query puts a query over an entry of the matrix.
func (d distributionFile) query(m, q distributionQuery) eprQuery {
	pick := func(own, matrix string) string {
		if own != "" {
			return own
		}
		return matrix
	}
	limit := d.VersionLimit
	for _, one := range []distributionQuery{m, q} {
		if one.VersionLimit != nil {
			limit = *one.VersionLimit
		}
	}
	if limit == 0 && !m.All && !q.All {
		limit = 1 // what a package registry gives without all
	}
	e := eprQuery{newest: limit, prereleases: m.Prerelease || q.Prerelease, spec: specRange{pick(q.SpecMin, m.SpecMin), pick(q.SpecMax, m.SpecMax)}, where: q.Where}
	if name := pick(q.Package, m.Package); name != "" {
		e.names = []string{name}
	}
	if t := pick(q.Type, m.Type); t != "" {
		e.types = []string{t}
	}
	if version, err := kibanaVersion(pick(q.Kibana, m.Kibana)); err == nil {
		e.kibana = version
	}
	return e
}
