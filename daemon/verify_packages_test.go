package daemon

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/testenv"
)

// The upstream of a package is no registry: what verify is asked about is found by what stands and what is named, however it
// was typed.
func TestVerify_FindsPackages(t *testing.T) {
	t.Parallel()
	s := newPackageSite(t, testenv.EPRPackage{Name: "nginx", Version: "1.20.0"}, testenv.EPRPackage{Name: "redis", Version: "2.0.0", Unsigned: true})
	before := s.looking(false)
	if _, v, err := before.Verify(t.Context(), reference(t, "epr.elastic.co/nginx:1.20.0"), ""); err == nil && v.Outcome != mirror.OutcomeUnknown {
		t.Errorf("before anything was asked: %v, %v", v.Outcome, err)
	}
	s.sync()
	s.close() // beside a process that holds the state only what is in Git is known
	l := s.looking(false)
	set, _ := must(l.refresh(t.Context()))(t).desired.Set("elastic")
	stands := must(must(l.glance(t.Context()))(t).stands(set))(t).At("snapshot")["nginx-1.20.0"].Image
	for _, tt := range []struct {
		query string
		want  mirror.Outcome
	}{
		{"epr.elastic.co/nginx:1.20.0", mirror.OutcomeSigned},
		{stands.String(), mirror.OutcomeSigned},
		{stands.WithTag("").String(), mirror.OutcomeSigned},
		{"nginx-1.20.0", mirror.OutcomeSigned},
		{"elastic/nginx-1.20.0", mirror.OutcomeSigned},
		{"epr.elastic.co/redis:2.0.0", mirror.OutcomeRejected},
		{"redis-2.0.0", mirror.OutcomeRejected},
	} {
		ask := l.VerifyPackage
		if strings.Contains(tt.query, ":") {
			ask = func(_ context.Context, query string, stage mirror.Stage) (mirror.Reference, mirror.Verdict, error) {
				return l.Verify(t.Context(), reference(t, query), stage)
			}
		}
		image, v, err := ask(t.Context(), tt.query, "")
		if v.Outcome != tt.want || !image.HasDigest() {
			t.Errorf("%s: %s is %v, %s: %v", tt.query, image, v.Outcome, v.Reason, err)
		}
	}
	var p mirror.Problem
	if _, _, err := l.Verify(t.Context(), reference(t, "epr.elastic.co/nginx:9.9.9"), ""); !errors.As(err, &p) || p.Code != "TRC001" || !strings.Contains(p.Fix, "get packages") {
		t.Errorf("a version that nobody has: %v", err)
	}
	// What is gone from the local registry proves nothing against it.
	at := l.local.Repository(set, "snapshot", stands).AtDigest(stands.Digest)
	if err := l.registry.Delete(t.Context(), at); err != nil {
		t.Fatal(err)
	}
	if _, v, err := s.looking(false).VerifyPackage(t.Context(), "nginx-1.20.0", ""); err != nil || v.Outcome != mirror.OutcomeUnknown || !strings.Contains(v.Reason.Detail, "could not be asked") {
		t.Errorf("without its bytes: %v %s, %v", v.Outcome, v.Reason, err)
	}
}
