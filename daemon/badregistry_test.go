package daemon

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/testenv"
)

// two makes a site that asks for an image "bad" and an image "good"; the faults of a test are for "bad".
func two(t *testing.T, policy string) (s *site, bad, good mirror.Reference) {
	t.Helper()
	s = newSite(t, map[string]string{"desired/policy.yaml": policy})
	bad, good = s.pushSigned("docker.io/library/bad:1", "bad"), s.pushSigned("docker.io/library/good:1", "good")
	images := list(bad, good)
	if policy == vendorPolicy { // by tag, so that it is resolved upstream
		images = "docker.io/library/bad:1\ndocker.io/library/good:1\n"
	}
	s.commit("two", map[string]string{"desired/web.yaml": webSet, "desired/web.txt": images})
	return s, bad, good
}

// ofBad matches requests about the image "bad"; of some kinds where kinds are given.
func ofBad(kinds ...testenv.RequestKind) func(*http.Request) bool {
	return func(r *http.Request) bool {
		return strings.Contains(r.URL.Path, "/library/bad/") && (len(kinds) == 0 || testenv.OfKind(kinds...)(r))
	}
}

// badReason gives the kind of action, the code and the text that a plan has for the image "bad", with what mends it.
func badReason(p mirror.Plan) (mirror.Kind, mirror.ReasonCode, string) {
	for _, a := range p.Actions {
		if strings.HasPrefix(a.Key.Entry, "docker.io/library/bad:1") {
			return a.Kind, a.Reason.Code, a.Reason.Detail + " " + a.Reason.Fix
		}
	}
	return "", "", ""
}

// onlyGood fails the test unless "bad" is as said and absent, while "good" stands and is recorded.
func (s *site) onlyGood(good mirror.Reference, r Report, kind mirror.Kind, code mirror.ReasonCode, says ...string) {
	s.t.Helper()
	gotKind, gotCode, detail := badReason(r.Plan)
	if gotKind != kind || gotCode != code {
		s.t.Errorf("bad: got %s %s, want %s %s: %s", gotKind, gotCode, kind, code, detail)
	}
	for _, text := range append(says, "docker.io/library/bad") {
		if !strings.Contains(detail, text) {
			s.t.Errorf("the reason does not say %q: %s", text, detail)
		}
	}
	discreet(s.t, "the plan", details(r.Plan))
	for tag := range testenv.TagsOf(s.local.Back()) {
		if strings.Contains(tag, "/bad:") {
			s.t.Errorf("%s is tagged", tag)
		}
	}
	if got := s.tag("mirror/snapshot/docker.io/library/good", "1"); got != good.Digest {
		s.t.Errorf("good names %s, want %s\n%s", got, good.Digest, details(r.Plan))
	}
	record := s.file("rendered/demo/web/snapshot.yaml")
	if !strings.Contains(record, good.Digest.String()) || strings.Contains(record, "library/bad") {
		s.t.Errorf("the record is to hold good alone:\n%s", record)
	}
	s.whole()
}

// heals fails the test unless "bad" arrives once nothing is broken any more.
func (s *site) heals(bad mirror.Reference) {
	s.t.Helper()
	s.upstream.Proxy().Break(nil)
	s.local.Proxy().Break(nil)
	r := s.sync()["web"]
	if got := s.tag("mirror/snapshot/docker.io/library/bad", "1"); got != bad.Digest {
		s.t.Errorf("after the fault: bad names %s, want %s\n%s", got, bad.Digest, details(r.Plan))
	}
	s.whole()
}

// Whatever an upstream answers for one image, that image waits with the answer as its reason and the others
// arrive; when the upstream is well again, so does it.
func TestBadUpstream_AnswerStopsItsImageAlone(t *testing.T) {
	t.Parallel()
	const long = 2 * time.Hour // no more than a minute is waited within a cycle
	for _, tt := range []struct {
		status int
		after  time.Duration
		kind   mirror.Kind
		code   mirror.ReasonCode
	}{
		{http.StatusUnauthorized, 0, mirror.Failed, mirror.UpstreamFailed},
		{http.StatusForbidden, 0, mirror.Failed, mirror.UpstreamFailed},
		{http.StatusNotFound, 0, mirror.Missing, mirror.UpstreamMissing},
		{http.StatusTooManyRequests, long, mirror.Failed, mirror.UpstreamFailed},
		{http.StatusInternalServerError, 0, mirror.Failed, mirror.UpstreamFailed},
		{http.StatusServiceUnavailable, long, mirror.Failed, mirror.UpstreamFailed},
	} {
		for name, policy := range map[string]string{"pinned": pinnedPolicy, "by tag": vendorPolicy} {
			t.Run(fmt.Sprint(tt.status, " ", name), func(t *testing.T) {
				s, bad, good := two(t, policy)
				s.upstream.Proxy().Break(testenv.Always(ofBad(), testenv.Fault{Status: tt.status, RetryAfter: tt.after}))
				r := s.sync()["web"]
				var says []string
				if tt.kind == mirror.Failed {
					says = append(says, fmt.Sprint(tt.status))
				}
				s.onlyGood(good, r, tt.kind, tt.code, says...)
				s.heals(bad)
			})
		}
	}
}

// A host that asks for patience gets it, within the cycle.
func TestBadUpstream_RetryAfterIsHonoured(t *testing.T) {
	t.Parallel()
	s, bad, _ := two(t, vendorPolicy)
	s.upstream.Proxy().Break(testenv.Once(1, ofBad(testenv.ManifestHead), testenv.Fault{Status: http.StatusTooManyRequests, RetryAfter: time.Second}))
	began := time.Now()
	r := s.sync()["web"]
	if got := s.tag("mirror/snapshot/docker.io/library/bad", "1"); got != bad.Digest {
		t.Errorf("bad names %s, want %s\n%s", got, bad.Digest, details(r.Plan))
	}
	if took := time.Since(began); took < time.Second {
		t.Errorf("the sync took %v, want at least the second that the host asked for", took)
	}
}

// What stands stays when its upstream says that there is no such thing, or cannot be asked.
func TestBadUpstream_NeverTakesAwayWhatStands(t *testing.T) {
	t.Parallel()
	for _, status := range []int{http.StatusUnauthorized, http.StatusNotFound, http.StatusBadGateway} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			s, _, _ := two(t, vendorPolicy)
			s.sync()
			before := s.outside()
			s.upstream.Proxy().Break(testenv.Always(ofBad(), testenv.Fault{Status: status}))
			if _, err := s.trySync(); err != nil {
				t.Errorf("sync: %v", err)
			}
			s.unchanged(before)
		})
	}
}

// Bytes that are not what their digest says never get a tag: a line that breaks once is repaired at once, one
// that always breaks fails the image and nothing else.
func TestBadContent_IsNeverTagged(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name     string
		requests []testenv.RequestKind
		fault    testenv.Fault
		code     mirror.ReasonCode
	}{
		{"flipped bit of a blob", []testenv.RequestKind{testenv.BlobGet}, testenv.Fault{Corrupt: true, After: 700}, mirror.BadContent},
		{"truncated blob", []testenv.RequestKind{testenv.BlobGet}, testenv.Fault{Truncate: true, After: 100}, mirror.UpstreamFailed},
		{"flipped bit of the manifest", []testenv.RequestKind{testenv.ManifestGet}, testenv.Fault{Corrupt: true, After: 20}, mirror.BadContent},
		{"truncated manifest", []testenv.RequestKind{testenv.ManifestGet}, testenv.Fault{Truncate: true, After: 20}, mirror.UpstreamFailed},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, bad, good := two(t, pinnedPolicy)
			s.upstream.Proxy().Break(testenv.Always(ofBad(tt.requests...), tt.fault))
			r := s.sync()["web"]
			s.onlyGood(good, r, mirror.Failed, tt.code)
			s.heals(bad)
		})
	}
	t.Run("once", func(t *testing.T) {
		s, bad, _ := two(t, pinnedPolicy)
		s.upstream.Proxy().Break(testenv.Once(1, ofBad(testenv.BlobGet), testenv.Fault{Truncate: true, After: 700}))
		s.sync()
		if got := s.tag("mirror/snapshot/docker.io/library/bad", "1"); got != bad.Digest {
			t.Errorf("bad names %s, want %s", got, bad.Digest)
		}
		s.whole()
	})
}

// A local registry that is full, or refuses, holds back the image that does not fit; it arrives when there is
// room again. What is read there and cannot be is no absence.
func TestFullTarget_HoldsBackWhatDoesNotFit(t *testing.T) {
	t.Parallel()
	uploads := []testenv.RequestKind{testenv.UploadPut, testenv.UploadPatch}
	for _, tt := range []struct {
		name     string
		requests []testenv.RequestKind
		fault    testenv.Fault
		says     string
	}{
		{"507 when an upload begins", []testenv.RequestKind{testenv.UploadPost, testenv.BlobMount}, testenv.Fault{Status: http.StatusInsufficientStorage}, "507"},
		{"507 in an upload", uploads, testenv.Fault{Status: http.StatusInsufficientStorage}, "507"},
		{"500 in an upload", uploads, testenv.Fault{Status: http.StatusInternalServerError}, "500"},
		{"413 in an upload", uploads, testenv.Fault{Status: http.StatusRequestEntityTooLarge}, "413"},
		{"the disk fills up in an upload", uploads, testenv.Fault{Truncate: true, After: 100}, ""},
		{"a bit flips on the way", uploads, testenv.Fault{Corrupt: true, After: 100}, ""},
		{"507 for the manifest", []testenv.RequestKind{testenv.ManifestPut}, testenv.Fault{Status: http.StatusInsufficientStorage}, "507"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, bad, good := two(t, pinnedPolicy)
			s.local.Proxy().Break(testenv.Always(ofBad(tt.requests...), tt.fault))
			r := s.sync()["web"]
			s.onlyGood(good, r, mirror.Failed, mirror.LocalFailed, tt.says, localName)
			s.heals(bad)
		})
	}
}

// A local registry that cannot be asked what it names stops the set before anything is written: unknown is
// not absent. Sets that can be done are done.
func TestBadTarget_UnknownIsNotAbsent(t *testing.T) {
	t.Parallel()
	s, bad, good := two(t, pinnedPolicy)
	s.commit("apart", map[string]string{"desired/web.txt": list(good),
		"desired/apart.yaml": "version: 1\nsource: {kind: list, images: [\"" + bad.String() + "\"]}\nlayout: path\n"})
	s.local.Proxy().Break(testenv.Always(ofBad(testenv.ManifestHead), testenv.Fault{Status: http.StatusInternalServerError}))
	reports, err := s.trySync()
	if err == nil || !strings.Contains(err.Error(), "set apart: ask local registry: ") || !strings.Contains(err.Error(), "500") {
		t.Errorf("got %v, want the set, the step and the answer", err)
	}
	if got := s.tag("mirror/snapshot/docker.io/library/good", "1"); got != good.Digest {
		t.Errorf("the other set was not done: good names %s\n%s", got, details(reports["web"].Plan))
	}
	if got := s.tag("mirror/snapshot/docker.io/library/bad", "1"); got != (mirror.Digest{}) {
		t.Errorf("bad names %s", got)
	}
	s.heals(bad)
}
