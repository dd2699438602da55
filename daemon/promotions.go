package daemon

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/poundlock/poundlock/internal/git"
	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/sync/publish"
)

// Promotion is one change of what a stage above the first is to carry, and what came of it. Git tells all of it, so
// that every machine knows the same.
type Promotion struct {
	ID       string         `json:"id"` // the number of its proposal, else the first digits of the commit
	Set      string         `json:"set"`
	Stage    mirror.Stage   `json:"stage"`
	State    PromotionState `json:"state"`
	Commit   string         `json:"commit"` // that asks for it
	Proposal int            `json:"proposal,omitempty"`
	By       string         `json:"by"` // author of the commit
	Subject  string         `json:"subject"`
	At       time.Time      `json:"at"`
	Rollback bool           `json:"rollback,omitempty"` // it returned to what stood before
	Entries  []PromotedLine `json:"entries"`
	Applied  string         `json:"applied,omitempty"` // the commit of ours that recorded it
	Took     time.Duration  `json:"tookNanoseconds,omitempty"`
	Why      string         `json:"why,omitempty"` // what it waits for, or why it is refused, as the last run found it
}

// PromotedLine is an entry of a promotion: what the stage file named before and names since.
type PromotedLine struct {
	Entry string           `json:"entry"`
	From  mirror.Reference `json:"from,omitzero"`
	To    mirror.Reference `json:"to,omitzero"` // zero: the stage does not carry it any more
}

// PromotionState is what became of a promotion, in one stable word.
type PromotionState string

// The states of a promotion.
const (
	PromotionApplied    PromotionState = "applied"    // all of it stands, or stood
	PromotionWaiting    PromotionState = "waiting"    // asked for, and not all of it stands yet
	PromotionRefused    PromotionState = "refused"    // asked for, and what keeps it from standing changes only with desired/ or stages/
	PromotionSuperseded PromotionState = "superseded" // a later one asks for something else, before it stood
)

// Promotions lists the newest n promotions of the sets that Only leaves, newest first; all for n 0.
func (l *Line) Promotions(ctx context.Context, n int) ([]Promotion, error) {
	g, err := l.glance(ctx)
	if err != nil {
		return nil, err
	}
	if err := l.limit.check(g.fleet.desired); err != nil {
		return nil, err
	}
	applied, err := g.recordings(ctx)
	if err != nil {
		return nil, err
	}
	all := []Promotion{}
	later := map[string]bool{} // by set, stage and entry: a newer promotion is about it
	err = l.git.Walk(ctx, g.fleet.head, []string{"stages"}, func(s git.Step) (bool, error) {
		promotions, err := g.asked(s)
		if err != nil {
			return false, err
		}
		for _, p := range promotions {
			if p, err = g.became(p, applied, later); err != nil {
				return false, err
			}
			all = append(all, p)
		}
		return n == 0 || len(all) < n, nil
	})
	if err != nil {
		return nil, fmt.Errorf("promotions: %w", err)
	}
	if n > 0 && len(all) > n {
		all = all[:n]
	}
	return all, nil
}

// asked gives the promotions that one commit asks for: one for each stage file that differs from the commit before.
func (g *glance) asked(s git.Step) ([]Promotion, error) {
	after, err := g.line.stageFiles(s.Commit)
	before := mirror.Files{}
	if err == nil && len(s.Parents) > 0 {
		before, err = g.line.stageFiles(s.Parents[0])
	}
	if err != nil || after == nil || before == nil {
		return nil, err
	}
	var all []Promotion
	for _, doc := range stageDocuments(before, after) {
		set, stage := path.Base(path.Dir(doc)), mirror.Stage(path.Base(doc))
		if asked := g.line.limit.sets(); len(asked) > 0 && !slices.Contains(asked, set) {
			continue
		}
		lines := promotedLines(before, after, doc)
		if len(lines) == 0 {
			continue // only words changed
		}
		subject, _, _ := strings.Cut(s.Message, "\n")
		p := Promotion{Set: set, Stage: stage, Commit: s.Commit, Proposal: proposalIn(s.Message), By: s.Author, Subject: mirror.OneLine(subject), At: s.At.UTC(), Entries: lines}
		if p.ID = strconv.Itoa(p.Proposal); p.Proposal == 0 {
			p.ID = s.Commit[:min(12, len(s.Commit))]
		}
		all = append(all, p)
	}
	return all, nil
}

// stageFiles gives all stage files at a commit; nil where they cannot be read, as somebody may have left them once:
// what changed there nobody can tell.
func (l *Line) stageFiles(commit string) (mirror.Files, error) {
	files, err := l.git.Files(commit, "stages")
	if errors.As(err, new(mirror.Problems)) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("stage files at %s: %w", commit, err)
	}
	return files, nil
}

// stageDocuments lists the stage documents that two commits do not have alike, stages/<set>/<stage>, one or several
// files each.
func stageDocuments(before, after mirror.Files) []string {
	docs := map[string]bool{}
	for _, two := range [][2]mirror.Files{{before, after}, {after, before}} {
		for name, text := range two[0] {
			if other, there := two[1][name]; there && bytes.Equal(text, other) {
				continue
			}
			if dir := path.Dir(name); strings.HasSuffix(dir, mirror.ShardDir("")) {
				docs[strings.TrimSuffix(dir, mirror.ShardDir(""))] = true
			} else if doc, ok := strings.CutSuffix(name, ".yaml"); ok && strings.Count(name, "/") == 2 {
				docs[doc] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(docs))
}

// promotedLines gives what differs between two versions of a stage document. What cannot be read names nothing.
func promotedLines(before, after mirror.Files, doc string) []PromotedLine {
	images := func(files mirror.Files) map[string]mirror.Reference {
		lines, _, _ := mirror.ParseLines(files, doc)
		return listedLines(lines)
	}
	was, is := images(before), images(after)
	names := maps.Clone(was)
	maps.Copy(names, is)
	var lines []PromotedLine
	for _, entry := range sortedKeys(names) {
		if was[entry] != is[entry] {
			lines = append(lines, PromotedLine{Entry: entry, From: was[entry], To: is[entry]})
		}
	}
	return lines
}

// became says what came of a promotion: the commit that recorded it, else whether all of it stands. later gathers what
// the newer ones, which were asked before, are about.
func (g *glance) became(p Promotion, applied map[string]recording, later map[string]bool) (Promotion, error) {
	if by, ok := applied[promotionKey(p.Set, p.Stage, p.Commit)]; ok {
		p.State, p.Applied, p.Took, p.Rollback = PromotionApplied, by.step.Commit, max(0, by.step.At.Sub(p.At)), by.promoted.Rollback
		if n := by.promoted.Number; n > 0 {
			p.Proposal, p.ID = n, strconv.Itoa(n)
		}
	}
	stands, superseded := true, true
	record, err := g.recordOf(p.Set)
	if err != nil {
		return p, err
	}
	for _, e := range p.Entries {
		key := standKey(p.Set, p.Stage, e.Entry)
		line := record.Past(p.Stage, e.Entry)
		stands = stands && (e.To.IsZero() && line.Image.IsZero() || line.Image == e.To || slices.Contains(line.Was, e.To))
		superseded = superseded && later[key]
		later[key] = true
	}
	switch {
	case p.State == PromotionApplied:
	case stands:
		p.State = PromotionApplied
	case superseded:
		p.State = PromotionSuperseded
	default:
		p.State, p.Why = g.whyNot(p)
	}
	return p, nil
}

// recordOf gives what the fleet repository says stands for a set, which is read once; nothing for a set that is no more.
func (g *glance) recordOf(name string) (mirror.Record, error) {
	if r, known := g.records[name]; known {
		return r, nil
	}
	set, ok := g.fleet.desired.Set(name)
	if !ok {
		return mirror.Record{}, nil
	}
	r, err := g.line.record(g.fleet, set)
	if err == nil {
		g.records[name] = r
	}
	return r, err
}

// whyNot gives what the last run found in the way of a promotion: what refuses one of its entries for good, else the
// first of them that is in trouble.
func (g *glance) whyNot(p Promotion) (state PromotionState, why string) {
	set, ok := g.fleet.desired.Set(p.Set)
	if !ok {
		return PromotionRefused, "there is no such set any more"
	}
	for _, e := range p.Entries {
		t := g.trouble(set, p.Stage, e.Entry, mirror.Wanted{Entry: e.Entry, Image: e.To})
		switch {
		case t == nil || !t.Image.IsZero() && t.Image != e.To:
		case t.Type == EventRefused && final(t.Code) && g.found(p, *t) && (t.Code != mirror.NotBelow || !rises(set, p.Stage, e)):
			return PromotionRefused, t.Reason
		case why == "":
			why = t.Reason
		}
	}
	return PromotionWaiting, why
}

// final says whether a refusal stays until somebody changes desired/, stages/ or the policy. Time, people, checks, a
// signer who lags behind or another entry of the set end the others.
func final(code mirror.ReasonCode) bool {
	switch code {
	case mirror.TooLate, mirror.NotBelow, mirror.Downgrade, mirror.Denied, mirror.Immutable, mirror.Overwrites, mirror.NotAll, mirror.Incomplete,
		mirror.NoRule, mirror.NotPinned, mirror.Collision, mirror.ForeignTag, mirror.BasedOnMoved:
		return true
	}
	return false
}

// found says whether a trouble is one of a promotion rather than of an earlier one that asked for the same.
func (g *glance) found(p Promotion, t Trouble) bool {
	last := g.lastRun(p.Set)
	return t.At.After(p.At) || last != nil && last.Began.After(p.At)
}

// rises says whether what is promoted is asked for in the stage below, too, and may still come there.
func rises(set mirror.Set, stage mirror.Stage, e PromotedLine) bool {
	below, _ := set.Stages.Below(stage)
	return below == set.Stages.First() && slices.ContainsFunc(set.Entries, func(one mirror.Entry) bool { return one.Name == e.Entry && one.Image == e.To }) ||
		slices.ContainsFunc(set.Wanted[below], func(w mirror.Wanted) bool { return w.Entry == e.Entry && w.Image == e.To })
}

// recording is a commit of ours that recorded a promotion.
type recording struct {
	promoted publish.Promoted
	step     git.Step
}

// recordings gives, by promotion, the commits of ours that recorded one.
func (g *glance) recordings(ctx context.Context) (map[string]recording, error) {
	all := map[string]recording{}
	err := g.line.walkRendered(ctx, g.fleet, g.line.renderedDir()+"/record", func(s git.Step) (bool, error) {
		for _, r := range publish.ParsePromoted(s.Message) {
			all[promotionKey(r.Set, r.Stage, r.Commit)] = recording{r, s} // the first one that recorded it comes last
		}
		return true, nil
	})
	if err != nil {
		return nil, fmt.Errorf("promotions: %w", err)
	}
	return all, nil
}

func promotionKey(set string, stage mirror.Stage, commit string) string {
	return set + "/" + string(stage) + " " + commit
}

// mergeWords are how forges say in the message of a merge which proposal it is of.
var mergeWords = regexp.MustCompile(`\(#(\d{1,9})\)|[Mm]erge pull request #(\d{1,9})|merge request \S*!(\d{1,9})`)

// proposalIn gives the number of the proposal that a message speaks of; 0 for none. It is for people: nothing is decided
// by it.
func proposalIn(message string) int {
	if rest, reverts := strings.CutPrefix(message, `Revert "`); reverts { // what it quotes speaks of the reverted one
		subject, _, _ := strings.Cut(rest, "\n")
		message = subject[strings.LastIndexByte(subject, '"')+1:]
	}
	for _, group := range mergeWords.FindStringSubmatch(message) {
		if n, err := strconv.Atoi(group); err == nil {
			return n
		}
	}
	return 0
}
