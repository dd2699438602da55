package epr

import (
	"encoding/json"
	"path"
	"strings"

	"github.com/Masterminds/semver/v3"

	"github.com/poundlock/poundlock/internal/elastic"
	"github.com/poundlock/poundlock/internal/mirror"
)

const manifestFile = "manifest.yml"

// newDocument makes of the facts of a package what Elastic's registry makes of the package when it loads it.
func newDocument(f elastic.Facts, signed bool) (*document, error) {
	b := builder{facts: f, files: map[string]bool{}}
	for _, file := range f.Files {
		b.files[file.Path] = true
	}
	for _, step := range []func() error{b.readManifest, b.checkManifest, b.complete, b.addDataStreams} {
		if err := step(); err != nil {
			return nil, err
		}
	}
	d := &b.doc
	d.Assets = b.assets()
	d.Download = text(downloadOf(f.Package))
	d.Path = text(b.at(""))
	d.SignaturePath = ""
	if signed {
		d.SignaturePath = d.Download + ".sig"
	}
	b.shorten()
	return d, nil
}

func downloadOf(p mirror.Package) string { return "/epr/" + p.Name + "/" + p.String() + ".zip" }

type builder struct {
	facts   elastic.Facts
	files   map[string]bool
	doc     document
	version *semver.Version
}

// at gives the address of a file of the package.
func (b *builder) at(file string) string {
	return path.Join("/package", b.facts.Name, b.facts.Version, file)
}

// problem says that a document of the package cannot be told to Kibana.
func (b *builder) problem(code, file, format string, args ...any) error {
	var ps mirror.Problems
	ps.Add(code, mirror.Position{File: b.facts.String() + "/" + file}, "mend it and build the package again, or leave this version out", format, args...)
	ps[0].Why = "a package registry loads no package whose manifests it cannot read"
	return ps[0]
}

// decode reads a manifest into a document.
func (b *builder) decode(file string, change func(map[string]any), into any) error {
	m, err := tree(b.facts.Documents[file])
	if err != nil {
		return b.problem("EPR001", file, "%v", mirror.OneLine(err.Error()))
	}
	change(m)
	data, err := json.Marshal(m)
	if err == nil {
		err = json.Unmarshal(data, into)
	}
	if err != nil {
		return b.problem("EPR001", file, "%v", mirror.OneLine(err.Error()))
	}
	return nil
}

func (b *builder) readManifest() error {
	return b.decode(manifestFile, withoutMade, &b.doc)
}

// withoutMade takes out what is made of the package, whatever its manifest says of it.
func withoutMade(m map[string]any) {
	for _, k := range []string{"data_streams", "assets", "readme"} {
		delete(m, k)
	}
}

// checkManifest refuses what Elastic's registry refuses to load, as far as something is told of it.
func (b *builder) checkManifest() (err error) {
	d := &b.doc
	b.version, err = semver.StrictNewVersion(string(d.Version))
	switch {
	case err != nil || string(d.Name) != b.facts.Name || string(d.Version) != b.facts.Version:
		return b.problem("EPR002", manifestFile, "it is of another package")
	case d.Title == nil || *d.Title == "":
		return b.problem("EPR002", manifestFile, "title is missing")
	case d.Description == "":
		return b.problem("EPR002", manifestFile, "description is missing")
	}
	if _, err := semver.StrictNewVersion(string(d.FormatVersion)); err != nil {
		return b.problem("EPR002", manifestFile, "format_version is missing or no version such as 3.0.0")
	}
	if c := d.Conditions; c != nil {
		for what, v := range map[string]*versionCondition{"kibana": c.Kibana, "agent": c.Agent} {
			if v == nil {
				continue
			}
			if _, err := semver.NewConstraint(string(v.Version)); err != nil {
				return b.problem("EPR002", manifestFile, "conditions.%s.version is no range of versions", what)
			}
		}
	}
	return nil
}

// complete adds what a manifest leaves to its reader.
func (b *builder) complete() error {
	d := &b.doc
	for i := range d.PolicyTemplates {
		b.completePolicyTemplate(&d.PolicyTemplates[i])
	}
	if d.Type == "" {
		d.Type = "integration"
	}
	if d.License == "" {
		d.License = "basic"
		if c := d.Conditions; c != nil && c.Elastic != nil && c.Elastic.Subscription != "" {
			d.License = c.Elastic.Subscription
		}
	}
	b.place(d.Icons)
	b.place(d.Screenshots)
	if d.Release == "" {
		d.Release = releaseOf(b.version)
	}
	if !isRelease(d.Release) {
		return b.problem("EPR002", manifestFile, "release: want ga, beta or experimental")
	}
	if !b.files["docs/README.md"] {
		return b.problem("EPR002", "docs/README.md", "it is missing")
	}
	readme := b.at("docs/README.md")
	d.Readme = &readme
	var known list[text]
	for _, c := range d.Categories {
		if _, is := categories[string(c)]; is {
			known = append(known, c)
		}
	}
	d.Categories = known
	if y := d.Discovery; y != nil && len(y.Fields) == 0 && len(y.Datasets) == 0 {
		d.Discovery = nil
	}
	return nil
}

func (b *builder) completePolicyTemplate(t *policyTemplate) {
	if t.Multiple == nil {
		yes := flag(true)
		t.Multiple = &yes
	}
	b.place(t.Icons)
	b.place(t.Screenshots)
	if file := "docs/" + string(t.Name) + ".md"; b.files[file] {
		readme := text(b.at(file))
		t.Readme = &readme
	}
	if b.doc.Type == "input" && t.Input != "" {
		t.IngestionMethod = ingestionMethods[t.Input]
	}
}

func (b *builder) place(images []image) {
	for i := range images {
		images[i].Path = text(b.at(string(images[i].Src)))
	}
}

// releaseOf is the release of a package that does not say it.
func releaseOf(v *semver.Version) text {
	if v.Prerelease() != "" || v.Major() < 1 {
		return "beta"
	}
	return "ga"
}

func isRelease(r text) bool { return r == "ga" || r == "beta" || r == "experimental" }

// assets lists files as Elastic's registry does: level by level, each in the order of the zip, until a level has no entry.
func (b *builder) assets() []string {
	byLevel := map[int][]string{}
	seen := map[int]bool{}
	for _, f := range b.facts.Files {
		level := strings.Count(f.Path, "/")
		seen[level] = true
		if !strings.Contains(f.Path, ".DS_Store") {
			byLevel[level] = append(byLevel[level], b.at(f.Path))
		}
	}
	for _, dir := range b.facts.Folders {
		seen[strings.Count(dir, "/")] = true
	}
	var all []string
	for level := 0; seen[level]; level++ {
		all = append(all, byLevel[level]...)
	}
	return all
}

// shorten makes of whole policy templates and data streams what a search tells of them.
func (b *builder) shorten() {
	d := &b.doc
	for _, t := range d.PolicyTemplates {
		d.base.PolicyTemplates = append(d.base.PolicyTemplates, basePolicyTemplate{Name: t.Name, Title: t.Title,
			Description: t.Description, Icons: t.Icons, Categories: t.Categories, DeploymentModes: t.DeploymentModes,
			DataStreams: t.DataStreams, Deprecated: t.Deprecated})
	}
	for _, s := range d.DataStreams {
		d.base.DataStreams = append(d.base.DataStreams, baseDataStream{Type: s.Type, Dataset: s.Dataset, Title: s.Title, Deprecated: s.Deprecated})
	}
}
