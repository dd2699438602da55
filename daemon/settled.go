package daemon

import (
	"encoding/json"
	"fmt"
	"maps"
	"sync"

	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/sync/render"
)

// settledSet is what the last step of a set left, for the consumers that run it.
type settledSet struct {
	set    mirror.Set
	place  mirror.Digest // identity of where it lies
	record mirror.Record
	print  mirror.Digest           // of the record as it was committed
	open   map[mirror.Stage]string // stages on their way from one release to the next, and why
}

// settling is what this process settled, by set, and what it made of that. It is written with publishing held, so that
// what a commit is built on and what is remembered of it are the same.
type settling struct {
	mu       sync.Mutex
	sets     map[string]settledSet
	changes  int                       // how often sets came to be other than before
	recorded map[string]recordedAt     // by set: what was read last
	made     map[string]consumerMade   // by consumer: what was rendered last
	folders  map[string]consumerFolder // by consumer: what was read last
	kept     map[string]bool           // by folder of a consumer: whether the last commit left it as it was
}

// recordedAt identifies the record of a set at a commit.
type recordedAt struct {
	commit string
	print  mirror.Digest
}

func newSettling() *settling {
	return &settling{sets: map[string]settledSet{}, recorded: map[string]recordedAt{}, made: map[string]consumerMade{},
		folders: map[string]consumerFolder{}, kept: map[string]bool{}}
}

func (s *settling) put(one settledSet) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if was, ok := s.sets[one.set.Name]; !ok || was.place != one.place || was.print != one.print || !maps.Equal(was.open, one.open) {
		s.changes++
	}
	s.sets[one.set.Name] = one
}

// begin takes what was settled by an earlier process, where this one did not settle the set yet.
func (s *settling) begin(one settledSet) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.sets[one.set.Name]; !ok {
		s.sets[one.set.Name] = one
	}
}

func (s *settling) get(set string) (settledSet, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	one, ok := s.sets[set]
	return one, ok
}

// generation changes whenever something was settled that is other than before.
func (s *settling) generation() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.changes
}

// settles gives what a step leaves of its set with a record.
func (l *Line) settles(v *view, record mirror.Record) settledSet {
	return settledSet{set: v.set, place: l.placeOf(v.set), record: record,
		print: filesPrint(l.recordOf(v.set.Name, mirror.RecordFiles(l.renderedDir(), v.set, record))),
		open:  render.Unfinished(v.set, record, v.plan)}
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

// filesPrint identifies files by their names and bytes.
func filesPrint(files mirror.Files) mirror.Digest {
	var all []byte
	for _, name := range sortedKeys(files) {
		all = fmt.Appendf(all, "%q %s\n", name, mirror.DigestOf(files[name]))
	}
	return mirror.DigestOf(all)
}

// recordPrint identifies the record of a set at a commit.
func (l *Line) recordPrint(set, commit string) (mirror.Digest, error) {
	s := l.settled
	s.mu.Lock()
	last, ok := s.recorded[set]
	s.mu.Unlock()
	if ok && last.commit == commit {
		return last.print, nil
	}
	files, err := l.filesAt(commit, l.recordDir(set))
	if err != nil {
		return mirror.Digest{}, fmt.Errorf("record of set %s: %w", set, err)
	}
	last = recordedAt{commit, filesPrint(files)}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.recorded[set] = last
	return last.print, nil
}

// settledAt gives what counts of another set for a commit of rendered/: what this process settled, or an earlier one by
// this state, as long as that is what the commit records. A set that is suspended, or that fails, so takes nothing away
// from its consumers. Anything else was not judged here, such as an edit by hand or the commit of another daemon; then
// why says so.
func (l *Line) settledAt(f *fleet, set, commit string) (one settledSet, why string, err error) {
	now, err := l.recordPrint(set, commit)
	if err != nil {
		return one, "", err
	}
	one, ok := l.settled.get(set)
	if !ok {
		if one, ok, err = l.settledBefore(f, set, commit, now); err != nil {
			return one, "", err
		}
	}
	_, paused := f.paused(set)
	switch {
	case ok && one.print == now:
		return one, "", nil
	case paused && ok:
		why = fmt.Sprintf("set %s is suspended, and what is recorded of it is not what was judged here; resume it, so that it is looked at again", set)
	case paused:
		why = fmt.Sprintf("set %s is suspended, and was not looked at as it is now; resume it, so that it is", set)
	case ok:
		why = fmt.Sprintf("what is recorded of set %s is not what was judged here; it is looked at again first", set)
	default:
		why = fmt.Sprintf("set %s was not looked at yet", set)
	}
	return one, why, nil
}

// keptSettled is what the state keeps of a settledSet. The record itself stands in Git.
type keptSettled struct {
	Record mirror.Digest           `json:"record"` // identity of its files
	Place  mirror.Digest           `json:"place"`  // identity of where the set lies
	Open   map[mirror.Stage]string `json:"open,omitempty"`
}

// keepSettled remembers beyond this process what a step left. Where that cannot be written, the next process looks first.
func (l *Line) keepSettled(one settledSet) {
	if err := l.state.setAsked(one.set.Name+"/settled", keptSettled{one.print, one.place, one.open}); err != nil {
		l.log.Warn("what a step left is not remembered", keySet, one.set.Name, keyError, err)
	}
}

// settledBefore gives what an earlier process left of a set, where that is what a commit records, and the set still lies
// where it did.
func (l *Line) settledBefore(f *fleet, name, commit string, print mirror.Digest) (one settledSet, ok bool, err error) {
	set, asked := f.desired.Set(name)
	if !asked || l.state == nil {
		return one, false, nil
	}
	var kept keptSettled
	if l.state.asked(name+"/settled", &kept); kept.Record != print || kept.Place != l.placeOf(set) {
		return one, false, nil
	}
	files, err := l.filesAt(commit, l.recordDir(name))
	if err != nil {
		return one, false, fmt.Errorf("record of set %s: %w", name, err)
	}
	one = settledSet{set: set, place: kept.Place, record: proven(mirror.ParseRecord(l.renderedDir(), set, files)), print: print, open: kept.Open}
	if f.proposed == nil {
		l.settled.begin(one)
	}
	return one, true, nil
}

// whereabouts gives of a set what the files of consumers are made of besides the record: where its content lies.
func whereabouts(set mirror.Set) mirror.Set {
	return mirror.Set{Name: set.Name, Tag: set.Tag, Layout: set.Layout, Paths: set.Paths, Stages: set.Stages}
}

// placeOf identifies what whereabouts gives, and the local registry.
func (l *Line) placeOf(set mirror.Set) mirror.Digest {
	var tags []string // where a template makes them
	for _, stage := range set.Stages {
		tags = append(tags, l.local.Pointer(set, stage, "entry", mirror.Reference{Host: "host.invalid", Repository: "a"}).Tag)
	}
	text, err := json.Marshal(struct {
		Local  mirror.Local
		Layout mirror.LayoutKind
		Paths  map[string]string
		Stages mirror.Stages
		Tags   []string
	}{l.local, set.Layout, set.Paths, set.Stages, tags})
	if err != nil {
		return mirror.Digest{} // words can be written
	}
	return mirror.DigestOf(text)
}
