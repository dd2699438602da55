package testenv

import (
	"archive/zip"
	"bytes"
	"cmp"
	"fmt"
	"hash/fnv"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/Masterminds/semver/v3"
)

// EPRPackage is one version of a package as an upstream has it. What is left out is made up from the name; the same value
// gives the same bytes.
type EPRPackage struct {
	Name    string
	Version string

	Title        string
	Description  string
	Type         string // integration, which is the default, input or content
	Format       string // format_version; 3.0.0 when it is left out
	Release      string // written into the manifest only where it is given
	Kibana       string // constraint, such as ^8.12.0; none when it is left out
	Agent        string // constraint
	Subscription string
	Capabilities []string
	Categories   []string
	Owner        string // owner.github; a team of testenv when it is left out
	DataStreams  []string
	Dotted       bool // kibana.version and owner.github are one key, which means the same

	Seed string // other bytes under the same name and version
	Size int    // bytes of a file that does not compress, beside the small ones

	// What is wrong with it.
	Unsigned    bool    // no signature lies beside it: 500, as Elastic's server answers
	SignStatus  int     // what is answered for the signature that is not there, instead of 500
	Signer      *PGPKey // signs instead of the upstream's key
	SignsOther  bool    // the signature is good, and of other bytes
	Signature   string  // instead of a signature: any text
	Root        string  // root directory in the zip instead of name-version
	Manifest    string  // manifest.yml instead of the one that fits
	NoReadme    bool
	More        map[string]string // more files, by path as it is written into the zip
	Zip         []byte            // all of the zip instead
	Streamed    bool              // the zip is sent without length and without ranges, as one that is made while it is sent
	NotListed   bool              // /search does not name it; it is there for who knows it
	DownloadAt  string            // download in /search instead of /epr/<name>/<name>-<version>.zip
	Advertised  string            // kibana constraint in /search instead of Kibana
	LegacyShape bool              // the manifest has requirement.kibana.versions, as very old ones do
}

// ID gives name-version.
func (p EPRPackage) ID() string { return p.Name + "-" + p.Version }

// eprTime is when files of packages were made.
var eprTime = time.Date(2026, 3, 4, 5, 6, 8, 0, time.UTC)

// build makes the zip.
func (p EPRPackage) build() ([]byte, error) {
	if p.Zip != nil {
		return p.Zip, nil
	}
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	add := func(name string, body []byte, method uint16) error {
		f, err := w.CreateHeader(&zip.FileHeader{Name: name, Method: method, Modified: eprTime})
		if err == nil {
			_, err = f.Write(body)
		}
		return err
	}
	root := cmp.Or(p.Root, p.ID()) + "/"
	files := p.files()
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if err := add(root+name, []byte(files[name]), zip.Deflate); err != nil {
			return nil, err
		}
	}
	for _, name := range slices.Sorted(maps.Keys(p.More)) {
		if err := add(name, []byte(p.More[name]), zip.Deflate); err != nil {
			return nil, err
		}
	}
	if p.Size > 0 {
		if err := add(root+"img/large.bin", p.noise(), zip.Store); err != nil {
			return nil, err
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// noise gives bytes that do not compress: a function of name, version and seed.
func (p EPRPackage) noise() []byte {
	h := fnv.New64a()
	h.Write([]byte(p.ID() + p.Seed))
	var seed [32]byte
	copy(seed[:], h.Sum(nil))
	body := make([]byte, p.Size)
	_, _ = rand.NewChaCha8(seed).Read(body) // never fails
	return body
}

// files gives what lies below the root directory.
func (p EPRPackage) files() map[string]string {
	files := map[string]string{
		"manifest.yml":   cmp.Or(p.Manifest, p.manifest()),
		"changelog.yml":  fmt.Sprintf("- version: %q\n  changes:\n    - {description: Made for a test%s, type: enhancement, link: https://packages.example/1}\n", p.Version, p.Seed),
		"img/icon.svg":   `<svg xmlns="http://www.w3.org/2000/svg" width="16" height="16"/>` + "\n",
		"docs/README.md": "# " + p.title() + "\n\n" + p.description() + "\n",
	}
	if p.NoReadme {
		delete(files, "docs/README.md")
	}
	for _, stream := range p.DataStreams {
		dir := "data_stream/" + stream + "/"
		files[dir+"manifest.yml"] = fmt.Sprintf("title: %s %s\ntype: logs\nstreams:\n  - input: logfile\n    title: Logs\n    description: Collect them\n    template_path: stream.yml.hbs\n", p.title(), stream)
		files[dir+"fields/base-fields.yml"] = "- {name: data_stream.type, type: constant_keyword, description: Type}\n- {name: data_stream.dataset, type: constant_keyword, description: Dataset}\n- {name: data_stream.namespace, type: constant_keyword, description: Namespace}\n- {name: \"@timestamp\", type: date, description: Time}\n"
		files[dir+"agent/stream/stream.yml.hbs"] = "paths: [/var/log/" + p.Name + ".log]\n"
	}
	return files
}

// manifest writes manifest.yml.
func (p EPRPackage) manifest() string {
	var b strings.Builder
	fmt.Fprintf(&b, "format_version: %s\nname: %s\ntitle: %q\nversion: %q\ndescription: %q\ntype: %s\n", p.format(), p.Name, p.title(), p.Version, p.description(), p.kind())
	if p.Release != "" {
		fmt.Fprintf(&b, "release: %s\n", p.Release)
	}
	if len(p.Categories) > 0 {
		fmt.Fprintf(&b, "categories: [%s]\n", strings.Join(p.Categories, ", "))
	}
	b.WriteString("icons:\n  - {src: /img/icon.svg, title: Icon, size: 16x16, type: image/svg+xml}\n")
	switch {
	case p.LegacyShape:
		fmt.Fprintf(&b, "requirement: {kibana: {versions: %q}}\n", p.Kibana)
	case p.Kibana+p.Agent+p.Subscription != "" || len(p.Capabilities) > 0:
		b.WriteString("conditions:\n")
		if p.Kibana != "" && p.Dotted {
			fmt.Fprintf(&b, "  kibana.version: %q\n", p.Kibana)
		} else if p.Kibana != "" {
			fmt.Fprintf(&b, "  kibana:\n    version: %q\n", p.Kibana)
		}
		if p.Agent != "" {
			fmt.Fprintf(&b, "  agent: {version: %q}\n", p.Agent)
		}
		if p.Subscription != "" || len(p.Capabilities) > 0 {
			b.WriteString("  elastic:\n")
			if p.Subscription != "" {
				fmt.Fprintf(&b, "    subscription: %s\n", p.Subscription)
			}
			if len(p.Capabilities) > 0 {
				fmt.Fprintf(&b, "    capabilities: [%s]\n", strings.Join(p.Capabilities, ", "))
			}
		}
	}
	if p.kind() == "integration" && len(p.DataStreams) > 0 {
		fmt.Fprintf(&b, "policy_templates:\n  - name: logs\n    title: Logs\n    description: Collect logs\n    inputs: [{type: logfile, title: Logs, description: Collect logs}]\n")
	}
	if p.Dotted {
		fmt.Fprintf(&b, "owner.github: %s\n", p.owner())
	} else {
		fmt.Fprintf(&b, "owner: {github: %s, type: elastic}\n", p.owner())
	}
	return b.String()
}

func (p EPRPackage) title() string { return cmp.Or(p.Title, strings.ReplaceAll(p.Name, "_", " ")) }
func (p EPRPackage) description() string {
	return cmp.Or(p.Description, "Collects what "+p.title()+" says.")
}
func (p EPRPackage) kind() string   { return cmp.Or(p.Type, "integration") }
func (p EPRPackage) format() string { return cmp.Or(p.Format, "3.0.0") }
func (p EPRPackage) owner() string  { return cmp.Or(p.Owner, "example/packages") }

// release gives what /search says: what the manifest says, or else what the version says.
func (p EPRPackage) release() string {
	v, err := semver.StrictNewVersion(p.Version)
	switch {
	case p.Release != "":
		return p.Release
	case err != nil || v.Prerelease() != "" || v.Major() == 0:
		return "beta"
	}
	return "ga"
}
