package daemon

import (
	"context"
	"net/http"
	"os"
	"strings"
	"syscall"

	"github.com/poundlock/poundlock/sync/plan"
)

// checkPackages looks at the folders of this machine that packages come through: those in which somebody puts them, and
// the spool, where one was needed.
func (d *doctor) checkPackages(context.Context) []Check {
	var checks []Check
	for _, name := range sortedKeys(d.config.Packages.Drop) {
		dir := d.config.Packages.Drop[name]
		if _, err := os.ReadDir(dir); err != nil {
			p := adviser{d.config}.problem("PKG025", "packages.drop."+name, "the drop folder %s cannot be read", dir)
			p.Why, p.Fix = clean(err.Error()), "make it, readable for the user of poundlock, or correct the key; what stands stays meanwhile"
			checks = append(checks, Check{Group: "disk", Name: dir, State: CheckFailed, Detail: p.What, Problem: &p})
			continue
		}
		checks = append(checks, ok("disk", dir, "drop folder %s, readable", name))
	}
	var stat syscall.Statfs_t
	dir := spoolDir(d.config)
	if err := syscall.Statfs(dir, &stat); err != nil {
		return checks // no package was fetched here
	}
	limit, free := d.config.Packages.SpoolLimit<<20, int64(stat.Bavail)*int64(stat.Bsize)
	used := openSpool(dir, limit, true).size()
	check := ok("disk", dir, "%s of %s for packages used", plan.Bytes(used), plan.Bytes(limit))
	if free < limit-used {
		p := adviser{d.config}.problem("PKG024", "packages.spoolLimit", "packages may take %s of %s, and %s are free there", plan.Bytes(limit), dir, plan.Bytes(free))
		p.Fix = "free space there, or set packages.spoolLimit to less than there is"
		check = d.warned("disk", dir, p)
	}
	return append(checks, check)
}

// checkPackageRegistry asks a package registry for a package that there is nowhere: the question that every cycle asks, with
// a short answer.
func (d *doctor) checkPackageRegistry(ctx context.Context, host, address string) Check {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	asked, err := newFileRequest(ctx, http.MethodGet, strings.TrimRight(address, "/")+"/search?package=poundlock-doctor")
	if err != nil {
		return d.failed("source", host, err)
	}
	resp, err := upstreamOf{web: forFiles(d.out.Client(), d.config)}.do(asked)
	if err != nil {
		return d.failed("source", host, err)
	}
	resp.Body.Close()
	return ok("source", host, "%s answers searches for packages", address)
}
