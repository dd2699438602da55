package daemon

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/policy"
)

// standing gives the action about what stands for an entry at a stage, as a step judges it: by what lies beside it
// here.
func (l *Line) standing(f *fleet, set mirror.Set, record mirror.Record, stage mirror.Stage, entry string) mirror.Action {
	image := record.At(stage)[entry].Image
	to := l.local.Pointer(set, stage, entry, image)
	return mirror.Action{Kind: mirror.Unchanged, Key: mirror.Key{Set: set.Name, Entry: entry}, Stage: stage, Image: image,
		From: to.AtDigest(image.Digest), To: to, New: image.Digest, Vouch: vouchOf(f, set, record, stage, entry, image)}
}

// vouchOf gives the commit that vouches for an image of an entry: the one that the record holds for the stage, this
// one where desired/ names the digest, or the one of another stage; "" when none does.
func vouchOf(f *fleet, set mirror.Set, record mirror.Record, stage mirror.Stage, entry string, image mirror.Reference) string {
	if commit := record.Past(stage, entry).Vouches(image); commit != "" {
		return commit
	}
	if f.named[pin{mirror.Key{Set: set.Name, Entry: entry}, image}] {
		return f.desired.Commit
	}
	for _, s := range set.Stages {
		if commit := record.Past(s, entry).Vouches(image); commit != "" {
			return commit
		}
	}
	return ""
}

// coming gives the action about an image that would be brought from upstream. It is vouched for where desired/ names
// its digest.
func coming(f *fleet, image mirror.Reference, stage mirror.Stage) mirror.Action {
	a := mirror.Action{Kind: mirror.Copy, Stage: stage, Image: image, From: image, New: image.Digest}
	for _, set := range f.desired.Sets {
		for _, e := range set.Entries {
			if e.Pinned() && e.Image.Name() == image.Name() && e.Image.Digest == image.Digest {
				a.Key, a.Vouch = mirror.Key{Set: set.Name, Entry: e.Name}, f.desired.Commit
				a.Image, a.From = e.Image, e.Image
			}
		}
	}
	return a
}

// consult asks policy about an action outside of a step, which looks where a step looks, and gives the place that
// answered. What admits is the answer, wherever it lies, and so is what no signature mends; else it is not known where
// a place could not be asked, with the error, and refused as where most is proven.
func (l *Line) consult(ctx context.Context, f *fleet, v mirror.Verifier, a mirror.Action, c mirror.Content) (best mirror.Verdict, at mirror.Reference, unasked error) {
	for _, place := range l.places(f, a) {
		if a.From = place; place.Host != l.local.Host {
			a.Kind = mirror.Copy
		}
		_, verdict, err := mirror.Verify(ctx, v, a, c)
		if err != nil && verdict.Outcome == "" { // a verifier that fails without a word admits nothing
			verdict.Outcome, verdict.Reason = mirror.OutcomeUnknown, mirror.Because(mirror.NotVerified, "%v", err)
		}
		switch {
		case verdict.Outcome.Admits(), verdict.Outcome == mirror.OutcomeRejected && !unproven(verdict):
			return verdict, place, nil
		case best.Outcome == mirror.OutcomeUnknown:
		case verdict.Outcome == mirror.OutcomeUnknown:
			best, at, unasked = verdict, place, err
		case best.Outcome == "", len(verdict.Proofs) >= len(best.Proofs):
			best, at = verdict, place
		}
	}
	return best, at, unasked
}

// places lists where a step looks for what belongs to an image: where the action reads it, above the first stage of
// each set that has the image beside what stands at the stage and at the one below, and upstream.
func (l *Line) places(f *fleet, a mirror.Action) []mirror.Reference {
	var all []mirror.Reference
	add := func(place mirror.Reference) {
		if place = place.AtDigest(a.New); !slices.Contains(all, place) {
			all = append(all, place)
		}
	}
	if a.From.Host == l.local.Host {
		add(a.From)
	}
	for _, set := range f.desired.Sets {
		below, ok := set.Stages.Below(a.Stage)
		if ok && (a.Key.Set == set.Name || a.Key.Set == "" && has(set, a.Image)) {
			add(l.local.Repository(set, a.Stage, a.Image))
			add(l.local.Repository(set, below, a.Image))
		}
	}
	add(a.Image)
	return all
}

// has says whether a set names a repository at any stage.
func has(set mirror.Set, image mirror.Reference) bool {
	if slices.ContainsFunc(set.Entries, func(e mirror.Entry) bool { return e.Image.Name() == image.Name() }) {
		return true
	}
	for _, wanted := range set.Wanted {
		if slices.ContainsFunc(wanted, func(w mirror.Wanted) bool { return w.Image.Name() == image.Name() }) {
			return true
		}
	}
	return false
}

// foregone gives what policy says of an image whatever its digest is: that it is on a deny list, or that no rule
// matches. It is false where only the digest tells.
func foregone(ctx context.Context, v mirror.Verifier, image mirror.Reference, stage mirror.Stage) (mirror.Verdict, bool) {
	image = image.WithDigest(mirror.DigestOf(nil)) // of nothing at all
	_, verdict, _ := mirror.Verify(ctx, v, mirror.Action{Kind: mirror.Copy, Stage: stage, Image: image, From: image, New: image.Digest}, nil)
	return verdict, verdict.Outcome == mirror.OutcomeRejected && (verdict.Reason.Code == mirror.Denied || verdict.Reason.Code == mirror.NoRule) ||
		verdict.Outcome == mirror.OutcomeWarn && len(verdict.Rules) == 0
}

// proposal is a policy that may not be in force: that of a checkout, or of another commit.
type proposal struct {
	*fleet
	from  string // the folder or the commit, for people
	tests []policy.Test
}

// checkout stands for the commit that a checkout is in no history of: what its desired/ names is vouched for by it.
const checkout = "checkout"

// propose reads a checkout on disk, in which desired/ lies. Its mistakes come back as mirror.Problems.
func (l *Line) propose(dir string) (proposal, error) {
	files, problems := ReadFleet(dir)
	if len(files) == 0 && len(problems) > 0 {
		return proposal{}, problems.Err()
	}
	p, more := l.proposed(checkout, files)
	problems = append(problems, more...)
	for i := range problems {
		problems[i].Where = onDisk(dir, problems[i].Where)
	}
	for i := range p.tests {
		p.tests[i].Where = onDisk(dir, p.tests[i].Where)
	}
	p.from = dir
	return p, problems.Err()
}

// committed reads the fleet repository at an earlier commit of its history.
func (l *Line) committed(commit string) (proposal, error) {
	if !commitID.MatchString(commit) {
		return proposal{}, mirror.Problems{{Code: "FLT046", What: mirror.Clean(fmt.Sprintf("%q is no whole id of a commit", commit)), Fix: "write all 40 digits, as git rev-parse prints them"}}
	}
	files, problems, err := l.written(commit)
	if err != nil {
		return proposal{}, mirror.Problems{{Code: "FLT046", What: fmt.Sprintf("the history of the fleet repository has no commit %s here", commit),
			Fix: "name one of its branch, or name the folder of a checkout instead"}}
	}
	if len(problems) > 0 {
		return proposal{}, problems.Err()
	}
	p, problems := l.proposed(commit, files)
	p.from = commit
	return p, problems.Err()
}

func (l *Line) proposed(commit string, files mirror.Files) (proposal, mirror.Problems) {
	desired, rules, problems := CheckFleet(commit, files)
	problems = append(problems, l.signOwn(&desired)...)
	least, more := readFloor(l.config).policy(l.config)
	if problems = append(problems, more...); len(problems) > 0 {
		return proposal{}, problems
	}
	tests, _ := policy.LoadTests(files, commit) // CheckFleet told their problems
	return proposal{fleet: &fleet{head: commit, desired: desired, policy: rules.WithFloor(least), named: pinsOf(desired)}, tests: tests}, nil
}

// onDisk gives a place of the fleet repository as it is seen from the current folder.
func onDisk(dir string, where mirror.Position) mirror.Position {
	where.Commit = ""
	if where.File != "" && !strings.HasPrefix(where.File, "..") {
		where.File = filepath.Join(dir, filepath.FromSlash(where.File))
	}
	return where
}
