package daemon

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/poundlock/poundlock/daemon/config"
	"github.com/poundlock/poundlock/internal/file"
	"github.com/poundlock/poundlock/internal/mirror"
)

const (
	lowDisk  = 256 << 20           // bytes free below which a warning is due
	soonOver = 30 * 24 * time.Hour // rest of a certificate's life below which a warning is due
)

// checkConfig looks at what Load left open: warnings, and every secret and file that is named.
func (d *doctor) checkConfig(context.Context) []Check {
	c := d.config
	checks := []Check{ok("config", "", "%s, %s", count(len(c.Registries), "registry"), count(len(c.Warnings), "warning"))}
	for _, w := range c.Warnings {
		checks = append(checks, Check{Group: "config", State: CheckWarning, Detail: words("%s", w)})
	}
	bad := c.CheckSecrets()
	for i := range bad {
		checks = append(checks, Check{Group: "config", Name: bad[i].Path, State: CheckFailed, Detail: bad[i].What, Problem: &bad[i]})
	}
	if n := len(c.Secrets()); len(bad) == 0 && n > 0 {
		referred := 0
		for _, s := range c.Secrets() {
			if !s.IsZero() {
				referred++
			}
		}
		checks[0].Detail += ", " + count(referred, "secret") + " read"
	}
	if name := c.Git.Auth.KnownHosts; name != "" {
		if _, err := file.Read(name, mirror.MaxDocument); err != nil {
			checks = append(checks, d.unreadable("config", "git.auth.knownHosts", name, err))
		}
	}
	for _, p := range slices.Concat(CheckSigners(c), checkTelling(c), checkSealing(c), checkCalls(c)) {
		checks = append(checks, Check{Group: "config", Name: p.Path, State: CheckFailed, Detail: p.What, Problem: &p})
	}
	return append(checks, d.checkIdentities()...)
}

// checkIdentities reads the client certificates with their keys.
func (d *doctor) checkIdentities() []Check {
	named := map[string]config.TLS{"tls": d.config.TLS, "git.tls": d.config.Git.TLS}
	for name, r := range d.config.Registries {
		named["registries."+name+".tls"] = r.TLS
	}
	var checks []Check
	for _, key := range sortedKeys(named) {
		for _, f := range []struct{ key, name string }{{key + ".certFile", named[key].CertFile}, {key + ".keyFile", named[key].KeyFile}} {
			if f.name == "" {
				continue
			}
			if _, err := file.Read(f.name, mirror.MaxDocument); err != nil {
				checks = append(checks, d.unreadable("config", f.key, f.name, err))
			}
		}
	}
	return checks
}

// unreadable gives a check of a file that a key of the configuration names.
func (d *doctor) unreadable(group, key, file string, err error) Check {
	p := adviser{d.config}.problem("DRT002", key, "%s: %s cannot be read", key, file)
	p.Why = clean(err.Error())
	p.Fix = "put the file there, readable for the user of poundlock, or correct the key"
	return Check{Group: group, Name: file, State: CheckFailed, Detail: p.What, Problem: &p}
}

// checkProxy tells which proxies count. A user and password in the variable are left out.
func (d *doctor) checkProxy(context.Context) []Check {
	var facts []string
	for _, name := range []string{"HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY"} {
		value := os.Getenv(name)
		if value == "" {
			name = strings.ToLower(name)
			value = os.Getenv(name)
		}
		if value == "" {
			continue
		}
		if !strings.EqualFold(name, "NO_PROXY") {
			if !strings.Contains(value, "://") {
				value = "http://" + value
			}
			u, err := url.Parse(value)
			if err != nil || u.Host == "" {
				p := adviser{d.config}.problem("DRT003", "", "%s is not the address of a proxy", name)
				p.Fix = "write it as http://proxy.example.org:3128 into the environment of the service"
				return []Check{{Group: "proxy", Name: name, State: CheckFailed, Detail: p.What, Problem: &p}}
			}
			value = u.Host
		}
		facts = append(facts, name+" "+value)
	}
	if len(facts) == 0 {
		return []Check{none("proxy", "", "none (HTTPS_PROXY, HTTP_PROXY and NO_PROXY are not set)")}
	}
	return []Check{ok("proxy", "", "%s", strings.Join(facts, ", "))}
}

// checkCA reads every file of certificate authorities.
func (d *doctor) checkCA(context.Context) []Check {
	named := map[string][]string{"tls.caFiles": d.config.TLS.CAFiles, "git.tls.caFiles": d.config.Git.TLS.CAFiles}
	for name, r := range d.config.Registries {
		named["registries."+name+".tls.caFiles"] = r.TLS.CAFiles
	}
	var checks []Check
	for _, key := range sortedKeys(named) {
		for _, file := range named[key] {
			checks = append(checks, d.checkCAFile(key, file)...)
		}
	}
	if len(checks) == 0 {
		return []Check{ok("ca", "", "the system's authorities alone")}
	}
	return checks
}

func (d *doctor) checkCAFile(key, name string) []Check {
	rest, err := file.Read(name, mirror.MaxDocument)
	if err != nil {
		return []Check{d.unreadable("ca", key, name, err)}
	}
	var checks []Check
	for block, rest := pem.Decode(rest); block != nil; block, rest = pem.Decode(rest) {
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil || block.Type != "CERTIFICATE" {
			continue
		}
		facts := fmt.Sprintf("%s: %s, until %s", filepath.Base(name), mirror.Clean(cert.Subject.String()), cert.NotAfter.UTC().Format(time.DateOnly))
		switch left := cert.NotAfter.Sub(d.now()); {
		case left < 0:
			p := adviser{d.config}.problem("TLS006", key, "the certificate authority in %s has expired: %s", name, facts)
			p.Fix = "put its successor into the file"
			checks = append(checks, Check{Group: "ca", Name: name, State: CheckFailed, Detail: p.What, Problem: &p})
		case left < soonOver:
			checks = append(checks, Check{Group: "ca", Name: name, State: CheckWarning, Detail: facts + ", which is soon"})
		default:
			checks = append(checks, ok("ca", name, "%s", facts))
		}
	}
	if len(checks) == 0 {
		return []Check{d.unreadable("ca", key, name, errors.New("it holds no certificate in PEM form"))}
	}
	return checks
}

// checkDisk tries to write where the state lies, or will lie, and tells what is free.
func (d *doctor) checkDisk(context.Context) []Check {
	dirs := []string{d.config.StateDir}
	if dir := d.config.Registries[config.LocalRegistry].Embedded.Dir; dir != "" {
		dirs = append(dirs, dir)
	}
	var checks []Check
	for _, dir := range dirs {
		checks = append(checks, d.checkDir(dir))
	}
	return checks
}

func (d *doctor) checkDir(dir string) Check {
	at := dir
	for { // what is not there yet is made by the first run: its parent has to allow that
		info, err := os.Stat(at)
		if err == nil && !info.IsDir() {
			return d.failed("disk", dir, diskTrouble(dir, &fs.PathError{Op: "open", Path: at, Err: syscall.ENOTDIR}))
		}
		if err == nil || filepath.Dir(at) == at {
			break
		}
		at = filepath.Dir(at)
	}
	f, err := os.CreateTemp(at, ".poundlock-doctor-*")
	if err == nil {
		_, err = f.Write([]byte("doctor"))
		err = errors.Join(err, f.Close(), os.Remove(f.Name()))
	}
	if err != nil {
		if trouble := diskTrouble(dir, err); trouble != nil {
			return d.failed("disk", dir, trouble)
		}
		return d.failed("disk", dir, diskTrouble(dir, fs.ErrPermission)) // such as a folder of /proc
	}
	state := "writable"
	if at != dir {
		state = "will be made"
	}
	var stat syscall.Statfs_t
	if err := syscall.Statfs(at, &stat); err != nil {
		return ok("disk", dir, "%s %s", dir, state)
	}
	free := int64(stat.Bavail) * int64(stat.Bsize)
	check := ok("disk", dir, "%s %s, %.1f GiB free", dir, state, float64(free)/(1<<30))
	if free < lowDisk {
		p := adviser{d.config}.problem("DISK005", "", "%s", check.Detail)
		p.Where.File, p.Fix = dir, "free space there: `df -h` says what is full; images are copied through memory, Git and the state need room"
		return d.warned("disk", dir, p)
	}
	return check
}

// checkOurClock looks whether the time can be right, without asking anybody: files of the past lie before it.
func (d *doctor) checkOurClock(context.Context) []Check {
	now, newest := d.now(), time.Time{}
	files := []string{d.config.File()}
	if self, err := os.Executable(); err == nil {
		files = append(files, self)
	}
	for _, file := range slices.DeleteFunc(files, func(f string) bool { return f == "" }) {
		if info, err := os.Stat(file); err == nil && info.ModTime().After(newest) {
			newest = info.ModTime()
		}
	}
	if newest.Sub(now) > maxSkew {
		p := adviser{d.config}.problem("DRT001", "", "our clock says %s, and files here are from %s", day(now), day(newest))
		p.Why, p.Fix = "certificates and tokens depend on the time", "set the clock: `timedatectl set-ntp true`"
		return []Check{{Group: "clock", State: CheckFailed, Detail: p.What, Problem: &p}}
	}
	return []Check{ok("clock", "", "%s is plausible; it is compared with others once the network is there", day(now))}
}
