package daemon

import (
	"fmt"
	"slices"
	"time"

	"github.com/poundlock/poundlock/internal/mirror"
)

// Remark is what people should know of an entry at a stage although nothing is in its way, or although it stands:
// that an exception or a mode admits it, what policy warns of, or that it would not be admitted today.
type Remark struct {
	Stage    mirror.Stage      `json:"stage"`
	Entry    string            `json:"entry"`
	Image    mirror.Reference  `json:"image"`
	Outcome  mirror.Outcome    `json:"outcome"`
	Code     mirror.ReasonCode `json:"code,omitempty"` // of the reason
	Reason   string            `json:"reason"`         // what admits it, or why it is admitted no longer
	Warnings []string          `json:"warnings,omitempty"`
	Until    time.Time         `json:"until,omitzero"`   // when time alone may change that
	Stands   bool              `json:"stands,omitempty"` // it stands, and is admitted no longer
}

// remarks gives what is to be known of the entries of a set after a step. What the step did not come to judge is as
// it was before.
func (v *view) remarks(before []Remark) []Remark {
	all := []Remark{}
	for _, a := range v.plan.Actions {
		if a.Key.Entry == "" {
			continue
		}
		verdict, judged := v.verdicts[actionKey(a)]
		special := verdict.Outcome == mirror.OutcomeException || verdict.Outcome == mirror.OutcomeWarn || len(verdict.Warnings)+len(a.Warnings) > 0
		warnings := verdict.Warnings
		if verdict.Outcome.Admits() && len(a.Warnings) > 0 {
			warnings = a.Warnings // the verdict's, after what the gates want to be known
		}
		switch {
		case !judged || verdict.Outcome == mirror.OutcomeUnknown:
			all = append(all, slices.DeleteFunc(slices.Clone(before), func(r Remark) bool { return r.Stage != a.Stage || r.Entry != a.Key.Entry || r.Image != a.Image })...)
		case a.Stands, verdict.Outcome.Admits() && special:
			all = append(all, Remark{Stage: a.Stage, Entry: a.Key.Entry, Image: a.Image, Outcome: verdict.Outcome, Code: verdict.Reason.Code,
				Reason: verdict.Reason.String(), Warnings: warnings, Until: verdict.Until.UTC(), Stands: a.Stands})
		}
	}
	return all
}

// remark remembers what is to be known of the entries of a set, shows how much there is, and tells of each new
// warning once.
func (l *Line) remark(v *view) {
	before, err := l.state.Remarks(v.set.Name)
	now := v.remarks(before)
	if err == nil {
		err = l.state.setRemarks(v.set.Name, now)
	}
	if err != nil {
		l.log.Warn("what is to be known of what stands is not kept", keySet, v.set.Name, keyError, err)
	}
	l.metrics.remarks(v.set.Name, now, l.progress(v.set.Name).unjudged())
	for _, w := range newWarnings(before, now) {
		l.emit(Event{Type: EventWarned, Run: v.run, Set: v.set.Name, Entry: w.Entry, Stage: w.Stage, Image: w.Image, Reason: w.Reason, Code: w.Code})
	}
}

// newWarnings gives the warnings that were not there before. The same words about several entries of a stage are one,
// at the first of them.
func newWarnings(before, now []Remark) []Remark {
	type said struct {
		stage mirror.Stage
		text  string
	}
	known := map[string]bool{}
	for _, r := range before {
		for _, text := range r.Warnings {
			known[string(r.Stage)+" "+r.Entry+" "+text] = true
		}
	}
	var news []Remark
	count := map[said]int{}
	at := map[said]int{}
	for _, r := range now {
		for _, text := range r.Warnings {
			if known[string(r.Stage)+" "+r.Entry+" "+text] {
				continue
			}
			key := said{r.Stage, text}
			if count[key]++; count[key] == 1 {
				at[key] = len(news)
				r.Reason = text
				news = append(news, r)
			}
		}
	}
	for key, n := range count {
		if n > 1 {
			news[at[key]].Reason += fmt.Sprintf(" (and of %d more)", n-1)
		}
	}
	return news
}

// Remarks gives what is to be known of the entries of a set, as the last step found it.
func (s *State) Remarks(set string) ([]Remark, error) { return listed[Remark](s, bucketRemarks, set) }

// setRemarks replaces those of a set.
func (s *State) setRemarks(set string, all []Remark) error {
	return setListed(s, bucketRemarks, set, all)
}
