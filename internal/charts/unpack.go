// Package charts reads Helm charts: it unpacks them within bounds, merges values, checks values with the charts' schemas and
// renders templates. It is the one place that knows Helm's library.
//
// It promises that a chart is only what its bytes are: nothing is fetched, asked or read beside them, whatever its templates
// and schemas name; that it unpacks within limits; and that its templates and schemas, which are programs of whoever wrote
// them, run within a deadline and a bound of memory, in a process of their own where Apart named one. It leaves to others
// where a chart comes from and what is read from its manifests.
package charts

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/poundlock/poundlock/internal/mirror"
)

// Limits of one chart, with all charts inside it.
const (
	MaxBytes = 64 << 20 // unpacked
	MaxFiles = 10000
	MaxDepth = 6 // of charts in charts
)

// Files are the files of a chart by their path in it, without the folder that an archive has around them.
type Files map[string][]byte

// Names lists the files, sorted.
func (f Files) Names() []string { return slices.Sorted(maps.Keys(f)) }

// budget is what may still be unpacked.
type budget struct {
	bytes int64
	files int
}

// Unpack reads an archive as `helm package` makes them, and the charts inside it. Links and names that lead outside are
// refused, and what unpacks to more than the limits.
func Unpack(archive []byte) (Files, error) {
	return (&budget{MaxBytes, MaxFiles}).unpack(archive, 0)
}

// Whole gives the files with the charts unpacked that lie packed among them.
func (f Files) Whole() (Files, error) {
	all := maps.Clone(f)
	return all, (&budget{MaxBytes, MaxFiles}).inside(all, 0)
}

func (b *budget) unpack(archive []byte, depth int) (Files, error) {
	if depth > MaxDepth {
		return nil, fmt.Errorf("charts lie in charts more than %d deep", MaxDepth)
	}
	unzipped, err := gzip.NewReader(bytes.NewReader(archive))
	if err != nil {
		return nil, fmt.Errorf("unpack: %w", err)
	}
	all := Files{}
	bounded := &io.LimitedReader{R: unzipped, N: b.bytes + 1}
	for packed := tar.NewReader(bounded); ; {
		header, err := packed.Next()
		if bounded.N <= 0 {
			return nil, fmt.Errorf("it unpacks to more than %d MiB", MaxBytes>>20)
		}
		if errors.Is(err, io.EOF) {
			b.bytes = bounded.N - 1
			return all, b.inside(all, depth)
		}
		if err != nil {
			return nil, fmt.Errorf("unpack: %w", err)
		}
		if header.Typeflag == tar.TypeDir || header.Typeflag == tar.TypeXGlobalHeader {
			continue
		}
		if b.files--; b.files < 0 {
			return nil, fmt.Errorf("it has more than %d files", MaxFiles)
		}
		name, err := nameInside(header)
		if err != nil {
			return nil, err
		}
		if _, twice := all[name]; twice {
			return nil, fmt.Errorf("%s is in it twice", mirror.OneLine(name))
		}
		if header.Size > bounded.N {
			return nil, fmt.Errorf("it unpacks to more than %d MiB", MaxBytes>>20)
		}
		data, err := io.ReadAll(packed)
		if bounded.N <= 0 {
			return nil, fmt.Errorf("it unpacks to more than %d MiB", MaxBytes>>20)
		}
		if err != nil {
			return nil, fmt.Errorf("unpack: %w", err)
		}
		all[name] = data
	}
}

// nameInside gives the path of a file below the folder that an archive has around a chart.
func nameInside(header *tar.Header) (string, error) {
	shown := mirror.OneLine(header.Name)
	folder, name, inside := strings.Cut(header.Name, "/")
	switch {
	case header.Typeflag != tar.TypeReg, sparse(header):
		return "", fmt.Errorf("%s is no plain file", shown)
	case !inside || folder == "" || folder == ".":
		return "", fmt.Errorf("%s does not lie in the folder of the chart", shown)
	case !fs.ValidPath(name) || strings.ContainsAny(header.Name, "\\\x00"):
		return "", fmt.Errorf("%s is no path inside of the chart", shown)
	}
	return name, nil
}

// packedInside are packed charts where Helm looks for them: directly below charts/, of the chart or of one that lies
// unpacked inside it.
var packedInside = regexp.MustCompile(`^(charts/[^/]+/)*charts/[^/_.][^/]*\.tgz$`)

// inside unpacks the charts inside a chart, so that the library has none to unpack without our limits.
func (b *budget) inside(all Files, depth int) error {
	for _, name := range all.Names() {
		if !packedInside.MatchString(name) {
			continue
		}
		inner, err := b.unpack(all[name], depth+1)
		if err != nil {
			return fmt.Errorf("%s: %w", mirror.OneLine(name), err)
		}
		delete(all, name)
		for _, file := range inner.Names() {
			at := path.Join(strings.TrimSuffix(name, ".tgz"), file)
			if _, twice := all[at]; twice {
				return fmt.Errorf("%s lies beside a chart of that name that is unpacked", mirror.OneLine(name))
			}
			all[at] = inner[file]
		}
	}
	return nil
}

// sparse says whether a file has holes: they take no space in an archive, and any amount of it when they are read. Source: GNU
// tar manual, "Storing Sparse Files"; such a file may have the type of a plain one.
func sparse(header *tar.Header) bool {
	for key := range header.PAXRecords {
		if strings.HasPrefix(key, "GNU.sparse.") {
			return true
		}
	}
	return false
}
