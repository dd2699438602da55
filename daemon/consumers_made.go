package daemon

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/sync/render"
)

// Every step of a set makes the files of all consumers that run it, and mostly nothing of them changed: what was made
// and read last is taken again as long as all that it comes of is the same.

// consumerMade is what was rendered last for a consumer.
type consumerMade struct {
	of   string // what it was made of
	made render.Result
}

// consumerFolder is what the folder of a consumer holds at a commit.
type consumerFolder struct {
	commit, dir string
	files       mirror.Files
}

// madeOf identifies what the files of a consumer are made of: the fleet, and of each set that it runs where it lies and
// what it records.
func madeOf(f *fleet, c mirror.Consumer, used []settledSet) string {
	var b strings.Builder
	b.WriteString(f.version)
	for i, use := range c.Runs {
		fmt.Fprintf(&b, "\n%s %s %s %s", use.Set, use.Stage, used[i].place, used[i].print)
	}
	return b.String()
}

// consumerMade renders a consumer, or gives what was rendered last. What it gives is the caller's.
func (l *Line) consumerMade(f *fleet, c mirror.Consumer, of string, make func() render.Result) render.Result {
	s := l.settled
	s.mu.Lock()
	last, ok := s.made[c.Name]
	s.mu.Unlock()
	if !ok || last.of != of {
		last = consumerMade{of, make()}
		if f.proposed == nil {
			s.mu.Lock()
			s.made[c.Name] = last
			s.mu.Unlock()
		}
	}
	made := last.made
	made.Files, made.Secrets = maps.Clone(made.Files), maps.Clone(made.Secrets)
	made.Kept, made.Notes = slices.Clone(made.Kept), slices.Clone(made.Notes)
	return made
}

// consumerHolds gives what the folder of a consumer holds at a commit. It is not to be changed.
func (l *Line) consumerHolds(c mirror.Consumer, dir, commit string) (mirror.Files, error) {
	s := l.settled
	s.mu.Lock()
	last := s.folders[c.Name]
	s.mu.Unlock()
	if last.files != nil && last.commit == commit && last.dir == dir {
		return last.files, nil
	}
	files, err := l.outlineAt(commit, dir)
	if err != nil {
		return nil, fmt.Errorf("read what is rendered: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.folders[c.Name] = consumerFolder{commit, dir, files}
	return files, nil
}

// leaves remembers which folders of consumers a commit made and which it left as they were.
func (s *settling) leaves(b besides) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, dir := range b.Owned {
		s.kept[dir] = false
	}
	for _, a := range b.actions {
		s.kept[a.Path] = true
	}
}

// asLeft gives reports without what a later step of another set made up for: the folders of consumers that are as they
// should be by now.
func (l *Line) asLeft(reports []Report) []Report {
	s := l.settled
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range reports {
		reports[i].Plan.Actions = slices.DeleteFunc(slices.Clone(reports[i].Plan.Actions), func(a mirror.Action) bool {
			kept, known := s.kept[a.Path]
			return a.Path != "" && a.Kind != mirror.Render && known && !kept
		})
	}
	return reports
}
