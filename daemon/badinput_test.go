package daemon

import (
	"bytes"
	"errors"
	"log/slog"
	"maps"
	"strings"
	"testing"

	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/testenv"
)

// outside is all that bad input must leave as it was: the tags of the local registry and the fleet's head.
type outside struct {
	tags map[string]string
	head string
}

func (s *site) outside() outside {
	return outside{testenv.TagsOf(s.local.Back()), s.git.Head()}
}

// unchanged fails the test when a tag or the head of the fleet is not as before.
func (s *site) unchanged(before outside) {
	s.t.Helper()
	now := s.outside()
	if !maps.Equal(now.tags, before.tags) {
		s.t.Errorf("tags of the local registry moved:\nbefore %v\nafter  %v", before.tags, now.tags)
	}
	if now.head != before.head {
		s.t.Errorf("a commit was made: %s on %s", now.head, before.head)
	}
}

// during lends the site to a subtest.
func (s *site) during(t *testing.T) {
	outer := s.t
	s.t = t
	t.Cleanup(func() { s.t = outer })
}

// listen gives the text of everything that the line logs from now on.
func (s *site) listen() *bytes.Buffer {
	s.t.Helper()
	if s.line == nil {
		s.open()
	}
	var b bytes.Buffer
	s.line.log = slog.New(slog.NewTextHandler(&b, &slog.HandlerOptions{Level: slog.LevelDebug}))
	return &b
}

// discreet fails the test when a text holds a secret: all secrets of these tests have "canary" in them, and
// all users of them are "poundlock", with which the Base64 form begins that HTTP carries.
func discreet(t *testing.T, what string, texts ...string) {
	t.Helper()
	for _, text := range texts {
		for _, secret := range []string{"canary", "cG91bmRsb2Nr"} {
			if strings.Contains(text, secret) {
				t.Errorf("%s holds a secret (%s): %s", what, secret, text)
			}
		}
	}
}

// details are the reasons of a plan as people read them.
func details(p mirror.Plan) string {
	var b strings.Builder
	for _, a := range p.Actions {
		b.WriteString(string(a.Kind) + " " + a.Key.Entry + ": " + a.Reason.String() + "\n")
	}
	return b.String()
}

// standing makes a site where one good image stands at snapshot and staging.
func standing(t *testing.T) (s *site, web mirror.Reference) {
	t.Helper()
	s = newSite(t, map[string]string{"desired/policy.yaml": pinnedPolicy})
	web = s.push("docker.io/library/web:1", "web")
	s.commit("web", map[string]string{"desired/web.yaml": webSet, "desired/web.txt": list(web)})
	s.sync()
	s.promote("web", "snapshot", "staging")
	s.sync()
	return s, web
}

const webSet = "version: 1\nsource: {kind: list, file: web.txt}\nlayout: path\n"

// expectProblem fails the test unless err is one of a file that people wrote, with this code and place.
func expectProblem(t *testing.T, err error, code, place string) {
	t.Helper()
	var problems mirror.Problems
	if !errors.As(err, &problems) {
		t.Fatalf("got %v, want problem %s", err, code)
	}
	for _, p := range problems {
		if p.Code == code && strings.HasPrefix(p.Where.String(), place) {
			return
		}
	}
	t.Errorf("want problem %s at %s, have:\n%v", code, place, err)
}

// A mistake in what people write holds the whole fleet where it is: the error names the place, no registry is
// asked for anything, no tag moves, nothing is committed. Mending it goes on from there.
func TestBadFleet_MistakeIsNamedAndNothingMoves(t *testing.T) {
	t.Parallel()
	s, web := standing(t)
	digest := web.Digest.String()
	const ess = "version: 1\nsource: {kind: ess, file: ess/images_digests.yml}\n"
	component := func(fields string) map[string]string {
		return map[string]string{"desired/ess.yaml": ess, "desired/ess/images_digests.yml": "images_digests:\n  web:\n    web:\n" + fields}
	}
	set := func(text string) map[string]string { return map[string]string{"desired/more.yaml": text} }
	for _, tt := range []struct {
		name        string
		files       map[string]string
		code, place string
	}{
		{"unknown key of a set", set("version: 1\nsource: {kind: list, images: [docker.io/library/web:1]}\nlayuot: path\n"), "DOC002", "desired/more.yaml:3:1"},
		{"unknown key of a source", set("version: 1\nsource: {kind: list, images: [docker.io/library/web:1], fille: x}\n"), "DOC002", "desired/more.yaml:2"},
		{"unknown key of the policy", map[string]string{"desired/policy.yaml": pinnedPolicy + "defualt: deny\n"}, "DOC002", "desired/policy.yaml:3:1"},
		{"unknown key of a stage file", map[string]string{"stages/web/production.yaml": "version: 1\nentires: {}\n"}, "DOC002", "stages/web/production.yaml:2:1"},
		{"duplicate key of a set", set("version: 1\nsource: {kind: list, images: [docker.io/library/web:1]}\nlayout: tag\nlayout: path\n"), "DOC003", "desired/more.yaml:4:1"},
		{"duplicate key of the policy", map[string]string{"desired/policy.yaml": pinnedPolicy + "rules: []\n"}, "DOC003", "desired/policy.yaml:3:1"},
		{"duplicate entry of a stage file", map[string]string{"stages/web/production.yaml": "version: 1\nentries:\n  docker.io/library/web:1: " + web.String() + "\n  docker.io/library/web:1: " + web.String() + "\n"}, "DOC003", "stages/web/production.yaml:4"},
		{"duplicate component of the vendor's file", component("      image_repository_server: docker.io\n      image_repository_path: library/web\n      image_tag: \"1\"\n    web: {}\n"), "DOC003", "desired/ess/images_digests.yml:7"},
		{"text where a list belongs", set("version: 1\nsource: {kind: list, images: docker.io/library/web:1}\n"), "DOC004", "desired/more.yaml:2"},
		{"list where a mapping belongs", set("version: 1\nsource: [list]\n"), "", "desired/more.yaml:2"},
		{"word where a boolean belongs", set("version: 1\nsource: {kind: list, images: [docker.io/library/web:1]}\nadopt: maybe\n"), "DOC004", "desired/more.yaml:3:8"},
		{"list where the document is a mapping", set("- version: 1\n"), "DOC004", "desired/more.yaml:1"},
		{"newer version", set("version: 2\nsource: {kind: list, images: [docker.io/library/web:1]}\n"), "DOC008", "desired/more.yaml:1"},
		{"unknown source kind", set("version: 1\nsource: {kind: hlem, chart: x}\n"), "SRC001", "desired/more.yaml:2:16"},
		{"malformed reference", map[string]string{"desired/web.txt": list(web) + "docker.io/Library/WEB:1\n"}, "SRC021", "desired/web.txt:2:1"},
		{"reference with a scheme", map[string]string{"desired/web.txt": list(web) + "https://docker.io/library/web:1\n"}, "SRC021", "desired/web.txt:2:1"},
		{"reference that climbs", map[string]string{"desired/web.txt": list(web) + "docker.io/../../etc/passwd:1\n"}, "SRC021", "desired/web.txt:2:1"},
		{"short digest", map[string]string{"desired/web.txt": list(web) + "docker.io/library/two:1@" + digest[:40] + "\n"}, "SRC021", "desired/web.txt:2:1"},
		{"digest of another algorithm", map[string]string{"desired/web.txt": list(web) + "docker.io/library/two:1@md5:" + digest[7:39] + "\n"}, "SRC021", "desired/web.txt:2:1"},
		{"malformed digest of the vendor's file", component("      image_repository_server: docker.io\n      image_repository_path: library/web\n      image_tag: \"1\"\n      image_digest: sha256:xyz\n"), "SRC012", "desired/ess/images_digests.yml:7"},
		{"malformed reference of the vendor's file", component("      image_repository_server: https://docker.io\n      image_repository_path: library/web\n      image_tag: \"1\"\n"), "SRC011", "desired/ess/images_digests.yml:4"},
		{"stage line without a digest", map[string]string{"stages/web/production.yaml": "version: 1\nentries:\n  docker.io/library/web:1: docker.io/library/web:1\n"}, "FLT010", "stages/web/production.yaml:3"},
		{"two digests for one reference of a list", map[string]string{"desired/web.txt": list(web, web.WithDigest(mirror.DigestOf([]byte("other"))))}, "SRC023", "desired/web.txt:2:1"},
		{"source file outside desired/", set("version: 1\nsource: {kind: list, file: ../stages/web/staging.yaml}\n"), "SRC005", "desired/more.yaml:2"},
		{"source file with an absolute path", set("version: 1\nsource: {kind: list, file: /etc/hostname}\n"), "SRC005", "desired/more.yaml:2"},
		{"syntax", set("version: 1\n\tsource: x\n"), "DOC001", "desired/more.yaml:2:1"},
		{"stage file of no set", map[string]string{"stages/wbe/production.yaml": "version: 1\nentries: {}\n"}, "FLT007", "stages/wbe/production.yaml"},
	} {
		t.Run(tt.name, func(t *testing.T) { s.refusesFleet(t, tt.files, tt.code, tt.place) })
	}
	two := s.push("docker.io/library/two:1", "two")
	s.commit("mended", map[string]string{"desired/web.txt": list(web, two)})
	if r := s.sync()["web"]; len(r.Moved) != 1 || s.tag("mirror/snapshot/docker.io/library/two", "1") != two.Digest {
		t.Errorf("after mending: %d tags moved, want the one of %s\n%s", len(r.Moved), two, details(r.Plan))
	}
}

// refusesFleet commits files, sees them refused with nothing changed by sync and by plan, and takes them back.
func (s *site) refusesFleet(t *testing.T, files map[string]string, code, place string) {
	t.Helper()
	s.during(t)
	back := map[string]string{}
	for name := range files {
		back[name] = s.file(name)
	}
	s.commit("a mistake", files)
	defer s.commit("taken back", back)
	before := s.outside()
	s.local.Proxy().Reset()
	s.upstream.Proxy().Reset()
	_, err := s.trySync()
	if code == "" {
		var problems mirror.Problems
		if !errors.As(err, &problems) || !strings.Contains(err.Error(), place) {
			t.Errorf("got %v, want problems at %s", err, place)
		}
	} else {
		expectProblem(t, err, code, place)
	}
	if _, planned := s.line.Plan(t.Context(), Wake{Resolve: true}); planned == nil || planned.Error() != err.Error() {
		t.Errorf("plan says %v, sync says %v", planned, err)
	}
	if !strings.Contains(err.Error(), "nothing was changed") {
		t.Errorf("the error does not say that nothing was changed: %v", err)
	}
	if len(err.Error()) > 20_000 {
		t.Errorf("an error of %d bytes", len(err.Error()))
	}
	discreet(t, "the error", err.Error())
	s.unchanged(before)
	if l, u := s.local.Proxy().Counts().Total(), s.upstream.Proxy().Counts().Total(); l+u != 0 {
		t.Errorf("%d local and %d upstream requests for a fleet that is refused", l, u)
	}
}

// Two digests for one local tag refuse the entries that want it, and only those, whatever set they are of;
// the reason names both lines, and a tag that stands does not move.
func TestCollision_RefusesBothAndMovesNothing(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, layout string
		across       bool
	}{
		{"within a set, by path", "path", false},
		{"within a set, by tag", "tag", false},
		{"across sets, by path", "path", true},
		{"across sets, by tag", "tag", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newSite(t, map[string]string{"desired/policy.yaml": pinnedPolicy})
			one, good := s.push("docker.io/library/one:1", "one"), s.push("docker.io/library/good:1", "good")
			other := s.push("docker.io/library/one:1", "other")
			set := "version: 1\nsource: {kind: ess, file: %.yml}\nlayout: " + tt.layout + "\n"
			release := func(images map[string]mirror.Reference) string {
				var b strings.Builder
				b.WriteString("images_digests:\n")
				for _, name := range sortedKeys(images) {
					r := images[name]
					b.WriteString("  " + name + ":\n    " + name + ":\n      image_repository_server: " + r.Host + "\n      image_repository_path: " + r.Repository +
						"\n      image_tag: \"" + r.Tag + "\"\n      image_digest: " + r.Digest.String() + "\n")
				}
				return b.String()
			}
			commit := func(name string, images map[string]mirror.Reference) {
				s.commit(name, map[string]string{"desired/" + name + ".yaml": strings.ReplaceAll(set, "%", "ess/"+name), "desired/ess/" + name + ".yml": release(images)})
			}
			commit("first", map[string]mirror.Reference{"one": one})
			s.sync()
			standing := testenv.TagsOf(s.local.Back())
			second, wantsOther := "first", map[string]mirror.Reference{"one": one, "other": other, "good": good}
			if tt.across {
				second, wantsOther = "second", map[string]mirror.Reference{"other": other, "good": good}
			}
			commit(second, wantsOther)
			reports, err := s.trySync()
			if err != nil {
				t.Fatal(err)
			}
			refused := reports[second].Plan
			if got := kinds(refused, mirror.Refuse)["snapshot/other/other"]; got != mirror.Collision {
				t.Errorf("the second digest: got %q, want %q\n%s", got, mirror.Collision, details(refused))
			}
			for _, place := range []string{"desired/ess/first.yml:", "desired/ess/" + second + ".yml:", mirror.Short(one.Digest), mirror.Short(other.Digest)} {
				if !strings.Contains(details(refused), place) {
					t.Errorf("the reason does not name %s:\n%s", place, details(refused))
				}
			}
			now := testenv.TagsOf(s.local.Back())
			for tag, digest := range now {
				if standing[tag] != "" && standing[tag] != digest {
					t.Errorf("%s moved from %s to %s", tag, standing[tag], digest)
				}
				if digest == other.Digest.String() {
					t.Errorf("%s names the digest that is refused", tag)
				}
			}
			if got := kinds(reports[second].Plan, mirror.Unchanged)["snapshot/good/good"]; got != mirror.AsDesired {
				t.Errorf("the entry beside: got %q, want %q\n%s", got, mirror.AsDesired, details(refused))
			}
			for tag := range standing {
				if now[tag] == "" {
					t.Errorf("%s is gone", tag)
				}
			}
			s.whole()
		})
	}
}
