package daemon

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/poundlock/poundlock/internal/mirror"
)

// releasing gives the command that takes a hold away.
func releasing(p mirror.Place) string {
	words := []string{"poundlock", "release", p.Set}
	if p.Entry != "" {
		words = append(words, p.Entry)
	}
	words = append(words, "--stage", string(p.Stage))
	for i, word := range words {
		if !plainWord.MatchString(word) {
			words[i] = "'" + strings.ReplaceAll(clean(word), "'", `'\''`) + "'"
		}
	}
	return strings.Join(words, " ")
}

// plainWord is what every shell takes as it is.
var plainWord = regexp.MustCompile(`^[A-Za-z0-9_./:@%+=,-]+$`)

// reasonLine is how a commit of promote or rollback says why.
var reasonLine = regexp.MustCompile(`(?m)^Reason: (\S.*)$`)

// whoRolledBack says who asked for a rollback, and why, as far as anything tells that: the commit that asks for it or
// the one of ours that it merged, the stage file, what the forge said of the proposal; else who made the commit.
func (l *Line) whoRolledBack(f *fleet, a mirror.Action) (by, why string) {
	set, _ := f.desired.Set(a.Key.Set)
	marked := set.Marked[a.Stage]
	step, err := l.git.Step(a.Asked)
	if err != nil {
		return "rollback", noted(marked)
	}
	texts := []string{step.Message}
	if len(step.Parents) > 1 {
		if merged, err := l.git.Step(step.Parents[1]); err == nil {
			texts = append(texts, merged.Message)
		}
	}
	find := func(line *regexp.Regexp) string {
		for _, text := range texts {
			if m := line.FindStringSubmatch(text); m != nil {
				return strings.TrimSpace(m[1])
			}
		}
		return ""
	}
	by = cmp.Or(find(requestedLine), l.progress(a.Key.Set).gates.requester(a.Stage, a.Asked))
	if by == "" {
		by = fmt.Sprintf("%s (commit %.12s)", step.Author, a.Asked)
	}
	return noted(by), noted(cmp.Or(find(reasonLine), marked))
}

// requester gives who asked for a commit, as the forge said; "" where it was not asked, or did not say.
func (g *gating) requester(stage mirror.Stage, commit string) string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.said[string(stage)+" "+commit].asking.RequestedBy
}

// noted bounds what somebody wrote, for the file of holds.
func noted(text string) string { return mirror.Shorten(mirror.OneLine(text), maxReason) }

// warnOfHolds tells of lines of the file of holds that are odd and hold all the same, once as long as they stay as they
// are: those with mistakes, and those about what is not there.
func (l *Line) warnOfHolds(f *fleet, held mirror.Holds, odd mirror.Problems) {
	var lines []string
	for _, p := range odd {
		lines = append(lines, fmt.Sprintf("%s: %s", p.Where, p.What))
	}
	for _, place := range held.Sorted() {
		switch set, known := f.desired.Set(place.Set); {
		case !known:
			lines = append(lines, fmt.Sprintf("%s: there is no set %s", place, place.Set))
		case !slices.Contains(set.Stages.Upper(), place.Stage):
			lines = append(lines, fmt.Sprintf("%s: nothing is promoted to stage %s of this set", place, place.Stage))
		}
	}
	text := strings.Join(lines, "\n")
	if before := l.oddHolds.Swap(&text); before != nil && *before == text {
		return
	}
	for _, line := range lines {
		l.log.Warn("what is odd about a hold; it holds all the same", keyWhere, l.holdsFile(), keyWhat, line)
	}
}
