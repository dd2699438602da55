package daemon

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"syscall"

	"github.com/poundlock/poundlock/daemon/config"
	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/internal/wire"
)

// Advise says of any error what happened, which key of the configuration governs it, why, and what to do about
// it. Problems come back as they are; joined errors become several problems, the same one only once. An error
// that nobody here knows is ERR001 with its own text. No problem holds a secret that this process has read.
func Advise(c config.Config, err error) mirror.Problems {
	var all mirror.Problems
	for _, cause := range Causes(err) {
		for _, p := range (adviser{c}).advise(cause) {
			for _, text := range []*string{&p.What, &p.Why, &p.Fix, &p.Where.File, &p.Snippet} {
				*text = wire.Mask(*text)
			}
			if !slices.ContainsFunc(all, func(q mirror.Problem) bool { return q.Code == p.Code && q.What == p.What && q.Where == p.Where }) {
				all = append(all, p)
			}
		}
	}
	return all
}

// Causes takes errors apart that were joined, at any depth: each is a trouble of its own. An error that is
// not a joined one comes back alone, with all that was wrapped around it.
func Causes(err error) []error {
	if err == nil {
		return nil
	}
	if many, ok := err.(interface{ Unwrap() []error }); ok {
		var texts []string
		for _, e := range many.Unwrap() {
			texts = append(texts, e.Error())
		}
		// fmt.Errorf with several %w has the same method and is one sentence about one trouble.
		if err.Error() != strings.Join(texts, "\n") {
			return []error{err}
		}
		var all []error
		for _, e := range many.Unwrap() {
			all = append(all, Causes(e)...)
		}
		return all
	}
	if inner := Causes(errors.Unwrap(err)); len(inner) > 1 {
		return inner
	}
	return []error{err}
}

func (c adviser) advise(err error) mirror.Problems {
	var many mirror.Problems
	if errors.As(err, &many) {
		return many
	}
	var known mirror.Problem
	if errors.As(err, &known) {
		return mirror.Problems{known}
	}
	for _, ask := range []func(error) (mirror.Problem, bool){c.adviseFullDisk, c.adviseLock, c.adviseSecret, c.adviseGit, c.adviseForge, c.adviseRegistry, c.adviseWire, c.adviseDisk} {
		if p, ok := ask(err); ok {
			return mirror.Problems{p}
		}
	}
	return mirror.Problems{c.adviseRest(err)}
}

// clean is mirror.Clean without the secrets that this process has read. They are masked first: of one that was cut
// nobody would know that it is one.
func clean(text string) string { return mirror.Clean(wire.Mask(text)) }

// adviser looks for what a configuration has to do with an error.
type adviser struct{ config.Config }

// problem begins one about a key of the configuration; "" for none.
func (c adviser) problem(code, key, format string, args ...any) mirror.Problem {
	p := mirror.Problem{Code: code, Path: key, What: clean(fmt.Sprintf(format, args...))}
	if key != "" {
		p.Where = c.PlaceOf(c.leaf(key))
	}
	return p
}

// leaf gives, for the key of a peer, the one below it that names its address: that one may come from a flag.
func (c adviser) leaf(key string) string {
	name, isRegistry := strings.CutPrefix(key, "registries.")
	switch r, known := c.Registries[name]; {
	case key == "git":
		return "git.url"
	case isRegistry && known && r.Endpoint != "":
		return key + ".endpoint"
	case isRegistry && known:
		return key + ".host"
	}
	return key
}

func (c adviser) adviseLock(err error) (mirror.Problem, bool) {
	if !errors.Is(err, ErrLocked) {
		return mirror.Problem{}, false
	}
	p := c.problem("LOCK001", "stateDir", "another poundlock holds the state directory %s", c.StateDir)
	var by LockedError
	if errors.As(err, &by) {
		p.What = clean(by.Error())
	}
	p.Why = "two processes would undo each other's work"
	p.Fix = "ask the one that runs: `poundlock status`, `poundlock trigger SET --wait`; or end it first"
	return p, true
}

// adviseSecret is for references that gave a secret at the start and give none now.
func (c adviser) adviseSecret(err error) (mirror.Problem, bool) {
	var s *config.SecretError
	if !errors.As(err, &s) {
		return mirror.Problem{}, false
	}
	p := c.problem("CFG017", "", "%v", s)
	p.Where.File, p.Fix = c.File(), s.Fix
	if p.Fix == "" {
		p.Fix = "put it back, readable for the user of poundlock; it is read anew at each use"
	}
	return p, true
}

// adviseFullDisk comes before those who are asked while something is written: they are not at fault.
func (c adviser) adviseFullDisk(err error) (mirror.Problem, bool) {
	if !errors.Is(err, syscall.ENOSPC) && !errors.Is(err, syscall.EDQUOT) {
		return mirror.Problem{}, false
	}
	return c.adviseDisk(err)
}

// adviseDisk is for files other than the state, whose own errors say more.
func (c adviser) adviseDisk(err error) (mirror.Problem, bool) {
	file := "a file"
	if path := (*fs.PathError)(nil); errors.As(err, &path) {
		file = path.Path
	}
	var p mirror.Problem
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		p = c.problem("DISK003", "", "no space is left to write %s", file)
		p.Fix = "free space there: `df -h` and `df -i` say how much is left"
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS):
		p = c.problem("DISK001", "", "%s may not be read or written", file)
		p.Fix = "give the user of poundlock the right to it: `ls -l` shows who has"
	default:
		return p, false
	}
	p.Why = clean(err.Error())
	return p, true
}

func (c adviser) adviseRest(err error) mirror.Problem {
	var p mirror.Problem
	switch {
	case errors.Is(err, config.ErrConfiguration):
		p = c.problem("CFG100", "", "%s", strings.TrimPrefix(err.Error(), config.ErrConfiguration.Error()+": "))
		p.Where.File = c.File()
		p.Fix = "correct the configuration; `poundlock explain KEY` tells what a key takes"
	case errors.Is(err, mirror.ErrRefused):
		p = c.problem("POL100", "", "%v", err)
		p.Fix = "`poundlock plan` shows what each entry lacks; a rule or an exception goes into desired/policy.yaml"
	case errors.Is(err, mirror.ErrDigestMismatch):
		p = c.problem("REG007", "", "%v", err)
		p.Why, p.Fix = "bytes that are not those of their digest are never taken", "ask again later; when it stays, tell who runs that registry or the proxy before it"
	case errors.Is(err, errCycleDeadline):
		p = c.problem("NET003", "limits.cycle", "%v", err)
		p.Fix = "raise limits.cycle, or see in the log what takes long; the next cycle goes on from there"
	case errors.Is(err, context.DeadlineExceeded):
		p = c.problem("NET003", "", "%v", err)
		p.Fix = "try again; `poundlock doctor` says which host does not answer"
	default:
		p = c.problem("ERR001", "", "%v", err)
	}
	return p
}

// peer is who an error is about, with what the configuration says of it.
type peer struct {
	name string // in words: registry docker.io
	key  string // registries.dockerhub or git; "" when it is not configured
	who  string // the credential that is configured, in words
	ca   []string
	home bool // the local registry
}

// peerAt finds the registry that is asked at host:port; of several behind one address the one that references
// call name.
func (c adviser) peerAt(address, name string) peer {
	p := peer{name: "registry " + name, who: asNobody, ca: c.TLS.CAFiles}
	if name == "" || name == address {
		p.name = address
	} else {
		p.name += " (asked at " + address + ")"
	}
	for _, key := range sortedKeys(c.Registries) {
		r := c.Registries[key]
		if !sameAddress(r.URL(), address) || p.key != "" && r.Host != name {
			continue
		}
		p.key, p.who, p.home = "registries."+key, registryWho(r), key == config.LocalRegistry
		p.ca = slices.Concat(c.TLS.CAFiles, r.TLS.CAFiles)
	}
	return p
}

const asNobody = "anonymous"

// registryWho says in words which credential a registry gets, and where it comes from.
func registryWho(r config.Registry) string {
	switch {
	case !r.Auth.Token.IsZero():
		return "the token of " + r.Auth.Token.String()
	case r.Auth.Username != "":
		return fmt.Sprintf("user %q with the password of %s", r.Auth.Username, r.Auth.Password)
	case r.Auth.Keychain:
		return "the Docker keychain"
	}
	return asNobody
}

// gitWho says in words which credential Git gets, and where it comes from.
func gitWho(g config.GitConfig) string {
	switch {
	case !strings.Contains(g.URL, "://") && strings.HasPrefix(g.URL, "/"), strings.HasPrefix(g.URL, "file:"):
		return asNobody
	case !strings.HasPrefix(g.URL, "http"):
		return "the ssh key of " + g.Auth.SSHKey.String()
	case !g.Auth.Token.IsZero():
		return "the token of " + g.Auth.Token.String()
	case !g.Auth.Password.IsZero():
		return fmt.Sprintf("user %q with the password of %s", g.Auth.Username, g.Auth.Password)
	}
	return asNobody
}
