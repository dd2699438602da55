package hook

import (
	"bytes"
	"encoding/json"
	"mime"
	"net/http"
	"net/url"
	"time"
)

// News is what a delivery says, as a hint where to look. All texts come from outside, and are not cleaned.
type News struct {
	ID        string    // of the delivery, as its sender has it; "" when there is none
	Event     string    // in the words of the sender
	At        time.Time // when it happened; zero when it does not say
	Proposals []int     // by their numbers
	Images    []Image   // that were pushed or deleted
	Sets      []string  // that a generic delivery names
	Push      bool      // a branch moved, or a proposal was merged
	Idle      bool      // nothing changed: a trial of the forge, a pull from the registry
	Vague     bool      // what it is about could not be read: it may be anything
	Repeated  bool      // it was delivered before
	Stale     bool      // it happened too long ago to count
}

// Image is a repository that something happened to, as the registry names itself and it.
type Image struct {
	Host       string // "" where the registry does not say
	Repository string
	Tag        string // "" where the event is about content without one
}

// maxItems bounds each list of a delivery that is looked at.
const maxItems = 1000

// few is a list of which only the first items are read.
type few[T any] struct {
	items []T
	more  bool
}

// UnmarshalJSON reads the first items; what is no list is an empty one.
func (f *few[T]) UnmarshalJSON(b []byte) error {
	d := json.NewDecoder(bytes.NewReader(b))
	if t, err := d.Token(); err != nil || t != json.Delim('[') {
		return nil
	}
	for d.More() {
		if len(f.items) == maxItems {
			f.more = true
			return nil
		}
		var item T
		if err := d.Decode(&item); err != nil {
			return err
		}
		f.items = append(f.items, item)
	}
	return nil
}

// read gives what a genuine delivery says.
func read(kind Kind, h http.Header, c *content) News {
	text := c.text
	if form, _, _ := mime.ParseMediaType(h.Get("Content-Type")); form == "application/x-www-form-urlencoded" {
		values, _ := url.ParseQuery(string(text)) // GitHub's form of old: the JSON is a field
		text = []byte(values.Get("payload"))
	}
	var n News
	var err error
	switch kind {
	case GitHub, Gitea:
		n, err = readForge(h, text)
	case GitLab:
		n, err = readGitLab(h, text)
	case Distribution:
		n, err = readDistribution(text)
	case Zot:
		n, err = readZot(h, text)
	case Harbor:
		n, err = readHarbor(text)
	case Generic:
		n, err = readGeneric(h, text)
	}
	if err != nil || !c.whole {
		n = News{ID: n.ID, Event: n.Event, Vague: true}
	}
	return n
}

// first gives the first header of some that is there.
func first(h http.Header, names ...string) string {
	for _, name := range names {
		if v := headerOf(h, name); v != "" {
			return v
		}
	}
	return ""
}

// readGeneric reads {"sets": ["ess"]}; a body of any other form is well, too.
func readGeneric(h http.Header, text []byte) (News, error) {
	n := News{ID: first(h, standardID, "X-Delivery-Id"), Push: true}
	var body struct {
		Sets few[string] `json:"sets"`
	}
	if json.Unmarshal(text, &body) == nil && !body.Sets.more {
		n.Sets = body.Sets.items
	}
	return n, nil
}
