package testenv

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/poundlock/poundlock/internal/mirror"
)

// Promote makes every line of the stage below stand in the stage file of set, by a commit as a person would
// make it, and gives that commit. The stage below must have something standing.
func (w *World) Promote(ctx context.Context, set, stage string) (commit string, err error) {
	below, ok := mirror.DefaultStages.Below(mirror.Stage(stage))
	if !ok {
		return "", fmt.Errorf("promote %s to %s: no stage is below it", set, stage)
	}
	from := "stages/" + set + "/" + string(below)
	if below == mirror.DefaultStages.First() {
		from = "rendered/" + WorldSite + "/" + set + "/" + string(below)
	}
	head, err := w.Git.Files("main")
	if err != nil {
		return "", fmt.Errorf("promote %s to %s: %w", set, stage, err)
	}
	lines, to := mirror.Files{}, "stages/"+set+"/"+stage
	for name, body := range head {
		lines[name] = []byte(body)
	}
	change := map[string]string{}
	for _, old := range lines.Document(to) {
		change[old] = "" // a document may have been one file and be shards now
	}
	parts := lines.Document(from)
	for _, part := range parts {
		change[to+strings.TrimPrefix(part, from)] = withoutComments(head[part])
	}
	if len(parts) == 0 {
		return "", fmt.Errorf("promote %s to %s: nothing stands at %s", set, stage, below)
	}
	return w.Git.Commit(ctx, "promote "+set+" to "+stage, change)
}

func withoutComments(document string) string {
	var b strings.Builder
	for line := range strings.Lines(document) {
		if !strings.HasPrefix(line, "#") {
			b.WriteString(line)
		}
	}
	return b.String()
}

// NewRelease pushes the next ESS release upstream and commits its images_digests.yml: some entries have
// new tags, one has new content under its old tag. There is one next release.
func (w *World) NewRelease(ctx context.Context) (commit string, err error) {
	if w.release > 1 {
		return "", errors.New("make a new release: there is no third one")
	}
	w.release++
	if err := w.pushRelease(ctx); err != nil {
		return "", fmt.Errorf("make a new release: %w", err)
	}
	return w.Git.Commit(ctx, "ESS: the vendor's next release", map[string]string{essFile: w.files[essFile]})
}

// MoveUpstream pushes new content to the tag of an upstream reference, such as
// docker.io/library/nginx:1.25, and gives its digest. The vendor signs it where the tag's content was
// signed before.
func (w *World) MoveUpstream(ctx context.Context, image string) (mirror.Digest, error) {
	ref, err := mirror.ParseReference(image)
	if err != nil {
		return mirror.Digest{}, fmt.Errorf("move upstream: %w", err)
	}
	old, err := TagDigest(w.Upstream.Back(), ref.Name(), ref.Tag)
	if err != nil {
		return mirror.Digest{}, fmt.Errorf("move upstream: %w", err)
	}
	w.mu.Lock()
	w.moves++
	seed := fmt.Sprintf("%s moved %d", ref, w.moves)
	w.mu.Unlock()
	d, err := Push(ctx, w.Upstream.Back(), ref.Name(), ref.Tag, content(ref, seed, false))
	if err != nil {
		return d, fmt.Errorf("move upstream: %w", err)
	}
	if w.signed(ref, old) {
		err = w.sign(ctx, ref, d)
	}
	return d, err
}

// signed says whether a signature of the vendor lies beside a digest.
func (w *World) signed(ref mirror.Reference, d mirror.Digest) bool {
	for _, suffix := range []string{".sig", ""} {
		if _, err := TagDigest(w.Upstream.Back(), ref.Name(), d.Algorithm+"-"+d.Hex+suffix); err == nil {
			return true
		}
	}
	return false
}

// sign signs in the one or the other form, decided by the name, so that both forms are everywhere.
func (w *World) sign(ctx context.Context, ref mirror.Reference, d mirror.Digest) error {
	at := w.Upstream.Back() + "/" + ref.Name()
	if len(ref.Repository)%2 == 0 {
		return w.Vendor.SignBundle(ctx, at, d)
	}
	return w.Vendor.SignLegacy(ctx, at, d, Claiming(ref.Name()))
}

// pushRelease pushes what the current release names and writes its images_digests.yml. The digests are known
// before the push, since content is a function of its seed.
func (w *World) pushRelease(ctx context.Context) error {
	digests := map[mirror.Reference]mirror.Digest{}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(pushAtOnce)
	for _, e := range essTree {
		if e.image == noBody {
			continue
		}
		ref, seed := e.at(w.release)
		if _, pushed := digests[ref]; pushed {
			continue
		}
		what := content(ref, seed, e.index)
		digests[ref] = mirror.DigestOf(must(what.RawManifest()))
		if w.release > 1 && e.next == "" && !e.rebuilt {
			continue // as it is in the first release
		}
		group.Go(func() error {
			d, err := Push(ctx, w.Upstream.Back(), ref.Name(), ref.Tag, what)
			if err == nil && e.signed {
				err = w.sign(ctx, ref, d)
			}
			return err
		})
	}
	w.files[essFile] = imagesDigests(w.release, digests)
	return group.Wait()
}
