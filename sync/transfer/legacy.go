package transfer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/poundlock/poundlock/internal/mirror"
)

// signatureAnnotation tells two signatures over the same payload apart.
const signatureAnnotation = "dev.cosignproject.cosign/signature"

// legacy joins manifests under a cosign tag of the target. Where the target has none, it is the source's
// manifest byte for byte; else the layers of both, so that a counter-signature made at the target survives.
func (c *cargo) legacy(ctx context.Context, tag string, manifests []mirror.Digest) error {
	if len(manifests) == 0 {
		return nil
	}
	to := c.to.WithTag(tag)
	// No registry compares and swaps a tag; within this process one at a time reads, joins and writes it.
	unlock, err := c.m.subjects.lock(ctx, to.String())
	if err != nil {
		return err
	}
	defer unlock()
	for _, d := range manifests {
		if err := c.join(ctx, to, d); err != nil {
			return fmt.Errorf("tag %s: %w", tag, err)
		}
	}
	return nil
}

func (c *cargo) join(ctx context.Context, to mirror.Reference, d mirror.Digest) error {
	if err := c.count(); err != nil {
		return err
	}
	ours, err := c.whole(ctx, mirror.Descriptor{Digest: d}, 1)
	if err != nil {
		return err
	}
	have, err := c.resolve(ctx, c.m.target, to)
	switch {
	case errors.Is(err, mirror.ErrNotFound):
		_, err := c.put(ctx, to, ours)
		return err
	case err != nil:
		return local(c.to, err)
	case have.Digest == d:
		return nil
	}
	var theirs mirror.Manifest
	err = c.m.request(ctx, func() (err error) { theirs, err = c.m.target.Manifest(ctx, c.to, have.Digest); return err })
	if err != nil {
		return local(c.to, err)
	}
	joined, changed, err := c.union(ctx, theirs, ours.Manifest)
	if err != nil || !changed {
		return err
	}
	// What was verified stays readable by its digest, for a promotion that reads it here.
	if _, err := c.put(ctx, c.to.AtDigest(d), ours); err != nil {
		return err
	}
	_, err = c.put(ctx, to, joined)
	return err
}

// union adds to their layers those of ours that they lack. All other fields stay theirs.
func (c *cargo) union(ctx context.Context, theirs, ours mirror.Manifest) (joined piece, changed bool, err error) {
	fields, layers, known, err := layersOf(theirs)
	if err != nil {
		return joined, false, local(c.to, err)
	}
	_, more, names, err := layersOf(ours)
	if err != nil {
		return joined, false, bad(c.from, "%w", err)
	}
	seen := map[layerName]bool{}
	for _, n := range known {
		seen[n] = true
	}
	var added []mirror.Digest
	for i, n := range names {
		if !seen[n] {
			seen[n] = true
			layers = append(layers, more[i])
			added = append(added, n.digest)
		}
	}
	if len(added) == 0 {
		return joined, false, nil
	}
	config, err := c.extendConfig(ctx, theirs, added)
	if err != nil {
		return joined, false, err
	}
	if config != nil {
		fields["config"] = config
	}
	if fields["layers"], err = json.Marshal(layers); err != nil {
		return joined, false, local(c.to, err)
	}
	body, err := json.Marshal(fields)
	if err != nil {
		return joined, false, local(c.to, err)
	}
	joined.Manifest = mirror.NewManifest(string(theirs.Descriptor.MediaType), body)
	joined.parts, err = c.parts(joined.Manifest, joined.Descriptor)
	return joined, true, err
}

// layerName is what makes a layer of a signature manifest one signature.
type layerName struct {
	digest    mirror.Digest
	signature string
}

// layersOf takes a manifest apart so that its fields and layers keep their bytes.
func layersOf(m mirror.Manifest) (fields map[string]json.RawMessage, layers []json.RawMessage, names []layerName, err error) {
	parts, err := m.Parts()
	if err != nil {
		return nil, nil, nil, err
	}
	if err := json.Unmarshal(m.Body, &fields); err != nil {
		return nil, nil, nil, fmt.Errorf("manifest %s: %w", m.Descriptor.Digest, err)
	}
	if raw := fields["layers"]; raw != nil {
		if err := json.Unmarshal(raw, &layers); err != nil {
			return nil, nil, nil, fmt.Errorf("manifest %s: %w", m.Descriptor.Digest, err)
		}
	}
	for _, l := range parts.Layers {
		names = append(names, layerName{l.Digest, l.Annotations[signatureAnnotation]})
	}
	return fields, layers, names, nil
}

// extendConfig adds layers to the list that the config of a signature manifest keeps of them, as cosign does,
// and gives the descriptor of the new config; nil where the config keeps no list. Payloads are not
// compressed, so the digest of a layer is its diff id.
func (c *cargo) extendConfig(ctx context.Context, m mirror.Manifest, added []mirror.Digest) (json.RawMessage, error) {
	parts, err := m.Parts()
	if err != nil || parts.Config == nil || parts.Config.Size > maxConfig {
		return nil, local(c.to, err)
	}
	var body []byte
	err = c.m.request(ctx, func() error {
		r, err := c.m.target.Blob(ctx, c.to, parts.Config.Digest, 0)
		if err != nil {
			return err
		}
		defer r.Close()
		body, err = io.ReadAll(io.LimitReader(r, maxConfig))
		return err
	})
	if err != nil {
		return nil, local(c.to, fmt.Errorf("config of %s: %w", m.Descriptor.Digest, err))
	}
	var config, rootfs map[string]json.RawMessage
	var diffs []string
	if json.Unmarshal(body, &config) != nil || json.Unmarshal(config["rootfs"], &rootfs) != nil || json.Unmarshal(rootfs["diff_ids"], &diffs) != nil {
		return nil, nil
	}
	for _, d := range added {
		diffs = append(diffs, d.String())
	}
	var history []json.RawMessage
	if json.Unmarshal(config["history"], &history) == nil {
		for range added {
			history = append(history, json.RawMessage(`{"created":"0001-01-01T00:00:00Z"}`))
		}
		config["history"] = encode(history)
	}
	rootfs["diff_ids"] = encode(diffs)
	config["rootfs"] = encode(rootfs)
	body = encode(config)
	d := mirror.Descriptor{MediaType: parts.Config.MediaType, Digest: mirror.DigestOf(body), Size: int64(len(body))}
	made := &cargo{m: c.m, content: memory(body), from: here, to: c.to}
	return encode(d), made.blob(ctx, d, false)
}

// encode writes values that were just read from JSON or consist of text; it cannot fail for them.
func encode(v any) json.RawMessage {
	b, err := json.Marshal(v)
	if err != nil {
		panic("transfer: " + err.Error())
	}
	return b
}
