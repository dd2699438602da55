package daemon

import (
	"context"
	"fmt"
	"path/filepath"
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
	if commit := record.At(stage)[entry].Vouches(image); commit != "" {
		return commit
	}
	if f.named[pin{mirror.Key{Set: set.Name, Entry: entry}, image}] {
		return f.desired.Commit
	}
	for _, s := range set.Stages {
		if commit := record.At(s)[entry].Vouches(image); commit != "" {
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

// consult asks policy about an action outside of a step. What lies here is judged by what lies beside it, and where
// something is missing there by what lies upstream, as a step does that would bring it.
func (l *Line) consult(ctx context.Context, v mirror.Verifier, a mirror.Action, c mirror.Content) mirror.Verdict {
	_, verdict, err := mirror.Verify(ctx, v, a, c)
	if a.From.Host == l.local.Host && lacking(verdict) {
		a.Kind, a.From = mirror.Copy, a.Image.AtDigest(a.New)
		_, verdict, err = mirror.Verify(ctx, v, a, c)
	}
	if err != nil && verdict.Outcome == "" { // a verifier that fails without a word admits nothing
		verdict.Outcome, verdict.Reason = mirror.OutcomeUnknown, mirror.Because(mirror.NotVerified, "%v", err)
	}
	return verdict
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
