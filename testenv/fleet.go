package testenv

import (
	"context"
	"fmt"
	"strings"

	"github.com/google/go-containerregistry/pkg/v1/remote"
	"golang.org/x/sync/errgroup"

	"github.com/poundlock/poundlock/internal/mirror"
)

// essFile is the vendor's file in the fleet repository of a World.
const essFile = "desired/ess/images_digests.yml"

const essSet = `version: 1
source: {kind: ess, file: ess/images_digests.yml, follow: once}
layout: path
render:
  element: {name: ess-images, namespace: ess}
  containerd: {}
`

const toolsSet = `version: 1
source: {kind: list, file: tools/images.txt}
layout: tag
`

// workersConsumer is a group of nodes that run the ESS release as it is at staging, under containerd, k3s or CRI-O.
const workersConsumer = `version: 1
runs:
  - {set: ess, stage: staging}
render:
  containerd: {}
  k3s: {}
  registries-conf: {}
`

// worldPolicy asks for a signature where the vendor makes one, and for a reviewed digest everywhere else.
const worldPolicy = `version: 1
signers:
  vendor: {key: keys/vendor.pub}
rules:
  # No signatures to be had: a digest in desired/, reviewed by a person, has to do.
  - {match: "gitlab-registry.matrix.org/**", require: {pinned: true}}
  - {match: "docker.io/{library,coturn,livekit,halfshot,awesometechnologies}/**", require: {pinned: true}}
  - {match: "ghcr.io/vector-im/**", require: {pinned: true}}
  - {match: "quay.io/{brancz,prometheuscommunity}/**", require: {pinned: true}}
  # Signed, so a tag is enough.
  - {match: "docker.io/{vectorim,matrixdotorg}/**", require: {signers: [vendor], count: 1}}
  - {match: "ghcr.io/matrix-org/**", require: {signers: [vendor], count: 1}}
  - {match: "{ghcr.io,quay.io}/example-tools/**", require: {signers: [vendor], count: 1}}
default: deny
`

// tool is one line of the list of tools, and what is true of it.
type tool struct {
	image  string
	make   func(ctx context.Context, w *World, at string, d mirror.Digest) error // signs it; nil: it is not there
	pinned bool
	bad    bool
}

// tools are a few good ones and a bad one of each kind.
var tools = []tool{
	{image: "ghcr.io/example-tools/backup:2.4.1", make: legacy},
	{image: "ghcr.io/example-tools/report:1.10", make: legacy, pinned: true},
	{image: "quay.io/example-tools/exporter:v0.9.0", make: bundle},
	{image: "quay.io/example-tools/probe:3.2", make: bundle, pinned: true},
	{image: "ghcr.io/example-tools/unsigned:1.0.0", make: unsigned, bad: true},
	{image: "ghcr.io/example-tools/wrong-key:1.0.0", make: wrongKey, bad: true},
	{image: "quay.io/example-tools/tampered:1.0.0", make: tampered, bad: true},
	{image: "quay.io/example-tools/missing:1.0.0", bad: true},
}

func (t tool) content() (mirror.Reference, remote.Taggable) {
	ref := must(mirror.ParseReference(t.image))
	return ref, content(ref, t.image, false)
}

// claimed gives the name under which people know the image that lies at at, behind the upstream's host.
func claimed(at string) Twist {
	_, name, _ := strings.Cut(at, "/")
	return Claiming(name)
}

func legacy(ctx context.Context, w *World, at string, d mirror.Digest) error {
	return w.Vendor.SignLegacy(ctx, at, d, claimed(at))
}

func bundle(ctx context.Context, w *World, at string, d mirror.Digest) error {
	return w.Vendor.SignBundle(ctx, at, d)
}

func unsigned(context.Context, *World, string, mirror.Digest) error { return nil }

func wrongKey(ctx context.Context, _ *World, at string, d mirror.Digest) error {
	stranger, err := NewSigner("p256")
	if err != nil {
		return err
	}
	return stranger.SignLegacy(ctx, at, d, claimed(at))
}

func tampered(ctx context.Context, w *World, at string, d mirror.Digest) error {
	return w.Vendor.SignLegacy(ctx, at, d, claimed(at), Tampered())
}

// Bad lists the entries of the set tools that must be refused or missing, by name and in order; all other
// entries of all sets are good.
func (w *World) Bad() []string {
	var names []string
	for _, t := range tools {
		if t.bad {
			names = append(names, t.image)
		}
	}
	return names
}

func (w *World) pushTools(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(pushAtOnce)
	for _, t := range tools {
		if t.make == nil {
			continue
		}
		group.Go(func() error {
			ref, what := t.content()
			d, err := Push(ctx, w.Upstream.Back(), ref.Name(), ref.Tag, what)
			if err != nil {
				return err
			}
			return t.make(ctx, w, w.Upstream.Back()+"/"+ref.Name(), d)
		})
	}
	return group.Wait()
}

// toolsList writes desired/tools/images.txt.
func toolsList() string {
	var b strings.Builder
	b.WriteString("# Tools of our own, one reference a line.\n")
	for _, t := range tools {
		line := t.image
		if t.pinned {
			_, what := t.content()
			line += "@" + mirror.DigestOf(must(what.RawManifest())).String()
		}
		fmt.Fprintln(&b, line)
	}
	return b.String()
}

// pushAtOnce bounds how many images are pushed side by side.
const pushAtOnce = 8
