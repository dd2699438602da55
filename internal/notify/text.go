package notify

import (
	"fmt"
	"strings"
)

// maxShown is how many entries a text for people names.
const maxShown = 5

// title gives a message in one line.
func (m Message) title() string {
	var b strings.Builder
	fmt.Fprintf(&b, "[%s] %s", m.Site, m.What)
	if place := m.place(); place != "" {
		b.WriteString(": " + place)
	}
	if m.Count > 1 {
		fmt.Fprintf(&b, " (%d)", m.Count)
	}
	if m.Reminder {
		b.WriteString(", still")
	}
	return b.String()
}

// place gives set, entry and stage, as far as the message is about one of them.
func (m Message) place() string {
	place := m.Set
	if len(m.Entries) == 1 && m.Count <= 1 {
		place += "/" + m.Entries[0]
	}
	if m.Stage != "" {
		place = strings.TrimSpace(place + " at " + m.Stage)
	}
	return place
}

// detail is one line below the title. Value comes from elsewhere.
type detail struct{ name, value string }

// details gives what there is to say besides, in order.
func (m Message) details() []detail {
	var all []detail
	add := func(name, value string) {
		if value != "" {
			all = append(all, detail{name, value})
		}
	}
	if m.Count > 1 {
		shown := m.Entries[:min(len(m.Entries), maxShown)]
		text := strings.Join(shown, ", ")
		if more := m.Count - len(shown); len(shown) > 0 && more > 0 {
			text += fmt.Sprintf(" and %d more", more)
		}
		add("entries", text)
	}
	if m.Count <= 1 {
		add("image", m.Image)
	}
	reason := m.Reason
	if m.Code != "" {
		reason = strings.TrimSpace(reason + " [" + m.Code + "]")
	}
	add("why", reason)
	add("where", m.Where)
	add("fix", m.Fix)
	add("by", m.By)
	add("commit", m.Commit)
	if m.Proposal > 0 {
		add("proposal", strings.TrimSpace(fmt.Sprintf("#%d %s", m.Proposal, m.URL)))
	}
	return all
}

// plain gives a message as plain text.
func (m Message) plain() string {
	var b strings.Builder
	b.WriteString(m.title() + "\n")
	for _, d := range m.details() {
		fmt.Fprintf(&b, "%s: %s\n", d.name, d.value)
	}
	return b.String()
}
