package daemon

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/sync/publish"
)

// What a campaign says: how many commits people make beside two daemons, and from which seed.
const (
	commitsVariable = "POUNDLOCK_TEST_COMMITS"
	seedVariable    = "POUNDLOCK_TEST_SEED"
)

// twin is another daemon of the same site, on the same fleet repository and registry, with a state and a clock of its
// own.
func (s *site) twin() *site {
	s.t.Helper()
	two := *s
	two.dir, two.line = memoryDir(s.t), nil
	two.config = strings.Replace(s.config, filepath.Join(s.dir, "state"), filepath.Join(two.dir, "state"), 1)
	s.t.Cleanup(two.close)
	return &two
}

// rest lets daemons look at everything, one after the other, and fails the test where any of them commits.
func rest(t *testing.T, daemons ...*site) {
	t.Helper()
	head := daemons[0].git.Head()
	for range 3 {
		for _, d := range daemons {
			d.now = d.now.Add(time.Hour)
			d.sync()
			if at := d.git.Head(); at != head {
				log := must(d.git.Log())(t)
				t.Errorf("at rest a daemon committed:\n%s", log[0].Message)
				now, before := must(d.git.Files(log[0].ID))(t), must(d.git.Files(log[1].ID))(t)
				for name := range now {
					if now[name] != before[name] {
						t.Errorf("%s:\n%s\nwas\n%s", name, now[name], before[name])
					}
				}
				head = at
			}
		}
	}
}

// Two daemons whose clocks differ agree on one record: what the one wrote, the other leaves as it is.
func TestTwoDaemons_TheSecondWritesNothingAnew(t *testing.T) {
	t.Parallel()
	s, web, tool := promoteSite(t, "")
	two := s.twin()
	two.now = s.now.Add(90 * time.Second)
	s.sync()
	two.sync()
	for i, seed := range []string{"next", "last"} {
		s.commit("promote", map[string]string{"stages/tools/staging.yaml": stageOf(web, tool)})
		first, second := s, two
		if i == 1 {
			first, second = two, s
		}
		first.sync()
		head := s.git.Head()
		second.sync()
		if s.git.Head() != head {
			t.Errorf("the second daemon committed what the first one had:\n%s", must(s.git.Log())(t)[0].Message)
		}
		web = s.pushSigned(webImage, seed)
		first.sync()
		second.sync()
	}
	asked := map[publish.Promoted]int{}
	for _, c := range must(s.git.Log())(t) {
		for _, p := range publish.ParsePromoted(c.Message) {
			if asked[p]++; asked[p] > 1 {
				t.Errorf("promoted twice: %+v", p)
			}
		}
	}
	rest(t, s, two)
}

// Two daemons, and people who commit beside them: no commit of people is lost, no promotion is recorded twice, and
// nobody commits what nothing has changed.
func TestTwoDaemons_LoseNothingAndRecordItOnce(t *testing.T) {
	t.Parallel()
	commits, seed := 12, uint64(time.Now().UnixNano()) // a campaign makes more
	if text := os.Getenv(commitsVariable); text != "" {
		commits = must(strconv.Atoi(text))(t)
	}
	if text := os.Getenv(seedVariable); text != "" {
		seed = must(strconv.ParseUint(text, 10, 64))(t)
	}
	t.Logf("%d commits, %s=%d", commits, seedVariable, seed)
	d := newDuel(t, seed)
	ctx, stop := contextWithCancel(t)
	var both errgroup.Group
	for _, one := range d.daemons {
		both.Go(func() error { return one.line.follow(ctx) })
	}
	t.Cleanup(func() { stop(); both.Wait() })
	d.people(commits)
	stop()
	if err := both.Wait(); err != nil {
		t.Errorf("a daemon ended: %v", err)
	}
	reports := d.settles()
	head := d.git.Head()
	for range 2 {
		for _, one := range d.daemons {
			one.sync()
		}
	}
	if d.git.Head() != head {
		t.Errorf("at rest they commit:\n%s", must(d.git.Log())(t)[0].Message)
	}
	for set, r := range reports {
		for _, a := range r.Plan.Actions {
			if a.Kind != mirror.Unchanged && !(a.Kind == mirror.Refuse && (a.Reason.Code == mirror.NotBelow || a.Reason.Code == mirror.Incomplete || a.Reason.Code == mirror.Held)) {
				t.Errorf("%s is not at rest: %s %s/%s: %s", set, a.Kind, a.Stage, a.Key.Entry, a.Reason)
			}
		}
	}
	d.whole()
	d.history()
	d.stands()
}
