package policy

import (
	"bytes"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/poundlock/poundlock/internal/mirror"
)

// file gives a file of trust material that the document names, and its path in files. A file that holds a private key
// is refused, whatever it was to be.
func (l *loader) file(key, name string, where mirror.Position) (data []byte, file string, ok bool) {
	if file, ok = l.below(key, name, where); !ok {
		return nil, "", false
	}
	if data, ok = l.files[file]; !ok {
		l.problems.Add("POL005", where, l.nearestFile(file), "%s: there is no %s", key, file)
		return nil, "", false
	}
	if l.private(key, file, data) {
		return nil, "", false
	}
	return data, file, true
}

// folder gives the files of a folder that the document names, by their path inside it.
func (l *loader) folder(key, name string, where mirror.Position) (mirror.Files, bool) {
	dir, ok := l.below(key, name, where)
	if !ok {
		return nil, false
	}
	files := mirror.Files{}
	for _, file := range l.files.Under(dir) {
		if l.private(key, file, l.files[file]) {
			return nil, false
		}
		files[strings.TrimPrefix(file, dir+"/")] = l.files[file]
	}
	if len(files) == 0 {
		l.problems.Add("POL005", where, "add the folder; paths are relative to "+l.home(), "%s: there is no folder %s", key, dir)
		return nil, false
	}
	return files, true
}

// private tells of a private key, which nobody may read any more.
func (l *loader) private(key, file string, data []byte) bool {
	at := privateKey.FindIndex(data)
	if at != nil {
		where := mirror.Position{File: file, Line: 1 + bytes.Count(data[:at[0]], []byte("\n"))}
		l.problems.Add("POL006", where, "make a new key pair, commit only its public key, and treat this one as lost", "%s: the file holds a private key", key)
	}
	return at != nil
}

// maxLeak is how many bytes of a file are looked through for a private key that nothing names.
const maxLeak = 64 << 10

// aPrivateKey is how every private key in PEM form or in the armor of OpenPGP begins, also one that is indented.
var aPrivateKey = regexp.MustCompile(`-----BEGIN [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----`)

// leaked tells of private keys in files that the document does not name: whoever reads the repository has them.
func (l *loader) leaked() {
	for _, file := range l.files.Under(l.dir) {
		data := l.files[file]
		found := aPrivateKey.FindIndex(data[:min(len(data), maxLeak)])
		told := func(p mirror.Problem) bool { return p.Code == "POL006" && p.Where.File == file }
		if found == nil || slices.ContainsFunc(l.problems, told) {
			continue
		}
		where := mirror.Position{File: file, Line: 1 + bytes.Count(data[:found[0]], []byte("\n"))}
		l.problems.Add("POL006", where, "take it out, use a new key instead, and treat this one as lost: it stays in the history", "%s holds a private key", file)
	}
}

// below gives the path in files of what the document names; false for one that leaves its folder.
func (l *loader) below(key, name string, where mirror.Position) (string, bool) {
	if !isBelow(name) {
		l.problems.Add("POL005", where, "write the path below "+l.home()+", such as keys/release.pub", "%s: %q is not a path below %s", key, name, l.home())
		return "", false
	}
	return path.Join(l.dir, name), true
}

// isBelow says whether a path stays in the folder that it begins at.
func isBelow(name string) bool {
	return name != "" && name != "." && !path.IsAbs(name) && !strings.Contains(name, `\`) && path.Clean(name) == name && !strings.HasPrefix(name, "..")
}

// home is what people call the folder that paths begin at.
func (l *loader) home() string {
	if l.floor {
		return "the folder of the floor"
	}
	return l.dir + "/"
}

func (l *loader) nearestFile(file string) string {
	if near := mirror.Nearest(file, l.files.Under(path.Dir(file))); near != "" {
		return fmt.Sprintf("did you mean %q?", strings.TrimPrefix(near, l.dir+"/"))
	}
	return "add the file; paths are relative to " + l.home()
}

// privateKey is in the first line of every private key in PEM form or in the armor of OpenPGP, encrypted or not.
var privateKey = regexp.MustCompile(`PRIVATE KEY(?: BLOCK)?-----`)
