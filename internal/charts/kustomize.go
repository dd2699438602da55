package charts

import (
	"maps"
	"slices"

	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/api/types"
	"sigs.k8s.io/kustomize/kyaml/filesys"

	"github.com/poundlock/poundlock/internal/mirror"
)

// kustomization is a folder of files, with all that it refers to.
type kustomization struct {
	Files mirror.Files
	Dir   string
}

var built = memo[[]byte]{most: 8}

// Build builds the kustomization in a folder of files, as `kustomize build` does, of these files alone. Whoever asks has seen
// to it that none of them names an address or a program. The library writes warnings to the standard error of its process and
// makes many copies of what it reads: both stay in the process that does the job. An error is a *Refusal.
func Build(files mirror.Files, dir string) ([]byte, error) {
	return ask(&built, job{Kustomization: &kustomization{files, dir}}, func(a answer) []byte { return a.Built })
}

func (k kustomization) build() ([]byte, error) {
	disk := filesys.MakeFsInMemory()
	for _, file := range slices.Sorted(maps.Keys(k.Files)) {
		if err := disk.WriteFile("/"+file, k.Files[file]); err != nil {
			return nil, err
		}
	}
	options := krusty.MakeDefaultOptions()
	options.LoadRestrictions = types.LoadRestrictionsNone // the file system is all there is
	made, err := krusty.MakeKustomizer(options).Run(disk, "/"+k.Dir)
	if err != nil {
		return nil, err
	}
	return made.AsYaml()
}
