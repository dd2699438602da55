package daemon

import (
	"crypto/sha256"
	"fmt"
	"time"

	"github.com/poundlock/poundlock/daemon/config"
	"github.com/poundlock/poundlock/internal/file"
	"github.com/poundlock/poundlock/internal/mirror"
)

// watchEvery is how often the files of the configuration are read again. What was read must be the same twice
// before it counts, so that a file is not taken while it is being written. Reading contents sees what a rename or
// the swap of a symbolic link brings, as Kubernetes mounts make it.
const watchEvery = 2 * time.Second

// watch knows the configuration files as they were looked at.
type watch struct {
	file    string   // of the configuration; its drop-in files lie beside it
	others  []string // that it refers to, and that are read only when a line opens
	seen    found    // what the last attempt was made for
	last    found    // what the last look found
	inForce print    // the others, as they were when the configuration in force was read
}

// found is what one look finds.
type found struct{ own, others print }

// print is the identity of the content of some files.
type print [sha256.Size]byte

func printOf(files ...string) print {
	h := sha256.New()
	for _, name := range files {
		content, err := file.Read(name, mirror.MaxDocument)
		if err != nil {
			content = []byte(err.Error())
		}
		fmt.Fprintf(h, "%q %x %t\n", name, sha256.Sum256(content), err == nil)
	}
	return print(h.Sum(nil))
}

func (w *watch) look() found {
	return found{printOf(append([]string{w.file}, config.DropIns(w.file)...)...), printOf(w.others...)}
}

// changed says whether something else is there than what the last attempt was made for, and was there at the
// last look already.
func (w *watch) changed() bool {
	before := w.last
	w.last = w.look()
	return w.last != w.seen && w.last == before
}

// attempt is called before the configuration is read, so that a change meanwhile is seen at the next look.
func (w *watch) attempt() { w.seen.own = w.look().own }

// refers takes in what the configuration that was read refers to, before any of that is read.
func (w *watch) refers(c config.Config) {
	w.file, w.others = c.File(), c.Watched()
	w.seen.others = printOf(w.others...)
	w.last = w.seen
}

// accept says that the configuration that was read last is in force.
func (w *watch) accept() { w.inForce = w.seen.others }
