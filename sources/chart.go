package sources

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"

	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/ignore"

	"github.com/poundlock/poundlock/internal/mirror"
)

// Limits of one chart, with all charts inside it.
const (
	maxChartBytes  = 64 << 20 // unpacked
	maxChartFiles  = 10000
	maxChartDepth  = 6        // of charts in charts
	maxChartPacked = 20 << 20 // of an archive that is fetched
)

// chartFiles are the files of a chart by their path in it, without the folder that an archive has around them. Charts inside
// it are unpacked.
type chartFiles map[string][]byte

// unpackBudget is what may still be unpacked.
type unpackBudget struct {
	bytes int64
	files int
}

// unpackChart reads an archive as `helm package` makes them. Links and names that lead outside are refused, and what unpacks
// to more than the limits.
func unpackChart(archive []byte) (chartFiles, error) {
	return (&unpackBudget{maxChartBytes, maxChartFiles}).unpack(archive, 0)
}

func (b *unpackBudget) unpack(archive []byte, depth int) (chartFiles, error) {
	if depth > maxChartDepth {
		return nil, fmt.Errorf("charts lie in charts more than %d deep", maxChartDepth)
	}
	unzipped, err := gzip.NewReader(bytes.NewReader(archive))
	if err != nil {
		return nil, fmt.Errorf("unpack: %w", err)
	}
	all := chartFiles{}
	bounded := &io.LimitedReader{R: unzipped, N: b.bytes + 1}
	for packed := tar.NewReader(bounded); ; {
		header, err := packed.Next()
		if bounded.N <= 0 {
			return nil, fmt.Errorf("it unpacks to more than %d MiB", maxChartBytes>>20)
		}
		if errors.Is(err, io.EOF) {
			b.bytes = bounded.N - 1
			return all.whole(b, depth)
		}
		if err != nil {
			return nil, fmt.Errorf("unpack: %w", err)
		}
		if header.Typeflag == tar.TypeDir || header.Typeflag == tar.TypeXGlobalHeader {
			continue
		}
		if b.files--; b.files < 0 {
			return nil, fmt.Errorf("it has more than %d files", maxChartFiles)
		}
		name, err := nameInChart(header)
		if err != nil {
			return nil, err
		}
		if _, twice := all[name]; twice {
			return nil, fmt.Errorf("%s is in it twice", mirror.OneLine(name))
		}
		data, err := io.ReadAll(packed)
		if bounded.N <= 0 {
			return nil, fmt.Errorf("it unpacks to more than %d MiB", maxChartBytes>>20)
		}
		if err != nil {
			return nil, fmt.Errorf("unpack: %w", err)
		}
		all[name] = data
	}
}

// nameInChart gives the path of a file below the folder that an archive has around a chart.
func nameInChart(header *tar.Header) (string, error) {
	shown := mirror.OneLine(header.Name)
	folder, name, inside := strings.Cut(header.Name, "/")
	switch {
	case header.Typeflag != tar.TypeReg:
		return "", fmt.Errorf("%s is no plain file", shown)
	case !inside || folder == "" || folder == ".":
		return "", fmt.Errorf("%s does not lie in the folder of the chart", shown)
	case !fs.ValidPath(name) || strings.ContainsAny(header.Name, "\\\x00"):
		return "", fmt.Errorf("%s is no path inside of the chart", shown)
	}
	return name, nil
}

// whole unpacks the charts inside a chart, so that the library has none to unpack without our limits.
func (c chartFiles) whole(b *unpackBudget, depth int) (chartFiles, error) {
	for _, name := range c.archives() {
		inner, err := b.unpack(c[name], depth+1)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", mirror.OneLine(name), err)
		}
		delete(c, name)
		c.put(strings.TrimSuffix(name, ".tgz"), inner)
	}
	return c, nil
}

// archives lists the packed charts directly below charts/.
func (c chartFiles) archives() (names []string) {
	for name := range c {
		if path.Dir(name) == "charts" && path.Ext(name) == ".tgz" && !strings.ContainsAny(path.Base(name)[:1], "_.") {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

func (c chartFiles) put(dir string, inner chartFiles) {
	for name, data := range inner {
		c[path.Join(dir, name)] = data
	}
}

// names lists the files, sorted.
func (c chartFiles) names() (names []string) {
	for name := range c {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// buffered gives the files as the library loads them, in order. It changes their names.
func (c chartFiles) buffered() (all []*loader.BufferedFile) {
	bom := []byte("\xef\xbb\xbf")
	for _, name := range c.names() {
		all = append(all, &loader.BufferedFile{Name: name, Data: bytes.TrimPrefix(c[name], bom)})
	}
	return all
}

// chartFolder gives the files of a chart that lies unpacked in dir, without those that its .helmignore leaves out, as
// `helm package` packs them. Packed charts inside stay packed.
func chartFolder(files mirror.Files, dir string) (chartFiles, error) {
	rules, err := ignore.Parse(bytes.NewReader(files[path.Join(dir, ignore.HelmIgnore)]))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", ignore.HelmIgnore, err)
	}
	rules.AddDefaults()
	all := chartFiles{}
	for _, name := range files.Under(dir) {
		inside := strings.TrimPrefix(name, dir+"/")
		if !ignored(rules, inside) {
			all[inside] = files[name]
		}
	}
	return all, nil
}

func ignored(rules *ignore.Rules, name string) bool {
	for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
		if rules.Ignore(dir, entryInfo{dir, true}) {
			return true
		}
	}
	return rules.Ignore(name, entryInfo{name, false})
}

// entryInfo is what the rules of .helmignore want to know of a path.
type entryInfo struct {
	path string
	dir  bool
}

func (i entryInfo) Name() string     { return path.Base(i.path) }
func (entryInfo) Size() int64        { return 0 }
func (entryInfo) ModTime() time.Time { return time.Time{} }
func (i entryInfo) IsDir() bool      { return i.dir }
func (entryInfo) Sys() any           { return nil }
func (i entryInfo) Mode() fs.FileMode {
	if i.dir {
		return fs.ModeDir | 0o755
	}
	return 0o644
}
