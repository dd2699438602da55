package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/types"
	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"github.com/poundlock/poundlock/daemon/config"
	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/internal/registry"
)

// heldWithin is how long doctor tries the lock of the state directory, in which nobody else can take it.
const heldWithin = 50 * time.Millisecond

// imagesAsked bounds how many images of an upstream are asked for until one is there.
const imagesAsked = 5

// checkSources asks every upstream that a set uses for one of the images, and every package registry whether it answers.
func (d *doctor) checkSources(ctx context.Context, desired mirror.Desired) []Check {
	wanted := map[string][]mirror.Reference{}
	packages := map[string]string{} // addresses of package registries, by the host as references call it
	for _, set := range desired.Sets {
		if set.Packages {
			if host, _, _ := strings.Cut(set.PackagesAs, "/"); set.PackagesFrom != "" {
				packages[host] = set.PackagesFrom
			}
			continue // its entries lie in no registry of images
		}
		if set.Packages {
			continue // a package registry knows no images: asked for one, it has none, or anything
		}
		for _, e := range set.Entries {
			if e.Image.Host != d.config.Registries[config.LocalRegistry].Host && !makes(set, e.Image) && len(wanted[e.Image.Host]) < imagesAsked {
				wanted[e.Image.Host] = append(wanted[e.Image.Host], e.Image)
			}
		}
	}
	if len(wanted)+len(packages) == 0 {
		return []Check{none("source", "", "no set names an upstream image")}
	}
	hosts, registries := sortedKeys(wanted), sortedKeys(packages)
	checks := make([]Check, len(hosts)+len(registries))
	var wg sync.WaitGroup
	for i, host := range registries {
		wg.Go(func() { checks[len(hosts)+i] = d.checkPackageRegistry(ctx, host, packages[host]) })
	}
	for i, host := range hosts {
		wg.Go(func() { checks[i] = d.checkSource(ctx, host, wanted[host]) })
	}
	wg.Wait()
	return checks
}

func (d *doctor) checkSource(ctx context.Context, host string, images []mirror.Reference) Check {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	who, name := func() string { return asNobody }, host
	for _, key := range sortedKeys(d.config.Registries) {
		if r := d.config.Registries[key]; r.Host == host {
			who = func() string { return d.who(r) }
			if r.Endpoint != "" {
				name = host + " (through " + strings.TrimPrefix(strings.TrimPrefix(r.Endpoint, "https://"), "http://") + ")"
			}
		}
	}
	var err error
	for _, image := range images {
		if image.HasDigest() {
			image = image.AtDigest(image.Digest)
		}
		var rate registry.Rate
		if rate, err = d.registry.Probe(ctx, image); err == nil {
			text := fmt.Sprintf("%s as %s, pull", name, who())
			if rate.Known {
				text = fmt.Sprintf("%s, %d of %d pulls left per %s", text, rate.Remaining, rate.Limit, windowWords(rate.Window))
			}
			return ok("source", host, "%s", text)
		}
		if !errors.Is(err, mirror.ErrNotFound) {
			return d.failed("source", host, err)
		}
	}
	missing := Advise(d.config, err)[0]
	missing.Why = "it answers, and has none of the images that were asked for"
	return d.warned("source", host, missing)
}

// checkTarget writes a tiny manifest into the local registry, reads it back and takes it away again.
func (d *doctor) checkTarget(ctx context.Context) []Check {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	local := d.config.Registries[config.LocalRegistry]
	if local.Embedded != (config.Embedded{}) && !listens(ctx, "tcp", local.Embedded.Listen) {
		return []Check{none("target", local.Host, "embedded: served by `poundlock run`, which does not run")}
	}
	repository := mirror.Reference{Host: local.Host, Repository: strings.Trim(local.Prefix+"/poundlock-doctor", "/")}
	tag := fmt.Sprintf("doctor-%d", d.now().UnixNano())
	empty := []byte("{}")
	image := tinyManifest(empty, tag, nil)
	if err := d.pushBlob(ctx, repository, empty); err != nil {
		return []Check{d.failed("target", local.Host, err)}
	}
	if _, err := d.registry.Put(ctx, repository.WithTag(tag), image); err != nil {
		return []Check{d.failed("target", local.Host, err)}
	}
	can, checks := []string{"push"}, []Check{}
	if got, err := d.registry.Resolve(ctx, repository.WithTag(tag)); err == nil && got.Digest == image.Descriptor.Digest {
		can = append(can, "pull")
	} else {
		if err == nil {
			err = fmt.Errorf("%s names %s after %s was pushed: %w", repository.WithTag(tag), got.Digest, image.Descriptor.Digest, mirror.ErrDigestMismatch)
		}
		checks = append(checks, d.failed("target", local.Host, err))
	}
	attached := tinyManifest(empty, tag+"-referrer", &image.Descriptor)
	way, err := d.attach(ctx, repository, image, attached)
	if err != nil {
		checks = append(checks, d.failed("target", local.Host, err))
	} else {
		can = append(can, way)
	}
	deletes, left := d.clean(ctx, repository, tag, attached, image)
	can = append(can, deletes...)
	checks = slices.Insert(checks, 0, ok("target", local.Host, "%s as %s: %s", local.Host, d.who(local), strings.Join(can, ", ")))
	if left != nil {
		p := Advise(d.config, left)[0]
		p.What = fmt.Sprintf("cannot delete: %s", p.What)
		p.Why = fmt.Sprintf("mirroring works without; %s:%s of a few bytes stays behind, and nothing can be pruned there", repository.Name(), tag)
		checks = append(checks, d.warned("target", local.Host, p))
	}
	return checks
}

func (d *doctor) pushBlob(ctx context.Context, to mirror.Reference, blob []byte) error {
	digest := mirror.DigestOf(blob)
	session, err := d.registry.Begin(ctx, to)
	if err != nil {
		return err
	}
	return d.registry.Upload(ctx, session, mirror.Descriptor{Digest: digest, Size: int64(len(blob))}, 0, strings.NewReader(string(blob)))
}

// attach pushes a manifest that refers to another and says how the registry tells of it: by the referrers API,
// or not at all, so that the fallback tag is used.
func (d *doctor) attach(ctx context.Context, repository mirror.Reference, image, attached mirror.Manifest) (string, error) {
	accepted, err := d.registry.Put(ctx, repository.AtDigest(attached.Descriptor.Digest), attached)
	if err != nil {
		return "", err
	}
	list, err := d.registry.Referrers(ctx, repository, image.Descriptor.Digest)
	if err != nil {
		return "", err
	}
	if accepted && slices.ContainsFunc(list, func(m mirror.Descriptor) bool { return m.Digest == attached.Descriptor.Digest }) {
		return "referrers", nil
	}
	return "referrers by fallback tag", nil
}

// clean takes away what was pushed, as far as the registry deletes; left is why something stays.
func (d *doctor) clean(ctx context.Context, repository mirror.Reference, tag string, attached, image mirror.Manifest) (can []string, left error) {
	if err := d.registry.Delete(ctx, repository.AtDigest(attached.Descriptor.Digest)); err != nil {
		left = err
	}
	tagErr := d.registry.Delete(ctx, repository.WithTag(tag))
	if tagErr == nil {
		can = append(can, "delete-tag")
	}
	// Deleting the manifest takes its tags along, where tags alone are not deleted.
	switch err := d.registry.Delete(ctx, repository.AtDigest(image.Descriptor.Digest)); {
	case err == nil:
		can = append(can, "delete")
	case tagErr != nil || !errors.Is(err, mirror.ErrNotFound) && statusOf(err) != http.StatusMethodNotAllowed:
		left = err
	}
	if errors.Is(left, mirror.ErrNotFound) && len(can) > 0 {
		left = nil
	}
	return can, left
}

func statusOf(err error) int {
	var e *registry.Error
	if errors.As(err, &e) {
		return e.Status
	}
	return 0
}

// tinyManifest is an image of one blob, told apart from all others by an annotation.
func tinyManifest(blob []byte, name string, subject *mirror.Descriptor) mirror.Manifest {
	type descriptor struct {
		MediaType string `json:"mediaType"`
		Digest    string `json:"digest"`
		Size      int64  `json:"size"`
	}
	empty := descriptor{"application/vnd.oci.empty.v1+json", mirror.DigestOf(blob).String(), int64(len(blob))}
	m := map[string]any{
		"schemaVersion": 2, "mediaType": string(types.OCIManifestSchema1), "artifactType": "application/vnd.poundlock.doctor",
		"config": empty, "layers": []descriptor{empty}, "annotations": map[string]string{"dev.poundlock.doctor": name},
	}
	if subject != nil {
		m["subject"] = descriptor{string(types.OCIManifestSchema1), subject.Digest.String(), subject.Size}
	}
	body, err := json.Marshal(m)
	if err != nil {
		panic("doctor: " + err.Error()) // no value of ours can fail
	}
	return mirror.NewManifest(string(types.OCIManifestSchema1), body)
}

// checkDaemon looks whether a daemon answers on its socket, and who holds the state directory.
func (d *doctor) checkDaemon(ctx context.Context) []Check {
	socket := d.config.SocketPath()
	holder := lockedBy(d.config.StateDir).Holder
	switch runs := listens(ctx, "unix", socket); {
	case runs && holder != (Holder{}):
		return []Check{ok("daemon", "", "runs (%s), socket %s", holder, socket)}
	case runs:
		return []Check{ok("daemon", "", "runs, socket %s", socket)}
	case isHeld(d.config.StateDir):
		if holder == (Holder{}) {
			return []Check{ok("daemon", "", "no socket, but another poundlock holds the state directory")}
		}
		return []Check{ok("daemon", "", "no socket, but %s holds the state directory", holder)}
	}
	return append([]Check{none("daemon", "", "does not run; start it with `poundlock run`")}, d.checkListen()...)
}

// checkListen tries whether a daemon could listen where it is to answer about its health, and for webhooks.
func (d *doctor) checkListen() []Check {
	var checks []Check
	for _, at := range []struct{ key, address string }{{"listen", d.config.Listen}, {hooksListen, d.config.Webhooks.Listen}} {
		if at.address == "" {
			continue
		}
		listener, err := net.Listen("tcp", at.address)
		if err != nil {
			checks = append(checks, d.failed("daemon", at.key, &listenError{at.key, err}))
			continue
		}
		listener.Close()
	}
	return checks
}

// isHeld says whether a process has the lock of a state directory. What is written beside the lock may be left over
// from one that was killed.
func isHeld(dir string) bool {
	db, err := bbolt.Open(filepath.Join(dir, "state.db"), 0, &bbolt.Options{ReadOnly: true, Timeout: heldWithin})
	if err == nil {
		err = db.Close()
	}
	return errors.Is(err, bolterrors.ErrTimeout)
}

func listens(ctx context.Context, network, address string) bool {
	conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
	if err != nil {
		return false
	}
	conn.Close()
	return true
}
