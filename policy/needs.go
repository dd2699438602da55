package policy

import (
	"slices"

	"github.com/poundlock/poundlock/internal/mirror"
)

// Needs gives the files and folders that a policy document names, relative to its folder, each once: what has to be
// read along with it. Paths that leave that folder are left out, and so is what cannot be understood: whoever loads
// the document tells what is wrong with it.
func Needs(document []byte) []string {
	root, _ := mirror.ParseDocument("", document)
	var names []string
	for section, keys := range map[string][]string{"signers": {"key", "pgp"}, "roots": {"file", "tuf", "ca"}} {
		entries := root.Find(section)
		if !entries.IsMapping() {
			continue
		}
		for _, name := range entries.Keys() {
			for _, key := range keys {
				text, ok := root.Find(section, name, key).Text()
				if ok && isBelow(text) {
					names = append(names, text)
				}
			}
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}
