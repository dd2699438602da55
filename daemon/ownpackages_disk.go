package daemon

import "github.com/poundlock/poundlock/internal/mirror"

// ReadPackage gives the files below a folder on disk, by its name and theirs, as elastic.Build reads them. As in a commit,
// links are not followed, and the bounds are those of a checkout.
func ReadPackage(dir string) (mirror.Files, mirror.Problems) {
	return readTree(dir, tree{tops: []string{"."}, below: dir, tooMany: "name the folder of one package"})
}
