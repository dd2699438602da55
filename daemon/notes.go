package daemon

import (
	"slices"
	"strings"

	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/sync/render"
)

// warn puts what is to be known of a folder beside the first of its files that changes: who reviews the change sees it.
func (r *rendering) warn() {
	for _, note := range r.notes {
		i := slices.IndexFunc(r.actions, func(a mirror.Action) bool {
			return a.Kind == mirror.Render && strings.HasPrefix(a.Path, note.Path+"/")
		})
		if text := noteText(note); i >= 0 && !slices.Contains(r.actions[i].Warnings, text) {
			r.actions[i].Warnings = append(r.actions[i].Warnings, text)
		}
	}
}

func noteText(n render.Note) string { return n.Kind + ": " + n.Text }

// tellNotes tells of each folder what is to be known of its files, and again only when that changed.
func (l *Line) tellNotes(notes []render.Note) {
	byFolder := map[string][]string{}
	for _, note := range notes {
		if text := noteText(note); !slices.Contains(byFolder[note.Path], text) {
			byFolder[note.Path] = append(byFolder[note.Path], text)
		}
	}
	for _, dir := range sortedKeys(byFolder) {
		now := strings.Join(byFolder[dir], "\n")
		if last, told := l.shared.notes.Swap(dir, now); told && last == now {
			continue
		}
		for _, text := range byFolder[dir] {
			l.log.Warn("something is to be known of rendered files", keyWhere, dir, keyReason, mirror.OneLine(text))
		}
	}
}
