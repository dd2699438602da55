package charts

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"
	"time"

	"helm.sh/helm/v3/pkg/ignore"

	"github.com/poundlock/poundlock/internal/mirror"
)

// Find gives a chart that lies in desired/, by its path below it: a folder or a .tgz. Charts inside it are unpacked.
func Find(files mirror.Files, name string) (Files, error) {
	at := path.Join("desired", name)
	if !strings.HasPrefix(at, "desired/") {
		return nil, errors.New("it lies outside desired/")
	}
	if archive, packed := files[at]; packed {
		return Unpack(archive)
	}
	if len(files.Under(at)) == 0 {
		return nil, errors.New("there is no chart")
	}
	folder, err := Folder(files, at)
	if err != nil {
		return nil, err
	}
	return folder.Whole()
}

// Folder gives the files of a chart that lies unpacked in dir, without those that its .helmignore leaves out, as
// `helm package` packs them. Packed charts inside stay packed.
func Folder(files mirror.Files, dir string) (Files, error) {
	rules, err := ignore.Parse(bytes.NewReader(files[path.Join(dir, ignore.HelmIgnore)]))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", ignore.HelmIgnore, err)
	}
	rules.AddDefaults()
	all := Files{}
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
