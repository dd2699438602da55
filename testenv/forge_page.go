package testenv

import (
	"html/template"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// forgePage shows a proposal to a person of a demo: its text, its comments and its checks, as they were written.
var forgePage = template.Must(template.New("proposal").Parse(`<!doctype html>
<html lang="en"><meta charset="utf-8"><title>{{.Title}}</title>
<style>body{font:15px/1.5 sans-serif;max-width:60em;margin:2em auto;padding:0 1em}pre{white-space:pre-wrap;border-left:3px solid #999;padding-left:1em}</style>
<h1>{{.Title}} <small>#{{.Number}}</small></h1>
<p>{{.Author}} wants to merge {{.Head}} into {{.Base}} · {{if .Merged}}merged by {{.EndedBy}} as {{.MergeCommit}}{{else if .Open}}open{{else}}closed by {{.EndedBy}}{{end}}{{range .Labels}} · {{.}}{{end}}
<pre>{{.Body}}</pre>
{{range .Reviews}}<p>{{.By}}: {{.Verdict}} at {{.Commit}}{{end}}
{{range .Comments}}<h2>{{.By}}</h2><pre>{{.Body}}</pre>{{end}}
<h2>Checks</h2><ul>{{range .Checks}}<li>{{.Context}}: {{.State}} {{.Text}}{{end}}</ul>
</html>
`))

// servePage answers the page of a proposal, without asking who looks: a forge of tests listens on loopback alone.
func (f *Forge) servePage(w http.ResponseWriter, r *http.Request) bool {
	path, ok := strings.CutPrefix(r.URL.Path, "/"+forgeRepository+"/")
	number, err := strconv.Atoi(path[strings.LastIndexByte(path, '/')+1:])
	if !ok || err != nil || r.Method != http.MethodGet {
		return false
	}
	p := f.Proposal(number)
	if p == nil {
		return false
	}
	f.mu.Lock()
	checks := f.newestStatuses(p.HeadCommit)
	checks = append(checks, f.newestStatuses(p.MergeCommit)...)
	f.mu.Unlock()
	slices.SortStableFunc(checks, func(a, b ForgeStatus) int { return strings.Compare(a.Context, b.Context) })
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_ = forgePage.Execute(w, struct { // a client that is gone asks again
		*ForgeProposal
		Checks []ForgeStatus
	}{p, checks})
	return true
}
