// Package git keeps a bare clone of one branch of the fleet repository: it asks for the head, fetches,
// reads files by object id, and commits by pushing onto exactly the head that was read.
//
// The repository is input, not code: nothing is ever checked out, no hook runs, no link is followed and
// every size is capped before bytes are held in memory. The clone may be deleted at any moment, and it is
// made anew by the next Fetch when it is damaged or was left locked. Credentials never stand in a URL, an
// error or a file. What the files mean is left to others.
package git

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/storage/filesystem"

	"github.com/poundlock/poundlock/internal/mirror"
)

// Time bounds, for a caller whose context has no earlier deadline.
const (
	listTimeout  = time.Minute      // one ref listing
	pushTimeout  = 2 * time.Minute  // one push, its settling included
	fetchTimeout = 30 * time.Minute // a clone over a slow line
)

// Options say which branch of which repository is followed, and how it is reached.
type Options struct {
	URL    string // https://, http://, ssh://, user@host:path, file:// or an absolute path; never with a password
	Branch string // short name, such as main
	State  string // a second branch that Fetch brings along where it is there, and CommitState moves; empty for none
	Path   string // the folder of the fleet repository inside the Git repository; empty for its root
	Dir    string // a directory of ours for the clone; created when missing
	HTTP   http.RoundTripper
	Auth   Auth
	Author Author
	Sign   Signer // optional
	Limits Limits
	// Keep gives commits that a clone which is made anew takes over from the one before, with their history, since the
	// remote may not have them any more; nil for none.
	Keep func() []string
}

// Auth are the credentials for one remote. The secrets are asked for at each session, so that a rotated
// one counts at once, and are kept nowhere. Absent functions mean: no such credential.
type Auth struct {
	Username   string                                // for https with Password or Token, or for ssh (default git)
	Password   func(context.Context) (string, error) // https basic
	Token      func(context.Context) (string, error) // https; sent as the password of Username, else of x-access-token
	PrivateKey func(context.Context) ([]byte, error) // ssh: OpenSSH or PEM, without passphrase
	KnownHosts string                                // ssh: the known_hosts file; the host key is always checked
}

// Author is who our commits are by.
type Author struct{ Name, Email string }

// MaxFile is how many bytes one file may have that Files reads, where Options do not say otherwise.
const MaxFile = 1 << 20

// Limits cap what Files reads. Zero fields take the default.
type Limits struct {
	File  int64 // bytes of one file; default MaxFile
	Total int64 // bytes of all files of one call; default 64 MiB
	Files int   // files of one call; default 20,000
}

func (l Limits) withDefaults() Limits {
	if l.File <= 0 {
		l.File = MaxFile
	}
	if l.Total <= 0 {
		l.Total = 64 << 20
	}
	if l.Files <= 0 {
		l.Files = 20_000
	}
	return l
}

// Repo is the local clone of one branch and the way to its remote. It may be used by several goroutines.
type Repo struct {
	opts   Options
	branch plumbing.ReferenceName
	state  plumbing.ReferenceName // empty for none
	remote dialer

	network sync.Mutex // one Fetch or Commit at a time

	mu     sync.Mutex // guards what follows: go-git's storage is not safe for concurrent use
	store  *filesystem.Storage
	loose  int   // single objects in it
	damage error // why the clone cannot be trusted; the next Fetch makes it anew
}

// Open checks the options and looks at the clone that an earlier process may have left. It does not use
// the network: an unreachable server shows at the first Remote or Fetch.
func Open(ctx context.Context, o Options) (*Repo, error) {
	o.Limits = o.Limits.withDefaults()
	r := &Repo{opts: o, branch: plumbing.NewBranchReferenceName(o.Branch)}
	if !mirror.IsBranch(o.Branch) {
		return nil, fmt.Errorf("malformed branch name %q", o.Branch)
	}
	if o.State != "" {
		if !mirror.IsBranch(o.State) || o.State == o.Branch {
			return nil, fmt.Errorf("malformed name of a second branch %q", o.State)
		}
		r.state = plumbing.NewBranchReferenceName(o.State)
	}
	if o.Dir == "" {
		return nil, errors.New("no directory for the clone")
	}
	if strings.ContainsAny(o.Author.Name+o.Author.Email, "<>\n\r\x00") {
		return nil, errors.New("the author's name and address must not contain <, > or line breaks")
	}
	r.opts.Path = strings.Trim(o.Path, "/")
	if r.opts.Path != "" {
		if err := checkPath(r.opts.Path); err != nil {
			return nil, fmt.Errorf("path inside the repository: %w", err)
		}
	}
	remote, err := newDialer(o)
	if err != nil {
		return nil, err
	}
	r.remote = remote
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := r.openClone(); err != nil {
		return nil, fmt.Errorf("open the clone in %s: %w", o.Dir, err)
	}
	return r, nil
}

// Remote asks what commit the branch is at, by one listing of the refs and nothing else.
func (r *Repo) Remote(ctx context.Context) (string, error) {
	l, err := r.Listing(ctx)
	return l.Head, err
}

// Close releases open files. The clone stays for the next process.
func (r *Repo) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.store == nil {
		return nil
	}
	store := r.store
	r.store = nil
	return store.Close()
}

// headIn picks our branch from a listing. Other names are never taken for it, whatever they spell.
func (r *Repo) headIn(refs map[string]plumbing.Hash) (plumbing.Hash, error) {
	head, ok := refs[r.branch.String()]
	if !ok || head.IsZero() {
		return plumbing.ZeroHash, &lastingError{fmt.Sprintf("branch %q: %v", r.opts.Branch, mirror.ErrNotFound), ErrNoBranch}
	}
	return head, nil
}
