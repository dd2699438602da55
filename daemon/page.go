package daemon

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"html/template"
	"net/http"
	"time"

	"github.com/poundlock/poundlock/internal/mirror"
)

// What the page is made of: no script, and nothing from elsewhere.
var (
	//go:embed page.css
	pageStyle string
	//go:embed page.html
	pageText string

	pageTemplate = template.Must(template.New("page").Funcs(template.FuncMap{
		"style": func() template.CSS { return template.CSS(pageStyle) }, // #nosec G203: it is our own file
		"clock": func(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") },
	}).Parse(pageText))
	pagePolicy = func() string {
		sum := sha256.Sum256([]byte(pageStyle))
		return "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
	}()
)

// pageData is what the page shows.
type pageData struct {
	At      time.Time
	Site    string
	Rhythm  string
	Next    time.Time
	Trouble string // of the daemon as a whole; empty when it is ready
	Refused *pageRefusal
	Sets    []pageSet
}

type pageRefusal struct {
	At       time.Time
	Problems mirror.Problems
}

type pageSet struct {
	Name    string
	Copying bool
	Last    *Run
	Trouble string
}

// page answers GET /: how the daemon is, for people.
func (f *face) page(w http.ResponseWriter, _ *http.Request) {
	data := pageData{At: f.now()}
	if refused := f.refused.Load(); refused != nil {
		data.Refused = &pageRefusal{refused.at, refused.problems}
	}
	if l := f.line.Load(); l != nil {
		l.describe(&data)
	} else {
		data.Trouble = errTakingOver.Error()
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

// describe fills in what the line knows.
func (l *Line) describe(data *pageData) {
	data.Site, data.Rhythm, data.Next = l.config.Site, l.config.Rhythm(), l.NextLook()
	if err := l.ready(); err != nil {
		data.Trouble = err.Error()
	}
	f := l.fleet.Load()
	if f == nil {
		return
	}
	last := map[string]*Run{}
	runs, err := l.Runs("", 0)
	if err != nil {
		l.log.Warn("runs cannot be read", keyError, err)
	}
	for i := range runs {
		if last[runs[i].Set] == nil {
			last[runs[i].Set] = &runs[i]
		}
	}
	for _, set := range f.desired.Sets {
		shown := pageSet{Name: set.Name, Copying: !l.mover.Idle(set.Name), Last: last[set.Name]}
		if err := l.progress(set.Name).trouble(); err != nil {
			shown.Trouble = err.Error()
		}
		data.Sets = append(data.Sets, shown)
	}
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
