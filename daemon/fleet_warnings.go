package daemon

import (
	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/policy"
)

// warnOrphans tells of sets and consumers that stand in rendered/ and that nobody asks for any more. Removing them is up to
// people: a consumer may still read them.
func (l *Line) warnOrphans(f *fleet) {
	for _, set := range l.orphans(f, f.desired) {
		if _, told := l.shared.orphans.LoadOrStore(set, true); told {
			continue
		}
		l.log.Warn("no set of desired/ has this name any more; delete its folders when no consumer reads them", keySet, set, keyWhere, l.renderedDir()+"/"+set)
	}
	for _, name := range l.orphanConsumers(f, f.desired) {
		folder := l.consumersDir() + "/" + name
		if _, told := l.shared.orphans.LoadOrStore(folder, true); !told {
			l.log.Warn("no consumer of desired/consumers/ has this name any more; delete its folder when no node or cluster reads it", keyWhere, folder)
		}
	}
}

// warnSchedules tells, once, of schedules that belong to no set.
func (l *Line) warnSchedules(desired mirror.Desired) {
	for _, name := range sortedKeys(l.config.Schedules) {
		if _, ok := desired.Set(name); ok {
			continue
		}
		if _, told := l.shared.strays.LoadOrStore("schedules "+name, true); !told {
			l.log.Warn("no set of desired/ has the name that has a schedule", keySet, name, keyWhere, "schedules."+name)
		}
	}
}

// warnStages tells, once, of stages that the floor names and that no set has.
func (l *Line) warnStages(desired mirror.Desired, least policy.Policy) {
	for _, p := range append(least.UnknownStages(stagesOf(desired)), least.UnknownSets(desired.Sets)...) {
		if _, told := l.shared.strays.LoadOrStore(p.What, true); !told {
			l.log.Warn("a rule or gate of the floor may hold nowhere", adviceOf(p)...)
		}
	}
}
