package config

import (
	"path/filepath"
	"strconv"
)

// packagesExport checks the folders that packages are exported to. Whether a set and its stages are there, the fleet says.
func (k *checker) packagesExport(all []Export, stateDir string) {
	for i, e := range all {
		at := keyPath{"packages", "export", strconv.Itoa(i)}
		if e.Set == "" {
			k.missing(at.to("set"), "name a set of packages")
		}
		switch dir := filepath.Clean(e.Dir); {
		case e.Dir == "":
			k.missing(at.to("dir"), "name a folder of this machine")
		case !filepath.IsAbs(e.Dir) || dir == "/":
			k.add(at.to("dir"), "CFG150", "write the whole path of a folder of its own", "%s.dir: %q is no folder for packages", at, e.Dir)
		case within(dir, stateDir) || within(stateDir, dir):
			k.add(at.to("dir"), "CFG150", "choose another folder", "%s.dir: %s and stateDir lie inside one another", at, dir)
		default:
			for j, other := range all[:i] {
				if before := filepath.Clean(other.Dir); other.Dir != "" && (within(dir, before) || within(before, dir)) {
					k.add(at.to("dir"), "CFG151", "give each export a folder of its own", "%s.dir: %s is used by packages.export.%d, too", at, dir, j)
					break
				}
			}
		}
	}
}
