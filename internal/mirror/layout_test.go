package mirror

import (
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// anyHost draws upstream hosts, alike on purpose: names that differ in a port, a dash or a dot alone.
var anyHost = rapid.Custom(func(t *rapid.T) string {
	text := rapid.StringMatching(`([a-b]{1,2}[._-])?[a-bA]{1,2}(\.[a-b]{1,2}|_[0-9]|:[1-9][0-9]?|\.io:5000|\.io)|docker\.io|index\.docker\.io|localhost(:[1-9]0)?`).
		Filter(func(text string) bool { _, err := ParseReference(text + "/x/y"); return err == nil }).Draw(t, "host")
	r, _ := ParseReference(text + "/x/y")
	return r.Host
})

var anyRepository = rapid.StringMatching(`(a|b|a\.b|a_b|a/b|b/a){1}(/(a|b))?`)

// upstreamsOf is the way back: what a repository of the local registry may stand for, given the hosts that there are.
func upstreamsOf(l Local, s Set, stage Stage, hosts []string, repository string) (all []string) {
	for _, host := range hosts {
		place := l.HostPath(s, stage, host) + "/"
		if rest, ok := strings.CutPrefix(repository, strings.TrimPrefix(place, "/")); ok { // everything may lie at the top
			all = append(all, host+"/"+rest)
		}
	}
	return all
}

// Without a table no two upstream repositories share a local one, and the local one says which it is. A table decides for
// the hosts that it names, two of which may share a place on purpose; all others stay apart from each other.
func TestRepository_IsOneToOneUnlessTheTableSaysOtherwise(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := Set{Name: "ess", Stages: DefaultStages, Layout: rapid.SampledFrom([]LayoutKind{LayoutTag, LayoutPath}).Draw(t, "layout"),
			Paths: rapid.MapOfN(anyHost, rapid.SampledFrom([]string{"", "a", "a/b", "a.io", "docker.io", "a.io_5000", "gh"}), 0, 3).Draw(t, "paths")}
		l := Local{Host: "r.example", Prefix: rapid.SampledFrom([]string{"", "mirror", "a/b"}).Draw(t, "prefix")}
		stage := rapid.SampledFrom(s.Stages).Draw(t, "stage")
		upstream := func(name string) Reference {
			return Reference{Host: anyHost.Draw(t, name+" host"), Repository: anyRepository.Draw(t, name+" repository")}
		}
		one, two := upstream("one"), upstream("two")
		_, named := s.Paths[one.Host]
		_, also := s.Paths[two.Host]
		here, there := l.Repository(s, stage, one), l.Repository(s, stage, two)
		if here == there && one != two && !named && !also {
			t.Fatalf("%s and %s both lie at %s", one, two, here)
		}
		back := upstreamsOf(l, s, stage, []string{one.Host}, here.Repository)
		if len(back) != 1 || back[0] != one.Host+"/"+one.Repository {
			t.Fatalf("%s lies at %s, which stands for %v", one, here, back)
		}
		if also || two.Host == one.Host {
			return
		}
		if wrong := upstreamsOf(l, s, stage, []string{two.Host}, here.Repository); !named && len(wrong) > 0 {
			t.Fatalf("%s lies at %s, which also stands for %v", one, here, wrong)
		}
		// Nobody has to know the hosts: the path of one is its name, with an underscore for the colon of a port.
		place := l.HostPath(s, stage, two.Host)
		if host := strings.ReplaceAll(place[strings.LastIndex(place, "/")+1:], "_", ":"); host != two.Host {
			t.Fatalf("%s lies at %s, which reads as %s", two.Host, place, host)
		}
	})
}
