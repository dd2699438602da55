package daemon

import (
	"fmt"
	"net/http"
	"path"
	"testing"
	"time"

	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/testenv"
)

// A hotfix of three images that is merged while a large image crawls is live before that one has come: in another set
// and in the set of the large one itself.
func TestHotfix_DoesNotWaitBehindALargeCopy(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("it moves 130 MiB")
	}
	const layers = 4
	s := newSite(t, map[string]string{"desired/policy.yaml": vendorPolicy,
		"desired/apps.yaml": "version: 1\nsource: {kind: list, file: apps.txt}\nlayout: path\n",
		"desired/ess.yaml":  "version: 1\nsource: {kind: ess, file: ess/images_digests.yml}\nlayout: path\nrender: {element: {name: ess-images, namespace: ess}}\n"})
	s.git.Now = time.Now
	var large []testenv.Layer
	for i := range layers {
		large = append(large, testenv.Layer{Seed: fmt.Sprint("large", i), Size: 33 << 20}) // as large as the mover calls large
	}
	big := s.pushSigned("docker.io/big/image:1", "big", large...)
	crawls := map[string]bool{}
	for _, layer := range must(testenv.Image("big", large...).Layers())(t) {
		crawls[must(layer.Digest())(t).String()] = true
	}
	images := func(set string, version int) (refs []mirror.Reference) {
		for i := range 3 {
			refs = append(refs, s.pushSigned(fmt.Sprintf("ghcr.io/%s/app%02d:stable", set, i), fmt.Sprint(set, version, i)))
		}
		return refs
	}
	apps, ess := images("apps", 1), images("ess", 1)
	s.commit("what there is", map[string]string{"desired/apps.txt": list(apps...), "desired/ess/images_digests.yml": manyDigests(ess)})
	r := s.serve()

	// The upstream gives nothing of the large layers until it is let.
	let := make(chan struct{})
	free := func() {
		select {
		case <-let:
		default:
			close(let)
		}
	}
	t.Cleanup(free)
	s.upstream.Proxy().Break(testenv.Always(func(q *http.Request) bool {
		return testenv.KindOf(q) == testenv.BlobGet && crawls[path.Base(q.URL.Path)]
	}, testenv.Fault{Until: let}))
	s.commit("the large one", map[string]string{"desired/apps.txt": list(append(apps, big)...)})
	until(t, "the large copy is under way", func() bool { return s.upstream.Proxy().Counts().Of(testenv.BlobGet) > 0 && !r.line.mover.Idle("apps") })

	// The hotfix comes to production by one merge.
	apps, ess = images("apps", 2), images("ess", 2)
	lines := stageOf(apps...)
	release := "version: 1\nentries:\n"
	for i, ref := range ess {
		release += fmt.Sprintf("  app%02d/app%02d: %s\n", i, i, ref)
	}
	began := time.Now()
	s.commit("hotfix", map[string]string{"desired/apps.txt": list(append(apps, big)...), "desired/ess/images_digests.yml": manyDigests(ess),
		"stages/apps/staging.yaml": lines, "stages/apps/production.yaml": lines, "stages/ess/staging.yaml": release, "stages/ess/production.yaml": release})
	until(t, "the hotfix is live", func() bool {
		files := s.main()
		for _, refs := range [][]mirror.Reference{apps, ess} {
			for _, ref := range refs {
				if s.tag("mirror/production/"+ref.Name(), ref.Tag) != ref.Digest {
					return false
				}
			}
		}
		return files["rendered/demo/ess/production/images-digests.yaml"] != "" && files["rendered/demo/record/apps/production.yaml"] != ""
	})
	t.Logf("live %s after the merge", time.Since(began).Round(time.Millisecond))
	if got := s.tag("mirror/snapshot/docker.io/big/image", "1"); got != (mirror.Digest{}) || r.line.mover.Idle("apps") {
		t.Errorf("the large copy had ended (%s): this says nothing", got)
	}
}
