package config

import (
	"path/filepath"
	"regexp"
	"strings"
)

// dropFolder is a name by which a source of kind epr knows a drop folder.
var dropFolder = regexp.MustCompile(`^[A-Za-z0-9._-]+$`)

// What packages.spoolLimit (MiB) and packages.atOnce may be.
const (
	mostSpool  = 1 << 24
	mostAtOnce = 32
)

// packages checks how packages are fetched. Whether the drop folders are there is seen when they are read: a disk may be
// mounted later.
func (k *checker) packages(c Config) {
	at, p := keyPath{"packages"}, c.Packages
	if p.SpoolLimit < 1 || p.SpoolLimit > mostSpool {
		k.add(at.to("spoolLimit"), "CFG145", "write a number of MiB, such as 4096", "packages.spoolLimit is out of range (1 to %d), have %d", mostSpool, p.SpoolLimit)
	}
	if p.AtOnce < 1 || p.AtOnce > mostAtOnce {
		k.add(at.to("atOnce"), "CFG145", "write a number such as 4", "packages.atOnce is out of range (1 to %d), have %d", mostAtOnce, p.AtOnce)
	}
	folders := map[string]string{}
	for _, name := range sortedKeys(p.Drop) {
		key, dir := at.to("drop", name), filepath.Clean(p.Drop[name])
		switch before, twice := folders[dir]; {
		case !dropFolder.MatchString(name):
			k.add(key, "CFG146", "use letters, digits, dots, _ and -", "%q is no name of a drop folder", name)
		case !filepath.IsAbs(p.Drop[name]) || dir == "/":
			k.add(key, "CFG146", "write the whole path, such as /var/lib/poundlock/drop", "%s is no whole path of a folder", key)
		case within(dir, c.StateDir) || within(c.StateDir, dir):
			k.add(key, "CFG147", "name a folder outside of stateDir", "%s is stateDir, or one of the two lies in the other: who puts packages there could change the state", key)
		case twice:
			k.add(key, "CFG146", "keep one of them", "%s is the folder of packages.drop.%s", key, before)
		default:
			folders[dir] = name
		}
	}
}

// within says whether a folder is another one or lies in it.
func within(dir, in string) bool {
	from, err := filepath.Abs(in)
	to, bad := filepath.Abs(dir)
	if err != nil || bad != nil {
		return false // where we are is not known
	}
	rel, err := filepath.Rel(from, to)
	return err == nil && rel != ".." && !strings.HasPrefix(rel, "../")
}
