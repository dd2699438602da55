package daemon

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/poundlock/poundlock/internal/mirror"
)

// How old what is known of the bytes of a package may be before an audit compares them again. Elastic never changes a
// version, but nothing in an answer would tell; versions before a release are overwritten every day.
const (
	comparedAgain      = 24 * time.Hour
	refusedAgain       = 6 * time.Hour
	signatureAgain     = time.Hour // of a package that is refused for the want of one
	packageAuditsLimit = 2000      // comparisons that one audit asks for
)

func isNotFetched(err error) bool { return errors.Is(err, mirror.ErrNotFetched) }

// isRefused says that the bytes of a package were seen and are not acceptable.
func isRefused(err error) bool { return errors.Is(err, errBadPackage) }

// errBadPackage is in the chain of what says that the bytes of a package are not acceptable as they are.
var errBadPackage = fmt.Errorf("the package is not acceptable: %w", mirror.ErrRefused)

// due gives what is to be fetched or compared for a set after a step: what its plan lacks, what upstream says something
// new of and, at an audit, what was compared long ago.
func (p *packages) due(v *view, w Wake, at time.Time) (jobs []packageJob) {
	first := map[string]mirror.Action{}
	lacks := map[mirror.Reference]bool{}
	for _, a := range v.plan.Actions {
		if a.Stage == v.set.Stages.First() {
			first[a.Key.Entry] = a
		}
		if a.Kind == mirror.Fetch {
			lacks[a.Image.WithDigest(mirror.Digest{})] = true
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	audited := 0
	for _, e := range v.set.Entries {
		a, planned := first[e.Name]
		if e.Package.IsZero() || e.Image.HasDigest() || planned && a.Kind == mirror.Skip {
			continue
		}
		job := packageJob{key: keyOfPackage(e.Image, e.Package), image: e.Image, at: e.Package}
		known, is := p.known.get(job.key)
		failed, trouble := p.failed[job.key]
		switch {
		case p.jobs[job.key] != nil:
			job.compare = p.jobs[job.key].compare // it goes on
		case trouble && !w.Resolve && at.Before(failed.again):
			continue
		case lacks[e.Image] && is && known.Refused == nil:
			if !p.mayFetchAgain(job.key, at) {
				continue
			}
		case lacks[e.Image] || !is:
		case known.Print != e.Package.Print, p.doubted[v.set.Name][job.key]:
			job.compare = true
		case known.Refused != nil && !at.Before(known.At.Add(refusedAgain)):
		case known.Refused == nil && audited < packageAuditsLimit && (w.Audit && known.old(e.Package, at) || a.Reason.Code == mirror.NoSignature && known.lacksSignature(e.Package, at)):
			audited++
			job.compare = true
		default:
			continue
		}
		jobs = append(jobs, job)
	}
	return jobs
}

// mayFetchAgain counts that a known package is fetched once more; p.mu is held.
func (p *packages) mayFetchAgain(key string, at time.Time) bool {
	again := p.again[key]
	if at.Sub(again.since) >= fetchedAgainIn {
		again = fetchedAgain{since: at}
	}
	again.times++
	p.again[key] = again
	return again.times <= maxFetchedAgain
}

// lacksSignature says whether the signature of a package that upstream names was not there when it was asked for, and is
// asked for once more. Elastic's server answers 500 for one that is not there and for one that it cannot read now.
func (k knownPackage) lacksSignature(at mirror.PackageAt, now time.Time) bool {
	return at.Signature != "" && !k.Zip.Unknown && k.Zip.Signature == (mirror.Digest{}) && !now.Before(k.At.Add(signatureAgain))
}

// old says whether a package was compared so long ago that an audit compares it again.
func (k knownPackage) old(at mirror.PackageAt, now time.Time) bool {
	prerelease := strings.Contains(at.Version, "-")
	return prerelease && now.Sub(k.At) >= time.Hour || now.Sub(k.At) >= comparedAgain
}

// standing notes of a plan where the bytes of packages lie in the local registry, so that they are read from there when
// the spool has them no longer, and which of those in the spool somebody still waits for.
func (p *packages) standing(v *view) {
	mine, waits := map[string]bool{}, map[string]bool{}
	for _, e := range v.set.Entries {
		mine[keyOfPackage(e.Image, e.Package)] = true
	}
	for _, a := range v.plan.Actions {
		switch {
		case a.Kind == mirror.Copy || a.Kind == mirror.Failed:
			waits[spoolName(a.Image, a.New)] = true
		case a.Kind == mirror.Unchanged && a.Image.HasDigest():
			p.known.stored(a.Image, a.To)
		}
	}
	p.spool.need(v.set.Name, mine, waits)
}
