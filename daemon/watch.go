package daemon

import (
	"crypto/sha256"
	"fmt"
	"os"
	"reflect"
	"slices"
	"time"

	"github.com/poundlock/poundlock/sync/publish"
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
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			content = []byte(err.Error())
		}
		fmt.Fprintf(h, "%q %x %t\n", file, sha256.Sum256(content), err == nil)
	}
	return print(h.Sum(nil))
}

func (w *watch) look() found {
	return found{printOf(append([]string{w.file}, dropInFiles(w.file)...)...), printOf(w.others...)}
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

// refers takes in what the configuration that was read refers to, before any of that is read. A secret that is
// not there yet is watched, too: it is why the configuration will be refused.
func (w *watch) refers(c Config) {
	w.file, w.others = c.file, c.readOnce()
	for _, key := range sortedKeys(c.secrets()) {
		secret := c.secrets()[key]
		file, _ := secret.path()
		if _, err := secret.Read(); err != nil && file != "" {
			w.others = append(w.others, file)
		}
	}
	w.seen.others = printOf(w.others...)
	w.last = w.seen
}

// accept says that the configuration that was read last is in force.
func (w *watch) accept() { w.inForce = w.seen.others }

// dropInFiles gives the files that are laid over a configuration file.
func dropInFiles(file string) []string {
	files, _, _ := dropIns(file) // what cannot be listed is told by Load
	return files
}

// readOnce gives the files that a line reads when it opens and not again, besides the configuration itself.
// Other secrets are read at each use.
func (c Config) readOnce() []string {
	signing, _ := c.Git.Signing.Key.path()
	files := []string{c.Git.Auth.KnownHosts, signing}
	all := []TLS{c.TLS, c.Git.TLS}
	for _, name := range sortedKeys(c.Registries) {
		all = append(all, c.Registries[name].TLS)
	}
	for _, t := range all {
		files = append(append(files, t.CAFiles...), t.CertFile, t.KeyFile)
	}
	return slices.DeleteFunc(files, func(f string) bool { return f == "" })
}

// same says whether two configurations ask for the same: where a value was set does not matter.
func (c Config) same(o Config) bool {
	// Templates that were compiled twice are never equal; their texts are.
	const message = "git.message"
	before, _ := c.text(message)
	if after, _ := o.text(message); before != after {
		return false
	}
	c.Git.Message, o.Git.Message = publish.Message{}, publish.Message{}
	a, b := reflect.ValueOf(c), reflect.ValueOf(o)
	for i := range a.NumField() {
		if f := a.Type().Field(i); !f.IsExported() || f.Tag.Get("yaml") == "-" {
			continue
		}
		if !reflect.DeepEqual(a.Field(i).Interface(), b.Field(i).Interface()) {
			return false
		}
	}
	return true
}
