package elastic

import (
	"archive/zip"
	"fmt"
	"io"
	"path"
	"regexp"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"

	"github.com/poundlock/poundlock/internal/mirror"
)

const (
	manifestFile = "manifest.yml"
	readmeFile   = "docs/README.md"

	// maxDocument bounds one manifest, in bytes: as a tree it takes a hundred times as much, before anybody judged it.
	maxDocument = 1 << 20
)

// readRoot finds the one directory at the top that holds the manifest.
func (c *checked) readRoot() error {
	for _, f := range c.zip.File {
		root, _, inside := strings.Cut(f.Name, "/")
		switch {
		case !inside:
			return c.problem("PKG006", rebuild, "file %q lies beside the directory of the package", cut(f.Name))
		case c.root == "":
			c.root = root
		case c.root != root:
			return c.problem("PKG006", rebuild, "it has more than one directory at its top: %q and %q", cut(c.root), cut(root))
		}
	}
	return nil
}

// readFiles reads every file once, and keeps what facts are.
func (c *checked) readFiles() error {
	documents := 0
	for _, f := range c.zip.File {
		name := strings.TrimPrefix(f.Name, c.root+"/")
		if isFolder(f) {
			if name != "" {
				c.facts.Folders = append(c.facts.Folders, strings.TrimSuffix(name, "/"))
			}
			continue
		}
		var keep strings.Builder
		into := io.Discard
		if isDocument(name) {
			if f.UncompressedSize64 > maxDocument {
				return c.problem("PKG010", "split the package", "%s has more than %d MiB", cut(name), maxDocument>>20)
			}
			if documents += int(f.UncompressedSize64); documents > MaxFacts {
				return c.problem("PKG010", "split the package", "its manifests have more than %d MiB", MaxFacts>>20)
			}
			into = &keep
		}
		size, err := int64(f.UncompressedSize64), error(nil)
		if !c.outline || isDocument(name) {
			size, err = inflate(f, into)
		}
		if err != nil {
			return c.problem("PKG001", "fetch or build it again", "entry %q is damaged: %v", cut(f.Name), err)
		}
		c.facts.Files = append(c.facts.Files, File{Path: name, Size: size})
		if isDocument(name) {
			if !utf8.ValidString(keep.String()) {
				return c.problem("PKG010", "save it as UTF-8", "%s is no UTF-8", cut(name))
			}
			c.facts.Documents[name] = keep.String()
		}
	}
	return nil
}

// inflate reads an entry to its end: the reader fails where it is not as long as the directory says, or its checksum differs.
func inflate(f *zip.File, into io.Writer) (size int64, err error) {
	body, err := f.Open()
	if err != nil {
		return 0, err
	}
	defer func() {
		if closing := body.Close(); err == nil {
			err = closing
		}
	}()
	return io.Copy(into, body)
}

// isDocument says whether a file is one of Facts.Documents.
func isDocument(name string) bool {
	is, err := path.Match("data_stream/*/"+manifestFile, name)
	return name == manifestFile || is && err == nil
}

// readManifest compares what the package says of itself with its directory and with what is wanted.
func (c *checked) readManifest() error {
	body, has := c.facts.Documents[manifestFile]
	if !has {
		return c.problem("PKG006", rebuild, "directory %q has no %s", cut(c.root), manifestFile)
	}
	p, err := Identify([]byte(body))
	switch {
	case err != nil:
		return c.problem("PKG007", manifestFile+": "+mendManifest([]byte(body)), "%s: %v", manifestFile, err)
	case c.want != (mirror.Package{}) && p != c.want:
		return c.problem("PKG008", "ask who built it", "it is %s by its manifest", p)
	case c.root != p.String(): // Kibana refuses it
		return c.problem("PKG008", rebuild, "its directory is %q, its manifest says %s", cut(c.root), p)
	}
	for _, f := range c.facts.Files {
		if f.Path == readmeFile {
			c.facts.Package = p
			return nil
		}
	}
	return c.problem("PKG009", "add it", "it has no %s, without which no package registry lists it", readmeFile)
}

// shortVersion is a version that lacks a number or two at its end.
var shortVersion = regexp.MustCompile(`(?m)^version: *["']?([0-9]+(?:\.[0-9]+)?)["']? *(?:#.*)?$`)

// mendManifest says what to write into a manifest that tells no name and version.
func mendManifest(body []byte) string {
	found := shortVersion.FindSubmatch(body)
	if found == nil {
		return "write name, of a-z, 0-9 and _, and version, of three numbers such as 1.0.0"
	}
	version := string(found[1]) + ".0"
	if !strings.Contains(string(found[1]), ".") {
		version += ".0"
	}
	return "write version: " + version
}

// versionLine gives the line that tells the version; 0 where none does.
func versionLine(body []byte) int {
	for i, line := range strings.Split(string(body), "\n") {
		if strings.HasPrefix(line, "version:") {
			return i + 1
		}
	}
	return 0
}

// Identify reads name and version of a manifest. All else is left alone: manifests of all ages are mirrored, and what Kibana
// is told of one is read where it is asked for.
func Identify(manifest []byte) (mirror.Package, error) {
	var doc yaml.Node
	if err := yaml.Load(manifest, &doc); err != nil {
		return mirror.Package{}, fmt.Errorf("no readable YAML: %w", err)
	}
	if doc.Kind == yaml.DocumentNode && len(doc.Content) == 1 {
		doc = *doc.Content[0]
	}
	if doc.Kind != yaml.MappingNode {
		return mirror.Package{}, fmt.Errorf("it is no mapping")
	}
	found := map[string]string{}
	for i := 0; i+1 < len(doc.Content); i += 2 {
		key, value := doc.Content[i].Value, doc.Content[i+1]
		if key != "name" && key != "version" {
			continue
		}
		if _, twice := found[key]; twice { // readers disagree which one counts
			return mirror.Package{}, fmt.Errorf("%s stands there twice", key)
		}
		if value.Kind != yaml.ScalarNode {
			return mirror.Package{}, fmt.Errorf("%s is no text", key)
		}
		found[key] = value.Value
	}
	return mirror.NewPackage(found["name"], found["version"])
}
