package daemon

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/poundlock/poundlock/daemon/config"
	"github.com/poundlock/poundlock/internal/git"
	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/internal/registry"
	"github.com/poundlock/poundlock/internal/wire"
	"github.com/poundlock/poundlock/sources"
)

// CheckState is how one check ended.
type CheckState string

// The states of a check.
const (
	CheckOK      CheckState = "ok"
	CheckWarning CheckState = "warning" // works, and something will not
	CheckFailed  CheckState = "failed"
	CheckNone    CheckState = "none" // nothing of the kind is configured, or it could not be tried
)

// Check is one thing that doctor looked at.
type Check struct {
	Group   string          `json:"group"` // config, git, fleet, source, target, trust, forge, proxy, ca, clock, disk or daemon
	Name    string          `json:"name"`  // what of the group: a host, a file
	State   CheckState      `json:"state"`
	Detail  string          `json:"detail"`            // facts in words
	Problem *mirror.Problem `json:"problem,omitempty"` // of a failed check and of some warnings
}

// checkTimeout bounds one check.
const checkTimeout = 30 * time.Second

// doctor looks at everything once. Its checks share one way out and one clone in a folder of its own.
type doctor struct {
	config   config.Config
	now      func() time.Time
	dir      string
	out      *wire.Wire
	registry *registry.Client

	mu    sync.Mutex
	asked map[string]bool          // by host: whether it wanted our credential
	skew  map[string]time.Duration // by host: how far its clock is ahead of ours
}

// Doctor looks at all that a run depends on, beside a running daemon and without its lock: each check runs
// whatever became of the others, within a time limit of its own. Before is for a machine on which nothing is
// installed yet: it asks nothing of any network and needs no rights elsewhere.
func Doctor(ctx context.Context, c config.Config, before bool, now func() time.Time) ([]Check, error) {
	d := &doctor{config: c, now: now, skew: map[string]time.Duration{}, asked: map[string]bool{}}
	groups := []func(context.Context) []Check{d.checkConfig, d.checkEPR, d.checkProxy, d.checkCA, d.checkDisk, d.checkPackages}
	if before {
		groups = slices.Insert(append(groups, d.checkOurClock), 1, d.checkSiteTrust)
		return d.all(ctx, groups), nil
	}
	var err error
	if d.dir, err = os.MkdirTemp("", "poundlock-doctor-"); err != nil {
		return nil, err
	}
	defer os.RemoveAll(d.dir)
	if err := d.open(); err != nil {
		// Without a way out the rest still tells something.
		return d.shut(d.all(ctx, append(groups, d.checkDaemon)), err), nil
	}
	defer d.out.Close()
	groups = slices.Insert(groups, 1, d.checkFleet, d.checkSiteTrust, d.checkTarget, d.checkForge)
	checks := d.all(ctx, append(groups, d.checkDaemon))
	checks = append(checks, d.checkSkew()...)
	slices.SortStableFunc(checks, byGroup)
	return checks, nil
}

// shut adds to the checks of this machine what follows where no way out could be made: the fault, unless one of
// them tells of it already, and what is not looked at for it.
func (d *doctor) shut(checks []Check, err error) []Check {
	if !slices.ContainsFunc(checks, func(c Check) bool { return c.State == CheckFailed && (c.Group == "config" || c.Group == "ca") }) {
		checks = append(checks, d.failed("config", "transport", err))
	}
	checks = append(checks, NotLookedAt("git", "fleet", "source", "target", "trust", "clock")...)
	slices.SortStableFunc(checks, byGroup)
	return checks
}

// NotLookedAt gives the checks of groups that have to wait for the configuration to be mended; without any, of all
// but itself.
func NotLookedAt(groups ...string) []Check {
	if len(groups) == 0 {
		groups = groupOrder[1:]
	}
	var checks []Check
	for _, group := range groups {
		checks = append(checks, none(group, "", "not looked at: the configuration has to be mended first"))
	}
	return checks
}

func byGroup(a, b Check) int {
	return slices.Index(groupOrder, a.Group) - slices.Index(groupOrder, b.Group)
}

var groupOrder = []string{"config", "git", "fleet", "source", "target", "trust", "forge", "proxy", "ca", "clock", "disk", "daemon"}

// all runs the groups side by side.
func (d *doctor) all(ctx context.Context, groups []func(context.Context) []Check) []Check {
	found := make([][]Check, len(groups))
	var wg sync.WaitGroup
	for i, group := range groups {
		wg.Go(func() { found[i] = group(ctx) })
	}
	wg.Wait()
	return slices.Concat(found...)
}

func (d *doctor) open() error {
	hosts, endpoints, err := hostsOf(d.config)
	if err != nil {
		return err
	}
	for name, h := range hosts {
		if give := h.Credential; give != nil {
			h.Credential = func(ctx context.Context) (wire.Credential, error) {
				d.mu.Lock()
				d.asked[name] = true
				d.mu.Unlock()
				return give(ctx)
			}
			hosts[name] = h
		}
	}
	d.out, err = wire.New(wire.Settings{Hosts: hosts, CAFiles: d.config.TLS.CAFiles, UserAgent: "poundlock", Observe: d.observe, Public: true})
	if err != nil {
		return fmt.Errorf("%w: %w", config.ErrConfiguration, err)
	}
	d.registry = registry.New(d.out.Client(), endpoints)
	return nil
}

// who says as whom a registry let us in: one that asks nobody has not seen the credential either.
func (d *doctor) who(r config.Registry) string {
	who := registryWho(r)
	u, err := url.Parse(r.URL())
	d.mu.Lock()
	defer d.mu.Unlock()
	if err != nil || who == asNobody || d.asked[u.Host] {
		return who
	}
	return asNobody + " (it never asked for the credential)"
}

// observe compares clocks: each answer carries its sender's.
func (d *doctor) observe(e wire.Event) {
	if e.Date.IsZero() {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.skew[e.Host] = e.Date.Sub(d.now())
}

func ok(group, name, format string, args ...any) Check {
	return Check{Group: group, Name: name, State: CheckOK, Detail: words(format, args...)}
}

func none(group, name, format string, args ...any) Check {
	return Check{Group: group, Name: name, State: CheckNone, Detail: words(format, args...)}
}

func words(format string, args ...any) string {
	return clean(fmt.Sprintf(format, args...))
}

// failed gives a check that ended in an error, with advice.
func (d *doctor) failed(group, name string, err error) Check {
	p := Advise(d.config, err)[0]
	return Check{Group: group, Name: name, State: CheckFailed, Detail: p.What, Problem: &p}
}

// warned is failed for what can be lived with.
func (d *doctor) warned(group, name string, p mirror.Problem) Check {
	return Check{Group: group, Name: name, State: CheckWarning, Detail: p.What, Problem: &p}
}

// checkFleet goes from Git to what it says: the repository, the fleet in it, the upstreams that its sets name,
// and who may vouch.
func (d *doctor) checkFleet(ctx context.Context) []Check {
	repo, head, checks := d.checkGit(ctx)
	if repo == nil {
		return append(checks, none("fleet", "", "not read"), none("source", "", "not known without the fleet"), none("trust", "", "not known without the fleet"))
	}
	defer repo.Close()
	files, err := repo.Files(head, "desired", "stages")
	if err != nil {
		return append(checks, d.failed("fleet", "", err))
	}
	desired, rules, problems := CheckFleet(head, files)
	for i := range desired.Sets {
		if set := &desired.Sets[i]; set.Asked {
			sources.Stay(set, lastRecord(repo, head, d.config.Site, *set)) // what its upstream named last
		}
	}
	if len(problems) > 0 {
		bad := d.failed("fleet", "", problems)
		if path := d.config.Git.Path; path != "" && bad.Problem.Where.File != "" {
			bad.Problem.Where.File = filepath.Join(path, bad.Problem.Where.File)
		}
		if more := len(problems) - 1; more > 0 {
			bad.Detail += fmt.Sprintf(", and %d more", more)
		}
		bad.Detail += fmt.Sprintf(" (commit %.10s)", head)
		checks = append(checks, bad)
	} else if bad := d.checkSigned(ctx); bad != nil {
		checks = append(checks, *bad)
	} else {
		entries := 0
		for _, s := range desired.Sets {
			entries += len(s.Entries)
		}
		checks = append(checks, ok("fleet", "", "%s, %s, commit %.10s", count(len(desired.Sets), "set"), count(entries, "entry"), head))
	}
	checks = append(checks, d.checkSecrets(desired)...)
	checks = append(checks, d.checkSources(ctx, desired)...)
	if len(problems) == 0 {
		checks = append(checks, d.checkStages(desired)...)
		checks = append(checks, d.checkRendered(repo, head, desired)...)
	}
	return append(checks, d.checkTrust(rules, problems)...)
}

func (d *doctor) checkGit(ctx context.Context) (*git.Repo, string, []Check) {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	dir := filepath.Join(d.dir, "git")
	_ = git.CopyClone(filepath.Join(d.config.StateDir, "git"), dir) // without one it is cloned anew, which is only slower
	repo, err := git.Open(ctx, gitOptions(d.config.Git, dir, d.out))
	if err != nil {
		return nil, "", []Check{d.failed("git", "", fmt.Errorf("%w: git: %w", config.ErrConfiguration, err))}
	}
	push := repo.CanPush(ctx)
	head, err := repo.Fetch(ctx)
	if err != nil {
		repo.Close()
		return nil, "", []Check{d.failed("git", "", err)}
	}
	name := pathOf(d.config.Git.URL)
	if push != nil {
		bad := d.failed("git", name, push)
		bad.Detail = "reads, and may not push: " + bad.Detail
		return repo, head, []Check{bad}
	}
	return repo, head, []Check{ok("git", name, "read + push to %s as %s, branch %s", name, gitWho(d.config.Git), branchesOf(d.config.Git))}
}

// branchesOf names the branches that are read and written.
func branchesOf(g config.GitConfig) string {
	if state := g.State(); state != "" {
		return g.Branch + ", and " + state + " for rendered/"
	}
	return g.Branch
}

// maxSkew is how far a clock may be off before certificates and records suffer.
const maxSkew = time.Minute

// checkSkew compares our clock with those of all who answered.
func (d *doctor) checkSkew() []Check {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.skew) == 0 {
		return []Check{none("clock", "", "nobody answered who could tell the time")}
	}
	worst := ""
	for _, host := range sortedKeys(d.skew) {
		if worst == "" || d.skew[host].Abs() > d.skew[worst].Abs() {
			worst = host
		}
	}
	off := d.skew[worst].Abs()
	if off <= maxSkew {
		return []Check{ok("clock", "", "at most %.1f s from %s (limit %.0f s)", off.Seconds(), worst, maxSkew.Seconds())}
	}
	side := "behind"
	if d.skew[worst] < 0 {
		side = "ahead of"
	}
	p := adviser{d.config}.problem("DRT001", "", "our clock is %s %s %s (limit %.0f s)", off.Round(time.Second), side, worst, maxSkew.Seconds())
	p.Why = "certificates, tokens and the record of who moved what depend on the time"
	p.Fix = "let a time service set it: `timedatectl set-ntp true`; with one host alone being off, tell who runs it"
	return []Check{{Group: "clock", State: CheckFailed, Detail: p.What, Problem: &p}}
}

func count(n int, word string) string { return fmt.Sprintf("%d %s", n, plural(n, word)) }

func plural(n int, word string) string {
	switch {
	case n == 1:
		return word
	case strings.HasSuffix(word, "y") && word != "key":
		return strings.TrimSuffix(word, "y") + "ies"
	}
	return word + "s"
}
