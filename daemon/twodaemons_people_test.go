package daemon

import (
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/poundlock/poundlock/daemon/config"
	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/testenv"
)

// duel is two daemons of one site that run side by side, and people who commit meanwhile.
type duel struct {
	*site
	daemons [2]*site
	random  *rand.Rand
	version int                 // of the last content that was made
	human   []string            // commits that must be in the history at the end
	lines   map[string][]string // by stage file: what people made it, oldest first
}

// duelSets are a list whose tags move and that rises by itself, a pinned list, and a release that moves as one.
var duelSets = map[string]string{
	"desired/policy.yaml": vendorPolicy,
	"desired/moving.yaml": "version: 1\nsource: {kind: list, images: [\"docker.io/library/web:1\", \"ghcr.io/team/tool:2\"]}\nlayout: path\nauto: {staging: commit}\n",
	"desired/apps.yaml":   "version: 1\nsource: {kind: list, file: apps.txt}\nrender: {containerd: {}}\nlayout: path\n",
	"desired/ess.yaml":    "version: 1\nsource: {kind: ess, file: ess/images_digests.yml}\nrender: {element: {name: ess-images, namespace: ess}}\n",
}

var movingImages = []string{webImage, toolImage}

const duelImages = 3 // of each of the other sets

func newDuel(t *testing.T, seed uint64) *duel {
	t.Helper()
	s := newSite(t, maps.Clone(duelSets))
	s.git.Now = time.Now
	d := &duel{site: s, random: rand.New(rand.NewPCG(seed, 0)), lines: map[string][]string{}}
	for _, name := range movingImages {
		d.image(name)
	}
	d.desires()
	d.releases()
	d.daemons = [2]*site{s, s.twin()}
	for i, one := range d.daemons {
		file := filepath.Join(one.dir, "config.yaml")
		if err := os.WriteFile(file, []byte(one.config), 0o600); err != nil {
			t.Fatal(err)
		}
		c := must(config.Load(file, nil, nil))(t)
		skew := time.Duration(i) * 90 * time.Second
		one.line = must(Open(t.Context(), c, Options{Log: slog.New(slog.NewTextHandler(t.Output(), nil)).With("daemon", i),
			Now: func() time.Time { return time.Now().Add(skew) }}))(t)
	}
	return d
}

// pick gives one of some things.
func pick[T any](d *duel, all ...T) T { return all[d.random.IntN(len(all))] }

func (d *duel) image(name string) mirror.Reference {
	d.t.Helper()
	d.version++
	return d.pushSigned(name, fmt.Sprint(name, " ", d.version))
}

// commits makes a commit of people, which must never be lost.
func (d *duel) commits(message string, files map[string]string) {
	d.t.Helper()
	d.human = append(d.human, d.commit(message, files))
	for name, text := range files {
		if strings.HasPrefix(name, "stages/") {
			d.lines[name] = append(d.lines[name], text)
		}
	}
}

// moves puts new content behind a tag upstream.
func (d *duel) moves() { d.image(pick(d, movingImages...)) }

// desires asks for new content of the pinned list.
func (d *duel) desires() {
	var refs []mirror.Reference
	for i := range duelImages {
		refs = append(refs, d.image(fmt.Sprintf("quay.io/apps/app%d:v%d", i, d.version/10)))
	}
	d.commits("apps", map[string]string{"desired/apps.txt": list(refs...)})
}

// releases ships a new release.
func (d *duel) releases() {
	var refs []mirror.Reference
	for i := range duelImages {
		refs = append(refs, d.image(fmt.Sprintf("docker.io/ess/app%02d:stable", i)))
	}
	d.commits("release", map[string]string{"desired/ess/images_digests.yml": manyDigests(refs)})
}

// raises makes a stage file what stands below, or for lists a part of it.
func (d *duel) raises() {
	set, stage := pick(d, "moving", "apps", "ess"), pick(d, "staging", "production")
	files := d.main()
	from, name := "rendered/demo/"+set+"/snapshot.yaml", "stages/"+set+"/"+stage+".yaml"
	if stage == "production" {
		from = "stages/" + set + "/staging.yaml"
	}
	if files[from] == "" || files[from] == files[name] {
		return
	}
	text := files[from]
	if set != "ess" && files[name] != "" && d.random.IntN(2) == 0 { // one entry alone
		was, is := entryLines(files[name]), entryLines(text)
		entry := pick(d, sortedKeys(is)...)
		was[entry] = is[entry]
		text = "version: 1\nentries:\n"
		for _, e := range sortedKeys(was) {
			text += "  " + e + ": " + was[e] + "\n"
		}
	}
	d.commits("promote "+set+" to "+stage, map[string]string{name: text})
}

var entryLine = regexp.MustCompile(`(?m)^  "?([^\s"]+)"?: (\S+@sha256:\S+)$`)

func entryLines(text string) map[string]string {
	lines := map[string]string{}
	for _, m := range entryLine.FindAllStringSubmatch(text, -1) {
		lines[m[1]] = m[2]
	}
	return lines
}

// reverts makes a stage file what people made it once.
func (d *duel) reverts() {
	if len(d.lines) == 0 {
		return
	}
	name := pick(d, sortedKeys(d.lines)...)
	if text := pick(d, d.lines[name]...); text != d.file(name) {
		d.commits("revert "+name, map[string]string{name: text})
	}
}

// orders has one of the daemons commit a promotion. That it is in nobody's way is no matter here.
func (d *duel) orders() {
	p, err := pick(d, d.daemons[:]...).line.Promote(d.t.Context(), PromoteOrder{Set: pick(d, "moving", "apps", "ess"), Stage: mirror.Stage(pick(d, "staging", "production")),
		Way: ByCommit, By: "alice"})
	if err == nil && p.Outcome == PromotedCommitted {
		d.human = append(d.human, p.Commit)
	}
}

const forced = "forced"

// forces takes the branch back to the last commit that people care for, and commits on that: what daemons recorded since
// is gone.
func (d *duel) forces() {
	log := must(d.git.Log())(d.t)
	keep := slices.IndexFunc(log, func(c testenv.GitCommit) bool { return slices.Contains(d.human, c.ID) })
	if err := d.git.Point("main", log[keep].ID); err != nil {
		return // a daemon was faster
	}
	d.commits(forced, map[string]string{"README.md": fmt.Sprint(d.version, d.random.Uint64(), "\n")})
}

// edits changes by hand what daemons write.
func (d *duel) edits() {
	for name, text := range d.main() {
		if strings.HasPrefix(name, "rendered/demo/record/") {
			d.commits("by hand", map[string]string{name: strings.ReplaceAll(text, `since: "20`, `since: "19`)})
			return
		}
	}
}

// wakes has a daemon look at everything, as a schedule, an audit or a webhook does.
func (d *duel) wakes() {
	pick(d, d.daemons[:]...).line.wakes.add(pick(d, Wake{Why: "schedule", Resolve: true}, Wake{Why: "audit", Audit: true}))
}

// people do something at random, n commits of theirs altogether.
func (d *duel) people(n int) {
	for begun := len(d.human); len(d.human)-begun < n; {
		switch d.random.IntN(16) {
		case 0:
			d.desires()
		case 1, 2:
			d.releases()
		case 3, 4:
			d.moves()
			d.wakes()
		case 5, 6, 7, 8, 9:
			d.raises()
		case 10:
			d.reverts()
		case 11, 12:
			d.orders()
		case 13:
			d.forces()
		case 14:
			d.edits()
		default:
			d.wakes()
		}
		// The daemons come to look a few times, or not at all.
		looks := d.git.Requests() + d.random.IntN(8)
		until(d.t, "the daemons look", func() bool { return d.git.Requests() >= looks })
	}
}

// settles lets the daemons finish, one after the other, until a whole round commits nothing.
func (d *duel) settles() map[string]Report {
	d.t.Helper()
	const most = 10
	for range most {
		head := d.git.Head()
		var reports map[string]Report
		for _, one := range d.daemons {
			reports = one.sync()
		}
		if d.git.Head() == head {
			return reports
		}
	}
	log := must(d.git.Log())(d.t)
	newest, before := must(d.git.Files(log[0].ID))(d.t), must(d.git.Files(log[1].ID))(d.t)
	for name, text := range newest {
		if text != before[name] {
			d.t.Logf("%s was\n%s\nand is\n%s", name, before[name], text)
		}
	}
	d.t.Fatalf("after %d rounds the daemons still commit:\n%s\n%s", most, log[0].Message, log[1].Message)
	return nil
}
