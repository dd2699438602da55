package epr

import (
	"bufio"
	"io"
	"maps"
	"slices"
)

// search writes the body of /search: ten megabytes for a large channel, which are never together in memory.
func (c *Channel) search(w io.Writer, q query) {
	body := bufio.NewWriterSize(w, 64<<10)
	defer body.Flush() // a client that went away
	found := c.recall(q)
	if len(found) == 0 {
		body.WriteString("[]")
		return
	}
	before := "[\n  "
	for _, v := range found {
		body.WriteString(before)
		body.Write(v.inCategory(q.category))
		before = ",\n  "
	}
	body.WriteString("\n]\n")
}

// inCategory gives what is told of a version to who asks for a category: where only policy templates are of it, these.
func (v *version) inCategory(category string) []byte {
	if category == "" || isIn(v.categories, category) {
		return v.text()
	}
	return v.showWith(func(b *base) {
		b.Deprecated = v.said
		b.PolicyTemplates = slices.DeleteFunc(b.PolicyTemplates, func(t basePolicyTemplate) bool {
			return !slices.Contains(t.Categories, text(category))
		})
	})
}

// categoryCount is an element of /categories.
type categoryCount struct {
	ID          string `json:"id"`
	Title       string `json:"title"`
	Count       int    `json:"count"`
	ParentID    string `json:"parent_id,omitempty"`
	ParentTitle string `json:"parent_title,omitempty"`
}

// countCategories gives the body of /categories.
func (c *Channel) countCategories(q query) ([]byte, error) {
	counts := map[string]int{}
	for _, v := range c.find(q) {
		for _, one := range v.categories {
			counts[one]++
		}
		if q.templates {
			v.countTemplates(counts)
		}
	}
	all := []categoryCount{}
	for _, id := range slices.Sorted(maps.Keys(counts)) {
		one := categoryCount{ID: id, Title: id, Count: counts[id]}
		if known, is := categories[id]; is {
			one.Title, one.ParentID = known.title, known.parent
			one.ParentTitle = categories[known.parent].title
		}
		all = append(all, one)
	}
	return encode(all, false)
}

// countTemplates adds each policy template to the categories of its package and to its own, and the package once to those
// that only its templates have.
func (v *version) countTemplates(counts map[string]int) {
	extra := map[string]bool{}
	for _, t := range v.templates {
		if t == nil && len(v.templates) == 1 {
			return
		}
		for _, one := range v.categories {
			counts[one]++
		}
		for _, one := range t {
			if !isIn(v.categories, one) && !extra[one] {
				extra[one] = true
				counts[one]++
			}
			counts[one]++
		}
	}
}
