package git

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/storage/filesystem"

	"github.com/poundlock/poundlock/internal/mirror"
)

// Trust says by whom desired/ and stages/ may be changed.
type Trust struct {
	Allowed Signers // by any commit
	Forge   Signers // by merges that bring nothing of their own
	Own     Signers // ours: never, but for OwnFiles, and for stages/ in a proposal that somebody else merged

	// OwnFiles are files of ours, relative to Options.Path, that others may change by hand: who does must sign, too.
	OwnFiles []string
	// OnlyOwnFiles is for a head at which desired/ and stages/ are not read, such as that of Options.State: who changes
	// them there need not sign.
	OnlyOwnFiles bool

	// Accepted are commits that are accepted with all of their history. Those that the clone does not hold count
	// for nothing.
	Accepted []string
	// OwnCounts accepts the history of a commit that we signed and that changes neither desired/ nor stages/, too:
	// we only commit on what was accepted. It is for who forgot what was accepted last.
	OwnCounts bool
	// OwnIn is the folder that such a commit must change, relative to Options.Path: one that we made for another
	// folder of the repository, or for another site, says nothing of the files here.
	OwnIn string
	// Since is a commit that must be among those below such a one, unless it is empty: what we made on a line that
	// people gave up vouches for nothing.
	Since string
	// At is when it is asked.
	At time.Time
}

// Unaccepted is a commit that must not have changed desired/ or stages/.
type Unaccepted struct {
	Commit  string
	Author  string // name and address, fit to be shown
	Subject string // fit to be shown
	Why     string // such as: it changes stages/ and is not signed
	Merge   bool
}

// Judged is what came of looking at the commits up to a head.
type Judged struct {
	Commits    int          // that were new
	Signed     int          // of them, those that had to be signed and were
	Unaccepted []Unaccepted // the oldest first, at most maxUnaccepted
	More       int          // others
}

// maxUnaccepted is how many commits are named; a repository in which nobody signs has thousands.
const maxUnaccepted = 10

// Judge walks every commit up to a head that is not accepted yet, over all parents, and looks who changed desired/ or
// stages/. A commit changes them when they differ from those of any of its parents, so that a merge which throws a
// side away counts as a change, and one that has no parent when it has them at all. Such a commit must be signed by
// one of those whom trust allows. Others need no signature, whatever they change, such as ours to rendered/.
func (r *Repo) Judge(ctx context.Context, head string, t Trust) (Judged, error) {
	id := plumbing.NewHash(head)
	if id.String() != head {
		return Judged{}, fmt.Errorf("malformed commit id %q", head)
	}
	w := &history{repo: r, trust: t, head: id, nodes: map[plumbing.Hash]*node{}}
	w.trust.Allowed, w.trust.Forge = t.Allowed.Without(t.Own), t.Forge.Without(t.Own)
	news, err := w.news(ctx, id)
	if err != nil {
		return Judged{}, err
	}
	judged, bad, err := w.judge(ctx, news)
	if err != nil || len(bad) == 0 {
		return judged, err
	}
	// Dates that lie make the walk pass by what is accepted: before anyone is accused, that is found out for sure.
	old, err := w.below(ctx)
	if err != nil {
		return Judged{}, err
	}
	news = slices.DeleteFunc(news, func(n *node) bool { return old[n.id] })
	judged, _, err = w.judge(ctx, news)
	return judged, err
}

func (w *history) judge(ctx context.Context, news []*node) (Judged, []*node, error) {
	judged := Judged{Commits: len(news)}
	var bad []*node
	var all []Unaccepted
	for _, n := range slices.Backward(news) { // the oldest first, nearly
		if err := ctx.Err(); err != nil {
			return judged, nil, err
		}
		why, needed, err := w.unaccepted(ctx, n)
		if err != nil {
			return judged, nil, err
		}
		if why != "" {
			bad = append(bad, n)
			all = append(all, Unaccepted{Commit: n.id.String(), Author: mirror.OneLine(n.raw.author), Subject: mirror.OneLine(n.raw.subject), Why: why, Merge: len(n.raw.parents) > 1})
		} else if needed {
			judged.Signed++
		}
	}
	judged.More = max(0, len(all)-maxUnaccepted)
	judged.Unaccepted = all[:len(all)-judged.More]
	return judged, bad, nil
}

// unaccepted says why a commit does not count; "" where it does. needed is whether it had to be signed.
func (w *history) unaccepted(ctx context.Context, n *node) (why string, needed bool, err error) {
	if n.malformed != nil {
		return "it cannot be read without doubt: " + n.malformed.Error(), true, nil
	}
	changed, err := w.changes(n)
	if err != nil || len(changed) == 0 {
		return "", false, err
	}
	what := "it changes " + strings.Join(changed, " and ")
	if len(n.raw.parents) > 1 {
		what = "it merges changes of " + strings.Join(changed, " and ")
	}
	if folder, err := w.unreadable(n); err != nil || folder != "" {
		return what + ", and " + folder + " cannot be read without doubt", true, err // nobody knows what was signed
	}
	_, bad := w.trust.Allowed.verify(n.raw, w.trust.At)
	if bad == nil {
		return "", true, nil
	}
	if _, own := w.trust.Own.verify(n.raw, w.trust.At); own == nil {
		counts, err := w.ours(ctx, n, changed)
		if err != nil || counts {
			return "", true, err
		}
		return what + ", and it is signed with the key of this site, which may not change them", true, nil
	}
	if _, forge := w.trust.Forge.verify(n.raw, w.trust.At); forge == nil {
		switch tame, err := w.tame(ctx, n); {
		case err != nil:
			return "", true, err
		case len(n.raw.parents) < 2:
			return what + ", and the forge signed it, which counts for merges only", true, nil
		case !tame:
			return what + ", the forge signed it, and it brings what neither side has, or both sides changed the same file", true, nil
		}
		return "", true, nil
	}
	return what + ", and " + bad.Error(), true, nil
}

// changes names those of desired/, stages/ and OwnFiles that differ from those of a parent.
func (w *history) changes(n *node) ([]string, error) {
	mine, err := w.inputs(n)
	if err != nil {
		return nil, err
	}
	before := []inputTrees{w.none()}
	if len(n.raw.parents) > 0 {
		before = nil
	}
	for _, p := range n.raw.parents {
		parent, err := w.node(p)
		if err != nil {
			return nil, err
		}
		theirs, err := w.inputs(parent)
		if err != nil {
			return nil, err
		}
		before = append(before, theirs)
	}
	var changed []string
	for i, name := range w.watched() {
		if slices.ContainsFunc(before, func(b inputTrees) bool { return b[i] != mine[i] }) {
			changed = append(changed, name)
		}
	}
	return changed, nil
}

// own says whether a commit is one of ours that vouches for what is below it, such as those that record what stands.
func (w *history) own(ctx context.Context, n *node) (bool, error) {
	if n.malformed != nil || len(n.raw.parents) != 1 {
		return false, nil
	}
	if _, err := w.trust.Own.verify(n.raw, w.trust.At); err != nil {
		return false, nil
	}
	changed, err := w.changes(n)
	if err != nil || slices.ContainsFunc(changed, func(name string) bool { return !slices.Contains(w.trust.OwnFiles, name) }) {
		return false, err
	}
	if here, err := w.madeHere(n); err != nil || !here {
		return false, err
	}
	return w.aboveSince(ctx, n)
}

// madeHere says whether a commit with one parent changes the folder that ours change.
func (w *history) madeHere(n *node) (bool, error) {
	parent, err := w.node(n.raw.parents[0])
	if err != nil || parent.malformed != nil {
		return false, err
	}
	is, err := w.at(n, w.trust.OwnIn)
	if err != nil {
		return false, err
	}
	was, err := w.at(parent, w.trust.OwnIn)
	return err == nil && is != was, err
}

// at gives what stands at a path relative to Options.Path in a commit that is well formed.
func (w *history) at(n *node, path string) (entry, error) {
	w.repo.mu.Lock()
	defer w.repo.mu.Unlock()
	return w.repo.lookup(n.raw.tree, strings.Trim(w.repo.opts.Path+"/"+path, "/"))
}

// unreadable names the folder of a commit that hides what lies in it; "" for none.
func (w *history) unreadable(n *node) (string, error) {
	mine, err := w.inputs(n)
	if err != nil {
		return "", err
	}
	i := slices.IndexFunc(mine, func(e entry) bool { return e.mode == modeUnreadable })
	switch {
	case i < 0:
		return "", nil
	case mine[i].id == n.raw.tree:
		return "its top folder", nil
	}
	return "a folder above", nil
}

// inputTrees are what stands at the names of watched; the zero entry where nothing does.
type inputTrees []entry

// watched names what must be signed when it changes; folders end in a slash.
func (w *history) watched() []string {
	if w.trust.OnlyOwnFiles {
		return w.trust.OwnFiles
	}
	return append([]string{"desired/", "stages/"}, w.trust.OwnFiles...)
}

// none is what stands where there is nothing.
func (w *history) none() inputTrees { return make(inputTrees, len(w.watched())) }

// inputs finds desired/, stages/ and OwnFiles of a commit without judging them: a link or a file in their place, or in
// that of a folder above them, is something else than what stood there before, and no more.
func (w *history) inputs(n *node) (inputTrees, error) {
	if n.inputs != nil {
		return n.inputs, nil
	}
	found := w.none()
	if n.malformed == nil {
		for i, name := range w.watched() {
			e, err := w.at(n, strings.TrimSuffix(name, "/"))
			if err != nil {
				return found, err
			}
			found[i] = e
		}
	}
	n.inputs = found
	return found, nil
}

// modeUnreadable is in place of the mode of a folder that Git itself would not have written.
const modeUnreadable = "unreadable"

// lookup gives what stands at a path of a tree, or what stands in the way to it. The caller holds mu.
func (r *Repo) lookup(root plumbing.Hash, path string) (entry, error) {
	e := entry{mode: modeTree, id: root}
	for name := range strings.SplitSeq(path, "/") {
		entries, err := r.tree(e.id)
		var size *sizeError
		if errors.Is(err, errTree) || errors.As(err, &size) {
			return entry{mode: modeUnreadable, id: e.id}, nil
		}
		if err != nil {
			return entry{}, err
		}
		i := slices.IndexFunc(entries, func(one entry) bool { return one.name == name })
		if i < 0 {
			return entry{}, nil
		}
		if e = entries[i]; !e.isTree() {
			return e, nil
		}
	}
	return e, nil
}

// Own gives the key that our commits are signed with; nobody where they are not.
func (r *Repo) Own() Signers { return SignersOf(r.opts.Sign) }

// Holds says whether the clone has a commit of that id; another kind of object is none.
func (r *Repo) Holds(commit string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.holdsCommit(commit)
}

// holdsCommit is Holds for a caller that holds mu.
func (r *Repo) holdsCommit(commit string) bool {
	id := plumbing.NewHash(commit)
	return id.String() == commit && r.store != nil && hasCommit(r.store, id)
}

func hasCommit(store *filesystem.Storage, id plumbing.Hash) (ok bool) {
	defer func() {
		if recover() != nil { // go-git was seen to panic on a damaged index
			ok = false
		}
	}()
	_, err := store.EncodedObject(plumbing.CommitObject, id)
	return err == nil
}
