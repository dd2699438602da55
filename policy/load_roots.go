package policy

import (
	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/policy/trust"
)

// loadedRoot is a root and what it can be asked for: an authority of X.509 gives no times, a sigstore root names
// people only together with its logs.
type loadedRoot struct {
	*trust.Root
	ca bool
}

func (l *loader) root(name string, entry rootEntry) (loadedRoot, bool) {
	l.oneWord("root", name, entry.Where)
	key := "roots." + name
	switch written(entry.File, entry.TUF, entry.CA) {
	case 0:
		l.problems.Add("POL018", entry.Where, "write file, tuf or ca", "%s: names neither file nor tuf nor ca", key)
		return loadedRoot{}, false
	case 1:
	default:
		l.problems.Add("POL018", entry.Where, "write two roots, each with a name of its own", "%s: only one of file, tuf and ca", key)
		return loadedRoot{}, false
	}
	place := func(of string) mirror.Position { return l.at(entry.Where, "roots", name, of) }
	switch {
	case entry.TUF != "":
		key += ".tuf"
		files, ok := l.folder(key, entry.TUF, place("tuf"))
		if !ok {
			return loadedRoot{}, false
		}
		root, err := trust.ReadTUF(files)
		if err != nil {
			l.problems.Add("POL016", place("tuf"), "copy the repository anew: its metadata and the target trusted_root.json, none of them past its end", "%s: %v", key, err)
		}
		return loadedRoot{Root: root}, err == nil
	case entry.CA != "":
		key += ".ca"
		data, file, ok := l.file(key, entry.CA, place("ca"))
		if !ok {
			return loadedRoot{}, false
		}
		root, err := trust.ParseCA(data)
		if err != nil {
			l.problems.Add("POL016", mirror.Position{File: file, Line: 1}, "write the certificates of the authorities, each as a PEM block BEGIN CERTIFICATE", "%s: %v", key, err)
		}
		return loadedRoot{root, true}, err == nil
	}
	key += ".file"
	data, file, ok := l.file(key, entry.File, place("file"))
	if !ok {
		return loadedRoot{}, false
	}
	root, err := trust.ParseRoot(data)
	if err != nil {
		l.problems.Add("POL016", mirror.Position{File: file, Line: 1}, "write a trusted root as `cosign trusted-root create` makes it", "%s: %v", key, err)
	}
	return loadedRoot{Root: root}, err == nil
}

// sigstore gives the root that a word names, which must say when something was signed.
func (l *loader) sigstore(key string, node mirror.Node, roots names[loadedRoot]) (*trust.Root, bool) {
	found, ok := roots.find(node, &l.problems)
	if ok && found.ca {
		l.problems.Add("POL017", node.Where(), "name a root with file or tuf", "%s: a root with ca has no logs and no timestamps", key)
		return nil, false
	}
	return found.Root, ok
}

// written counts the texts that are not empty.
func written(texts ...string) (n int) {
	for _, text := range texts {
		if text != "" {
			n++
		}
	}
	return n
}
