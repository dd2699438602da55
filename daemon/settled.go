package daemon

import (
	"bytes"
	"fmt"
	"maps"
	"sync"

	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/sync/render"
)

// settledSet is what the last step of a set left, for the consumers that run it.
type settledSet struct {
	set    mirror.Set
	record mirror.Record
	files  mirror.Files            // the record as it was committed
	open   map[mirror.Stage]string // stages on their way from one release to the next, and why
}

// settling is what this process settled, by set. It is written with publishing held, so that what a commit is built on
// and what is remembered of it are the same.
type settling struct {
	mu   sync.Mutex
	sets map[string]settledSet
}

func (s *settling) put(one settledSet) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.sets == nil {
		s.sets = map[string]settledSet{}
	}
	s.sets[one.set.Name] = one
}

func (s *settling) get(set string) (settledSet, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	one, ok := s.sets[set]
	return one, ok
}

// settles gives what a step leaves of its set with a record.
func (l *Line) settles(v *view, record mirror.Record) settledSet {
	return settledSet{set: v.set, record: record, files: l.recordOf(v.set.Name, mirror.RecordFiles(l.renderedDir(), v.set, record)),
		open: render.Unfinished(v.set, record, v.plan)}
}

func (l *Line) recordDir(set string) string { return l.renderedDir() + "/record/" + set }

// recordOf gives those of some files that are the record of a set.
func (l *Line) recordOf(set string, files mirror.Files) mirror.Files {
	record := mirror.Files{}
	for _, name := range files.Under(l.recordDir(set)) {
		record[name] = files[name]
	}
	return record
}

// settledAt gives what counts of another set for a commit of rendered/: what this process settled, as long as that is
// what the commit records. Anything else was not judged here, such as an edit by hand or the commit of another daemon;
// then why says so.
func (l *Line) settledAt(set, commit string) (one settledSet, why string, err error) {
	one, ok := l.settled.get(set)
	if !ok {
		return one, fmt.Sprintf("set %s was not looked at yet", set), nil
	}
	now, err := l.filesAt(commit, l.recordDir(set))
	if err != nil {
		return one, "", fmt.Errorf("record of set %s: %w", set, err)
	}
	if !maps.EqualFunc(now, one.files, bytes.Equal) {
		return one, fmt.Sprintf("what is recorded of set %s is not what was judged here; it is looked at again first", set), nil
	}
	return one, "", nil
}
