package daemon

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/poundlock/poundlock/daemon/config"
	"github.com/poundlock/poundlock/internal/file"
	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/policy"
)

// How much is read for a floor: the same bounds that hold for one file of the fleet repository, and a folder that
// holds one copy of a TUF repository.
const (
	maxFloorFiles  = 1000
	maxFloorBytes  = 64 << 20
	maxFloorFolder = 4 // folders below each other
)

// floor is the policy file of this machine that must admit, too, as it was read.
type floor struct {
	files    mirror.Files    // by the path as the configuration has it
	problems mirror.Problems // what of it could not be read
	print    string          // identity of all of that; "" where no floor is configured
}

// readFloor reads the floor that a configuration names, with the files below its folder that it names.
func readFloor(c config.Config) floor {
	name := c.Trust.Floor
	if name == "" {
		return floor{}
	}
	f := floor{files: mirror.Files{}}
	document, err := file.Read(name, mirror.MaxDocument)
	if err != nil && !errors.As(err, new(*file.TooLargeError)) { // which loading tells
		f.trouble(c, "CFG050", "write the policy there, readable for the user of poundlock, or delete the key", "trust.floor: %s cannot be read: %v", name, reason(err))
	} else {
		f.files[name] = document
		for _, below := range policy.Needs(document) {
			f.read(c, filepath.Join(filepath.Dir(name), below), 0)
		}
	}
	f.print = f.identity()
	return f
}

// read takes in a file, or a folder with all that it holds. What is not there is left to loading, which knows the
// line that names it.
func (f *floor) read(c config.Config, name string, depth int) {
	if len(f.files) >= maxFloorFiles || f.size() > maxFloorBytes || depth > maxFloorFolder {
		if !slices.ContainsFunc(f.problems, func(p mirror.Problem) bool { return p.Code == "CFG051" }) {
			f.trouble(c, "CFG051", "move what the floor does not need out of its folders", "trust.floor: what it names has more than %d files, %d MiB or %d folders below each other",
				maxFloorFiles, maxFloorBytes>>20, maxFloorFolder)
		}
		return
	}
	data, err := file.Read(name, mirror.MaxDocument)
	if errors.Is(err, syscall.EISDIR) {
		f.readFolder(c, name, depth)
		return
	}
	switch {
	case err == nil, errors.As(err, new(*file.TooLargeError)):
		f.files[name] = data
	case !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, syscall.ENOTDIR):
		f.trouble(c, "CFG051", "make it a file that the user of poundlock may read", "trust.floor: %s, which the floor names, cannot be read: %v", name, reason(err))
	}
}

func (f *floor) readFolder(c config.Config, name string, depth int) {
	entries, err := os.ReadDir(name)
	if err != nil {
		f.trouble(c, "CFG051", "make it a folder that the user of poundlock may read", "trust.floor: %s, which the floor names, cannot be read: %v", name, reason(err))
		return
	}
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), ".") { // Kubernetes keeps what a mount links to in such folders
			f.read(c, filepath.Join(name, e.Name()), depth+1)
		}
	}
}

func (f *floor) size() (n int) {
	for _, data := range f.files {
		n += len(data)
	}
	return n
}

func (f *floor) trouble(c config.Config, code, fix, format string, args ...any) {
	p := adviser{c}.problem(code, "trust.floor", format, args...)
	p.Fix = fix
	f.problems = append(f.problems, p)
}

// identity changes with every byte of the floor, and with what of it cannot be read.
func (f *floor) identity() string {
	h := sha256.New()
	for _, name := range sortedKeys(f.files) {
		fmt.Fprintf(h, "%q %x\n", name, sha256.Sum256(f.files[name]))
	}
	for _, p := range f.problems {
		fmt.Fprintf(h, "%s %q\n", p.Code, p.What)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// reason gives why a file cannot be read, without its name.
func reason(err error) error {
	var at *fs.PathError
	if errors.As(err, &at) {
		return at.Err
	}
	return err
}

// policy gives what the floor says: a policy with problems is not to be used. Without a floor it is one that adds
// nothing.
func (f floor) policy(c config.Config) (policy.Policy, mirror.Problems) {
	if c.Trust.Floor == "" {
		return policy.Policy{}, nil
	}
	if len(f.problems) > 0 {
		return policy.Policy{}, f.problems
	}
	p, problems := policy.LoadFloor(c.Trust.Floor, f.files)
	problems.QuotePublic(f.files)
	return p, problems
}

// checkFloor reads the floor once, so that its mistakes are told before anything is begun with it.
func checkFloor(c config.Config) error {
	_, problems := readFloor(c).policy(c)
	return problems.Err()
}
