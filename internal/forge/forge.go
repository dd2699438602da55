// Package forge speaks to the place where people review changes of the fleet repository: it opens proposals (pull
// requests, merge requests), reads what became of them and who approved them, and leaves comments and commit
// statuses. Each kind of forge is one file that registers itself; one suite holds all of them to the same behaviour.
//
// It promises that nothing is written twice (a comment has a marker and is edited in place, an equal status is not
// set again), that every answer is bounded, that a refusal says what is missing, and that no credential stands in an
// error. It knows plain strings only: what a proposal means, and whether its approvals count, is left to the caller.
// A forge has no word in what stands: what it says is asked again, or held against Git, where it matters.
package forge

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"time"
)

// Options say which repository of which forge, and how it lets us in.
type Options struct {
	Kind       string            // github, gitlab or gitea (Forgejo speaks it too)
	URL        string            // of the forge, such as https://git.example.org
	Repository string            // owner/name; with GitLab the whole path of the project
	Branch     string            // onto which proposals are merged: By looks at no others; "" for any
	HTTP       http.RoundTripper // the one way out; it never adds a credential for the forge itself
	Token      func(context.Context) (string, error)
	App        *App // GitHub App instead of a token; nil for none
	Now        func() time.Time
}

// App is a GitHub App: its tokens live an hour and are made anew.
type App struct {
	ID           int64
	Installation int64 // 0: found by the repository
	Key          func(context.Context) ([]byte, error)
}

// Access is whom a credential is of and what it may do.
type Access struct {
	User    string   // login
	Missing []string // permissions or scopes that are missing, in the words of the forge; none where all is well
	Expires time.Time
}

// State is what became of a proposal.
type State string

// The states of a proposal.
const (
	Open     State = "open"
	Merged   State = "merged"
	Declined State = "declined" // closed and not merged
)

// Proposal is a pull request or merge request onto a branch.
type Proposal struct {
	Number      int
	URL         string // of its page
	State       State
	Title, Body string
	Labels      []string // sorted
	Author      string   // login
	Head        string   // branch that it would merge
	HeadCommit  string
	Foreign     bool // the head is a branch of another repository (a fork)
	Base        string
	Draft       bool
	Created     time.Time
	Updated     time.Time
	Ended       time.Time // merged or closed
	MergeCommit string    // what the merge put onto base; "" while it is open
	MergedBy    string    // login; "" in lists, where not every forge says it
}

// New is a proposal to be opened. Its branch was pushed before. Labels that cannot be set do not keep it from being
// opened: what comes back has those that it got.
type New struct {
	Head, Base  string
	Title, Body string
	Labels      []string // made where the repository does not have them; at most 20
}

// Change is what is to be different about a proposal; a nil field stays.
type Change struct {
	Title, Body *string
	Labels      []string
}

// Query chooses proposals onto Base. Those that are over are listed when they ended at or after Since; a zero Since
// lists open ones only.
type Query struct {
	Base  string
	Head  string // "" for any branch
	Since time.Time
	Most  int // how many of those that are over are looked at, those first that changed last; 0 for all
}

// Verdict is what a review says.
type Verdict string

// The verdicts of a review.
const (
	Approved  Verdict = "approved"
	Requested Verdict = "changes-requested"
	Dismissed Verdict = "dismissed"
	Commented Verdict = "commented"
)

// Review is what somebody said of a proposal at one of its commits.
type Review struct {
	By      string // login
	Verdict Verdict
	Commit  string // the head that was seen; "" where the forge does not say
	At      time.Time
}

// Result is how a check of a commit ended.
type Result string

// The results of a check.
const (
	Pending Result = "pending"
	Success Result = "success"
	Failure Result = "failure"
)

// Status is a check of a commit.
type Status struct {
	Context string // such as poundlock/plan
	Result  Result
	Text    string // one line; cut to what the forge takes
	URL     string
}

// Forge is one repository of a forge. It may be used by several goroutines.
type Forge interface {
	// Self gives the login that the credential is of; the forge is asked once.
	Self(ctx context.Context) (string, error)
	// Access tells whom the credential is of and what it may not do. It tries that with writes that cannot succeed.
	Access(ctx context.Context) (Access, error)
	// Proposals lists proposals, newest first.
	Proposals(ctx context.Context, q Query) ([]Proposal, error)
	// Proposal gives one; ErrNotFound.
	Proposal(ctx context.Context, number int) (Proposal, error)
	// Propose opens a proposal; ErrExists where an open one of the branch is there.
	Propose(ctx context.Context, n New) (Proposal, error)
	// Change edits an open proposal.
	Change(ctx context.Context, number int, c Change) error
	// Close declines an open proposal.
	Close(ctx context.Context, number int) error
	// Reviews lists what was said of a proposal, oldest first. The approval of somebody who may not write to the
	// repository is a comment: on many forges whoever can read a proposal can approve it.
	Reviews(ctx context.Context, number int) ([]Review, error)
	// By gives the merged proposal that brought a commit onto its base; ErrNotFound where it came without one.
	By(ctx context.Context, commit string) (Proposal, error)
	// Comment makes the one comment of ours with the marker say body, and says whether that changed anything. The
	// marker is hidden in it.
	Comment(ctx context.Context, number int, marker, body string) (changed bool, err error)
	// SetStatus sets a check of a commit, unless it is so already.
	SetStatus(ctx context.Context, commit string, s Status) error
	// Statuses gives the newest check of each context, in the order of their contexts. Where a forge has two kinds of
	// checks, the worse of two with the same name.
	Statuses(ctx context.Context, commit string) ([]Status, error)
	// Members gives the logins of a team, written as in CODEOWNERS without @; ErrNotFound.
	Members(ctx context.Context, team string) ([]string, error)
	// HeadRef names the ref under which the forge keeps the head of a proposal, such as refs/pull/7/head.
	HeadRef(number int) string
	// MaxComment is how many characters a comment may have.
	MaxComment() int
}

// kinds are the forges that register themselves.
var kinds = map[string]func(Options) (Forge, error){}

// Kinds lists the kinds of forges that are known, sorted.
func Kinds() []string {
	return slices.Sorted(maps.Keys(kinds))
}

// Dial makes a Forge of the kind that the options name. It opens no connection.
func Dial(o Options) (Forge, error) {
	dial, ok := kinds[o.Kind]
	if !ok {
		return nil, fmt.Errorf("unknown kind of forge %q", o.Kind)
	}
	if o.Now == nil || o.HTTP == nil {
		return nil, fmt.Errorf("a forge needs a way out and a clock")
	}
	return dial(o)
}
