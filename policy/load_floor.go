package policy

import (
	"path"

	"github.com/poundlock/poundlock/internal/mirror"
)

// LoadFloor reads the floor of a site: a document in the form of desired/policy.yaml that the fleet's policy can only
// tighten. name is its path on this machine; files holds it and what it names, each by its path on this machine.
func LoadFloor(name string, files mirror.Files) (Policy, mirror.Problems) {
	// Which stages there are is the fleet's to say: one floor may be for several fleets.
	l := loader{files: files, name: name, dir: path.Dir(name), floor: true, anyStage: true}
	data, ok := files[name]
	if !ok {
		l.problems.Add("POL001", mirror.Position{File: mirror.PolicyFile}, "write it, or delete trust.floor from the configuration", "the floor of this site is not there")
	}
	p, problems := l.policy(data, ok)
	for i := range problems {
		if problems[i].Where.File == mirror.PolicyFile {
			problems[i].Where.File = name
		}
	}
	return p, problems
}
