package daemon

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/poundlock/poundlock/internal/mirror"
)

// What a deny list names stays where it stands until people take it away, so that nothing moves under those who run it. To
// serve it is another matter: whoever asks a channel would install it now. So it is in nothing that is made of what stands.

// undenied gives a set and its record without what policy denies, and what that is. The frozen channels of the set lack it, too.
func (f *fleet) undenied(set mirror.Set, record mirror.Record) (mirror.Set, mirror.Record, []string) {
	why := map[string]bool{}
	denied := func(entry string, image mirror.Reference) bool {
		said := f.policy.Denied(image)
		if said != "" {
			why[entry+": "+said] = true
		}
		return said != ""
	}
	left := record.Clone()
	for stage, standing := range record.Stages {
		for entry, line := range standing {
			if denied(entry, line.Image) {
				delete(left.Stages[stage], entry)
			}
		}
	}
	set.Frozen = slices.Clone(set.Frozen)
	for i, channel := range set.Frozen {
		set.Frozen[i].Lines = slices.DeleteFunc(slices.Clone(channel.Lines), func(w mirror.Wanted) bool { return denied(w.Entry, w.Image) })
	}
	return set, left, sortedKeys(why)
}

// servable is undenied, and tells of what is denied once.
func (l *Line) servable(f *fleet, set mirror.Set, record mirror.Record) (mirror.Set, mirror.Record) {
	set, record, denied := f.undenied(set, record)
	said := strings.Join(denied, "; ")
	l.besides.mu.Lock()
	before := l.besides.denied[set.Name]
	l.besides.denied[set.Name] = said
	l.besides.mu.Unlock()
	if said != before && said != "" {
		l.log.Warn("packages that policy denies stand and are in no channel", keyCode, "EPR018", keySet, set.Name, keyPackages, len(denied), keyEntry, strings.Join(denied[:min(len(denied), 5)], "; "))
	}
	return set, record
}

// keepsFrozen says which frozen channels of a set are as they were, and which are refused with the reason. What policy denies
// enters no new one; from one that is remembered it is left out when the channel is written.
func (f *fleet) keepsFrozen(set mirror.Set, lines map[string]mirror.FrozenLine, record mirror.Record, at time.Time) (kept []mirror.FrozenChannel, refused []mirror.Action) {
	var fine []mirror.FrozenChannel
	for _, channel := range set.Frozen {
		_, before := lines[channel.Name]
		one := set
		one.Frozen = []mirror.FrozenChannel{channel}
		if _, _, denied := f.undenied(one, mirror.Record{}); !before && len(denied) > 0 {
			a := mirror.Action{Kind: mirror.Refuse, Key: mirror.Key{Set: set.Name}, Stage: mirror.Stage(channel.Name), Where: channel.Where,
				Reason: mirror.Because(mirror.Denied, "%s", strings.Join(denied[:min(len(denied), 5)], "; "))}
			a.Reason.Fix = "freeze the channel without it, under a new name"
			refused = append(refused, a)
			continue
		}
		fine = append(fine, channel)
	}
	set.Frozen = fine
	kept, others := set.Keep(lines, record, at)
	return kept, append(refused, others...)
}

// deniedLines says which lines of a channel that is to be frozen policy denies.
func (f *fleet) deniedLines(lines map[string]mirror.Reference) (why []string) {
	for _, entry := range sortedKeys(lines) {
		if said := f.policy.Denied(lines[entry]); said != "" {
			why = append(why, fmt.Sprintf("%s cannot be frozen: %s", entry, said))
		}
	}
	return why
}
