package daemon

import (
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/sync/publish"
	"github.com/poundlock/poundlock/testenv"
)

// history fails the test where the history of the branch lacks a commit of people, or holds one of a daemon that should
// not be there.
func (d *duel) history() {
	d.t.Helper()
	log := must(d.git.Log())(d.t)
	in := map[string]bool{}
	for _, c := range log {
		in[c.ID] = true
	}
	for _, id := range d.human {
		if !in[id] {
			d.t.Errorf("commit %s of people is lost", id)
		}
	}
	slices.Reverse(log)
	type came struct {
		publish.Promoted
		entry string
	}
	recorded := map[came]string{}
	before, ours, promotions := map[string]string{}, 0, 0
	var seen, excused []string // what was recorded of them may have been lost to a forced push, with what named it
	for _, c := range log {
		if seen = append(seen, c.ID); c.Message == forced {
			excused = slices.Clone(seen)
		}
		files := must(d.git.Files(c.ID))(d.t)
		if strings.Contains(c.Message, "Poundlock-Cycle: ") {
			ours++
			d.onlyNews(c, before, files)
			moved := movedLines(before, files)
			trailers := publish.ParsePromoted(c.Message)
			promotions += len(trailers)
			for _, p := range trailers {
				own := 0
				for at, commit := range moved {
					if at.Set != p.Set || at.Stage != p.Stage || commit != p.Commit {
						continue
					}
					own++
					key := came{p, at.Entry}
					if other, twice := recorded[key]; twice {
						d.t.Errorf("%+v of %s is recorded twice, by %s and by %s", p, at.Entry, other, c.ID)
					}
					recorded[key] = c.ID
				}
				if own == 0 {
					d.t.Errorf("commit %s names %+v and moves nothing of it:\n%s", c.ID, p, c.Message)
				}
			}
			for at, commit := range moved {
				named := slices.ContainsFunc(trailers, func(p publish.Promoted) bool { return p.Set == at.Set && p.Stage == at.Stage && p.Commit == commit })
				lost := slices.Contains(excused, commit) || !in[commit]
				if !named && !lost {
					d.t.Errorf("commit %s records %v, which %s asked for, and does not name it:\n%s", c.ID, at, commit, c.Message)
				}
			}
		}
		before = files
	}
	d.t.Logf("%d commits of people, %d of the daemons, %d promotions recorded", len(d.human), ours, promotions)
}

var recordTimes = regexp.MustCompile(`, (since: "[^"]*"|stood: \{[^}]*\})`)

// onlyNews fails the test where a commit of a daemon changes nothing but times, or something of people.
func (d *duel) onlyNews(c testenv.GitCommit, before, files map[string]string) {
	d.t.Helper()
	news := false
	for _, name := range sortedKeys(merged(before, files)) {
		if before[name] == files[name] {
			continue
		}
		if !strings.HasPrefix(name, "rendered/demo/") && !strings.HasPrefix(name, "stages/") {
			d.t.Errorf("commit %s of a daemon changes %s", c.ID, name)
		}
		if strings.Contains(before[name], `since: "19`) || recordTimes.ReplaceAllString(before[name], "") != recordTimes.ReplaceAllString(files[name], "") {
			news = true
		}
	}
	if !news {
		d.t.Errorf("commit %s of a daemon says nothing new:\n%s", c.ID, c.Message)
	}
}

func merged(a, b map[string]string) map[string]string {
	all := maps.Clone(a)
	maps.Copy(all, b)
	return all
}

var recordLine = regexp.MustCompile(`(?m)^  "?([^\s"]+)"?: \{image: (\S+), since.*?, commit: "([0-9a-f]+)"`)

// movedLines gives the lines above the first stage whose image another commit changed, with the commit that asked for it.
func movedLines(before, files map[string]string) map[mirror.Place]string {
	moved := map[mirror.Place]string{}
	for name, text := range files {
		rest, ok := strings.CutPrefix(name, "rendered/demo/record/")
		set, stage, _ := strings.Cut(strings.TrimSuffix(rest, ".yaml"), "/")
		if !ok || stage == "snapshot" || before[name] == text {
			continue
		}
		was := map[string]string{}
		for _, m := range recordLine.FindAllStringSubmatch(before[name], -1) {
			was[m[1]] = m[2]
		}
		for _, m := range recordLine.FindAllStringSubmatch(text, -1) {
			if was[m[1]] != m[2] {
				moved[mirror.Place{Set: set, Stage: mirror.Stage(stage), Entry: m[1]}] = m[3]
			}
		}
	}
	return moved
}

// stands fails the test where tags and record do not agree.
func (d *duel) stands() {
	d.t.Helper()
	for name, text := range d.main() {
		rest, ok := strings.CutPrefix(name, "rendered/demo/record/")
		if !ok {
			continue
		}
		set, stage, _ := strings.Cut(strings.TrimSuffix(rest, ".yaml"), "/")
		of, _ := d.daemons[0].line.fleet.Load().desired.Set(set)
		for _, m := range recordLine.FindAllStringSubmatch(text, -1) {
			image := must(mirror.ParseReference(m[2]))(d.t)
			pointer := d.daemons[0].line.local.Pointer(of, mirror.Stage(stage), m[1], image)
			if got := d.tag(pointer.Repository, pointer.Tag); got != image.Digest {
				d.t.Errorf("%s names %s, and the record of %s at %s says %s", pointer, got, m[1], stage, image.Digest)
			}
		}
	}
}
