package daemon

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"github.com/poundlock/poundlock/internal/file"
	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/sync/plan"
)

// SavedPlan is a plan in a file: what was decided, and all that it was decided from. It grants nothing: a sync
// that follows it computes and judges everything anew, and stops where anything is not as it was.
type SavedPlan struct {
	Type     string        `json:"type"`    // always "saved-plan"
	Version  int           `json:"version"` // of this form
	Made     time.Time     `json:"made"`
	Site     string        `json:"site"`
	Registry string        `json:"registry"`
	Git      string        `json:"git"`    // commit of the fleet repository
	Inputs   string        `json:"inputs"` // identity of its desired/ and stages/
	Policy   mirror.Digest `json:"policy"` // of all that the policy says
	Plans    []plan.Set    `json:"plans"`
	Seal     mirror.Digest `json:"seal"` // of all of the above: finds a file that was edited or cut
}

const savedVersion = 1

// maxSaved is the size in bytes of the largest plan file that is read.
const maxSaved = 64 << 20

// Saved gives a preview as a plan that can be kept. The preview must be of this line.
func (l *Line) Saved(d plan.Document) (SavedPlan, error) {
	f := l.fleet.Load()
	if f == nil || f.head != d.Git || d.Offline {
		return SavedPlan{}, errors.New("only a plan that was just made, and not offline, can be saved")
	}
	s := SavedPlan{Type: "saved-plan", Version: savedVersion, Made: l.now().UTC(), Site: d.Site, Registry: d.Registry, Git: d.Git,
		Inputs: f.inputs, Policy: f.policy.Hash(), Plans: d.Plans}
	var err error
	s.Seal, err = s.seal()
	return s, err
}

func (s SavedPlan) seal() (mirror.Digest, error) {
	s.Seal = mirror.DigestOf(nil)
	text, err := json.Marshal(s)
	return mirror.DigestOf(text), err
}

// Write puts the plan into a file that only we may read, in one rename.
func (s SavedPlan) Write(file string) (err error) {
	text, err := json.MarshalIndent(s, "", " ")
	if err != nil {
		return err
	}
	part, err := os.CreateTemp(filepath.Dir(file), ".plan-*") // with mode 0600
	if err != nil {
		return fmt.Errorf("save plan: %w", err)
	}
	_, err = part.Write(append(text, '\n'))
	if err = errors.Join(err, part.Sync(), part.Close()); err == nil {
		err = os.Rename(part.Name(), file)
	}
	if err != nil {
		return fmt.Errorf("save plan: %w", errors.Join(err, os.Remove(part.Name())))
	}
	return nil
}

// ReadSavedPlan reads a plan file. One that is not whole, was edited or is of a newer Poundlock is refused.
func ReadSavedPlan(name string) (SavedPlan, error) {
	refuse := func(fix, format string, args ...any) (SavedPlan, error) {
		return SavedPlan{}, notSaved(name, fix, format, args...)
	}
	text, err := file.Read(name, maxSaved)
	if errors.Is(err, syscall.EISDIR) || errors.Is(err, file.ErrNotRegular) || errors.As(err, new(*file.TooLargeError)) {
		return refuse(anew, "this is not a saved plan")
	}
	if err != nil {
		return refuse(anew, "the plan cannot be read: %v", errors.Unwrap(err))
	}
	var kind struct {
		Type    string `json:"type"`
		Version int    `json:"version"`
	}
	switch err := json.Unmarshal(text, &kind); {
	case err != nil || kind.Type != "saved-plan":
		return refuse(anew, "this is not a saved plan")
	case kind.Version > savedVersion:
		return refuse("use the Poundlock that made it, or make it anew", "version %d of a saved plan is newer than this Poundlock understands (%d)", kind.Version, savedVersion)
	}
	var s SavedPlan
	decode := json.NewDecoder(bytes.NewReader(text))
	decode.DisallowUnknownFields()
	if err := decode.Decode(&s); err != nil {
		return refuse(anew, "the plan was changed since it was saved: %v", err)
	}
	if seal, err := s.seal(); err != nil || seal != s.Seal {
		return refuse(anew, "the plan was changed since it was saved")
	}
	return s, nil
}

const anew = "make it anew with `poundlock plan --out`"

// notSaved refuses a file that is no plan as we save them.
func notSaved(name, fix, format string, args ...any) error {
	var ps mirror.Problems
	ps.Add("PLN003", mirror.Position{File: name}, fix, format, args...)
	return ps
}

// leaves says whether the saved plan has nothing to do with an action: it left the entry out, or does not do
// just this.
func (s *SavedPlan) leaves(a mirror.Action, judged bool) bool {
	planned := slices.IndexFunc(s.Plans, func(p plan.Set) bool { return p.Set == a.Key.Set })
	if planned < 0 {
		return true
	}
	rows := s.Plans[planned].Actions
	i := slices.IndexFunc(rows, func(r plan.Row) bool { return r.Stage == a.Stage && r.Key == a.Key })
	return i < 0 || rows[i].Kind == mirror.Skip || rows[i].Kind == mirror.Fetch || judged && does(a) && (!does(rows[i].Action) || rows[i].New != a.New)
}

func does(a mirror.Action) bool { return a.Kind == mirror.Copy || a.Kind == mirror.Tag }

// standsOn refuses a fleet that is not the one that the saved plan was made for.
func (m limit) standsOn(f *fleet) error {
	if m.saved == nil || m.saved.Inputs == f.inputs {
		return nil
	}
	var ps mirror.Problems
	ps.Add(stale, mirror.Position{}, "", "the fleet repository moved on from %s while the plan was carried out", brief(m.saved.Git))
	return ps
}

// stale is the code of everything that is not as it was when a plan was saved.
const stale = "PLN001"

// SyncPlan does what a saved plan says and nothing else. First all that it stands on is asked again; where
// anything moved, mirror.Problems say what, and nothing is changed. What of the plan is done already is left as
// it is, so that a sync that was interrupted can be run again.
func (l *Line) SyncPlan(ctx context.Context, s SavedPlan) ([]Report, error) {
	if err := l.still(ctx, s); err != nil {
		return nil, err
	}
	l.limit.saved = &s
	names := l.limit.sets()
	return l.Sync(ctx, Wake{Why: "saved plan", Sets: names, Only: names})
}

// still compares a saved plan with what would be planned now.
func (l *Line) still(ctx context.Context, s SavedPlan) error {
	var ps mirror.Problems
	moved := func(where mirror.Position, format string, args ...any) {
		ps.Add(stale, where, "make the plan anew and look at it again", format, args...)
	}
	if s.Site != l.config.Site || s.Registry != l.local.Host {
		moved(mirror.Position{}, "the plan is of site %s and registry %s, this is %s and %s", s.Site, s.Registry, l.config.Site, l.local.Host)
		return ps
	}
	f, err := l.refresh(ctx)
	if err != nil {
		return err
	}
	if f.inputs != s.Inputs {
		l.changed(f, s, moved)
		return ps
	}
	if hash := f.policy.Hash(); hash != s.Policy {
		moved(mirror.Position{File: mirror.PolicyFile}, "the policy is another one than the plan was made under: the floor of this machine (trust.floor) changed, or another Poundlock made the plan")
		return ps
	}
	l.limit = limit{}
	then := map[string]plan.Set{}
	for _, p := range s.Plans {
		if _, known := f.desired.Set(p.Set); !known {
			return notSaved("", anew, "the plan has a set %q, which the fleet repository does not have", p.Set)
		}
		then[p.Set] = p
		l.limit.only = append(l.limit.only, selector{set: p.Set})
	}
	if len(then) == 0 || len(then) < len(s.Plans) {
		return notSaved("", anew, "the plan names no set, or one twice")
	}
	defer func() { l.limit.only = nil }()
	now, err := l.preview(ctx, f, PreviewOptions{Refresh: true})
	if err != nil {
		return err
	}
	for _, p := range now.Plans {
		compare(then[p.Set], p, moved)
	}
	return ps.Err()
}

// changed names the files of desired/ and stages/ that are not as they were.
func (l *Line) changed(f *fleet, s SavedPlan, moved func(mirror.Position, string, ...any)) {
	then, err := l.git.Files(s.Git, "desired", "stages")
	if err != nil {
		moved(mirror.Position{}, "Git is at %s, the plan was made for %s, which is not in its history any more", brief(f.head), brief(s.Git))
		return
	}
	all := maps.Clone(then)
	maps.Copy(all, f.desired.Files)
	for _, name := range slices.Sorted(maps.Keys(all)) {
		if !bytes.Equal(then[name], f.desired.Files[name]) {
			moved(mirror.Position{File: name, Commit: f.head}, "%s changed between %s, which the plan was made for, and %s", name, brief(s.Git), brief(f.head))
		}
	}
}

// compare finds what of a set is not as it was when the plan was saved.
func compare(then, now plan.Set, moved func(mirror.Position, string, ...any)) {
	type place struct {
		stage mirror.Stage
		entry string
	}
	today := map[place]mirror.Action{}
	for _, row := range now.Actions {
		if row.Key.Entry != "" && row.Kind != mirror.Drop { // which follows from the inputs, and may be done already
			today[place{row.Stage, row.Key.Entry}] = row.Action
		}
	}
	for _, row := range then.Actions {
		was := row.Action
		if was.Key.Entry == "" || was.Kind == mirror.Drop {
			continue
		}
		at := place{was.Stage, was.Key.Entry}
		is, planned := today[at]
		delete(today, at)
		what := fmt.Sprintf("%s at %s", was.Key, was.Stage)
		undone := was.New == is.New && is.Old != was.New
		switch {
		case was.Kind == mirror.Skip:
		case (was.Kind == mirror.Failed || was.Kind == mirror.Fetch) && was.New == (mirror.Digest{}): // nothing was known of it: it is left out
		case !planned:
			moved(was.Where, "%s is planned no more", what)
		case is.Kind == mirror.Failed: // could not be asked now: what cannot be done is reported by the sync
		case is.New != was.New:
			moved(was.Where, "%s: %s names %s now, the plan was made for %s", what, was.Image.WithDigest(mirror.Digest{}), mirror.Short(is.New), mirror.Short(was.New))
		case is.Old != was.Old && undone:
			moved(was.Where, "%s: %s names %s now, the plan was made when it named %s", what, was.To.WithDigest(mirror.Digest{}), mirror.Short(is.Old), mirror.Short(was.Old))
		case does(was) && (is.Kind == mirror.Refuse || is.Kind == mirror.Missing):
			moved(was.Where, "%s was to be done and is refused now: %s", what, is.Reason)
		case was.Kind == mirror.Missing && was.New != (mirror.Digest{}): // its content was not there; it is left out, also if it is by now
		case !does(was) && was.Kind != mirror.Failed && was.Reason.Code != mirror.NotWhole && was.Reason.Code != mirror.Held && does(is):
			moved(was.Where, "%s was %s and would be changed now: %s", what, stood(was), is.Reason)
		}
	}
	for _, is := range now.Actions {
		if _, left := today[place{is.Stage, is.Key.Entry}]; left && is.Key.Entry != "" && is.Kind != mirror.Unchanged {
			moved(is.Where, "%s at %s is not in the plan", is.Key, is.Stage)
		}
	}
}

func stood(a mirror.Action) string {
	if a.Kind == mirror.Unchanged {
		return "as desired"
	}
	return "refused: " + a.Reason.String()
}

func brief(commit string) string { return commit[:min(7, len(commit))] }
