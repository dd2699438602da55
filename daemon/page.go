package daemon

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"html/template"
	"net/http"
	"time"
)

// What the page is made of: no script, and nothing from elsewhere.
var (
	//go:embed page.css
	pageStyle string
	//go:embed page.html
	pageText string

	pageTemplate = template.Must(template.New("page").Funcs(template.FuncMap{
		"style": func() template.CSS { return template.CSS(pageStyle) }, // #nosec G203: it is our own file
		"names": few,
		"asked": func(w WaitStatus) string { return askedBy(w.Asked, w.Proposal) },
		"clock": func(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") },
	}).Parse(pageText))
	pagePolicy = func() string {
		sum := sha256.Sum256([]byte(pageStyle))
		return "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
	}()
)

// pageData is what the page shows.
type pageData struct {
	Status
	Site   string
	Rhythm string
	Other  string // why there is nothing else to show
}

// page answers GET /: how the daemon is, for people.
func (f *face) page(w http.ResponseWriter, r *http.Request) {
	status, err := f.status(r.Context())
	data := pageData{Status: status}
	if data.At = f.now(); err != nil {
		data.Other = err.Error()
	} else if err := f.takesOrders(); err != nil {
		data.Other = err.Error()
	}
	if refused := f.refused.Load(); refused != nil { // also while there is no status
		data.Reload = &Reload{At: refused.at, Problems: refused.problems}
	}
	if l := f.line.Load(); l != nil {
		data.Site, data.Rhythm = l.config.Site, l.config.Rhythm()
	}
	var b bytes.Buffer
	if err := pageTemplate.Execute(&b, data); err != nil {
		http.Error(w, "the page cannot be made", http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", pagePolicy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cache-Control", "no-store")
	w.Write(b.Bytes())
}

// Sets gives the names of the sets in order, as they were read last; none before the first look.
func (l *Line) Sets() []string {
	f := l.fleet.Load()
	if f == nil {
		return nil
	}
	var names []string
	for _, set := range f.desired.Sets {
		names = append(names, set.Name)
	}
	return names
}
