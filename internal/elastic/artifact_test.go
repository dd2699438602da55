package elastic

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/poundlock/poundlock/internal/mirror"
)

// content gives what an artifact holds, as a registry would.
type content struct {
	mirror.Content
	mirror.Artifact
}

func (c content) Manifest(_ context.Context, _ mirror.Reference, d mirror.Digest) (mirror.Manifest, error) {
	if d != c.Artifact.Manifest.Descriptor.Digest {
		return mirror.Manifest{}, mirror.ErrNotFound
	}
	return c.Artifact.Manifest, nil
}

func (c content) Blob(_ context.Context, _ mirror.Reference, d mirror.Digest, _ int64) (io.ReadCloser, error) {
	body, has := c.Blobs[d]
	if !has {
		return nil, fmt.Errorf("blob %s: %w", d, mirror.ErrNotFound)
	}
	return io.NopCloser(bytes.NewReader(body)), nil
}

func packed(t *testing.T, signature []byte) (mirror.Artifact, Facts, []byte) {
	t.Helper()
	zip := zipOf(t, good())
	f, err := check(zip, acme)
	if err != nil {
		t.Fatal(err)
	}
	at, err := mirror.ParseReference("epr.example.org/acme")
	if err != nil {
		t.Fatal(err)
	}
	return PackHere(at, zip, signature, f), f, zip
}

// The digests stand in stage files: another release must give the same.
func TestPack_GivesTheSameDigestForever(t *testing.T) {
	for _, test := range []struct {
		name      string
		signature []byte
		want      string
	}{
		{"signed", []byte("signature\n"), "epr.example.org/acme:1.0.0@sha256:c9f8a04b3910d01e01d3c1df7cfa1b6c230d4952b73f11def365f8be3a364485"},
		{"unsigned", nil, "epr.example.org/acme:1.0.0@sha256:32e92fbf2aa479a2f655d75a3b1b80b790f88ae7b6ecb97316c7fc662a761f03"},
	} {
		a, _, _ := packed(t, test.signature)
		if a.Image.String() != test.want {
			t.Errorf("%s: have %s, want %s\n%s", test.name, a.Image, test.want, a.Manifest.Body)
		}
		if mirror.DigestOf(a.Manifest.Body) != a.Image.Digest {
			t.Errorf("%s: the digest is not of the manifest", test.name)
		}
	}
}

func TestRead_GivesWhatWasPacked(t *testing.T) {
	signature := []byte("signature\n")
	a, f, zip := packed(t, signature)
	read, layers, err := Read(t.Context(), content{Artifact: a}, a.Image)
	if err != nil {
		t.Fatal(err)
	}
	if string(read.encode()) != string(f.encode()) {
		t.Errorf("facts %s", read.encode())
	}
	if layers.Zip.Digest != mirror.DigestOf(zip) || layers.Zip.Size != int64(len(zip)) || layers.Signature.Digest != mirror.DigestOf(signature) ||
		layers.Zip.Annotations[titleKey] != "acme-1.0.0.zip" || layers.Signature.Annotations[titleKey] != "acme-1.0.0.zip.sig" {
		t.Errorf("layers %+v", layers)
	}
	if !bytes.Equal(a.Blobs[layers.Zip.Digest], zip) || !bytes.Equal(a.Blobs[layers.Signature.Digest], signature) {
		t.Error("zip or signature is not byte for byte what was packed")
	}
	bare, _, _ := packed(t, nil)
	if _, layers, err := Read(t.Context(), content{Artifact: bare}, bare.Image); err != nil || layers.Signature.Size != 0 {
		t.Errorf("without a signature: %+v, %v", layers, err)
	}
}

// A version with a plus sign is another package than one without, and its tag has none.
func TestPack_NamesTheTagWithoutPlus(t *testing.T) {
	p := mirror.Package{Name: "acme", Version: "1.0.0+build.1"}
	a := Pack(mirror.Reference{Host: "x.example", Repository: "acme"}, mirror.Descriptor{}, nil, Facts{Package: p})
	if a.Image.Tag != "1.0.0_build.1" {
		t.Errorf("tag %q", a.Image.Tag)
	}
}

func TestOpen_RefusesWhatIsNoPackage(t *testing.T) {
	a, _, _ := packed(t, []byte("signature\n"))
	for _, test := range []struct{ name, from, to string }{
		{"no JSON", `{`, ``},
		{"an image", `"artifactType":"` + mirror.PackageArtifact + `"`, `"artifactType":"application/vnd.oci.image.config.v1+json"`},
		{"other config", mirror.PackageFacts, "application/json"},
		{"zip of another type", mirror.PackageZip, "application/gzip"},
		{"signature of another type", mirror.PackageSignature, "text/plain"},
		{"a large signature", `"size":10`, `"size":99999`},
		{"two zips", mirror.PackageSignature, mirror.PackageZip},
	} {
		body := strings.Replace(string(a.Manifest.Body), test.from, test.to, 1)
		if body == string(a.Manifest.Body) {
			t.Fatalf("%s: nothing was changed", test.name)
		}
		if l, err := Open(mirror.NewManifest(ociManifest, []byte(body))); err == nil {
			t.Errorf("%s: %+v", test.name, l)
		}
	}
}

func TestRead_RefusesFactsThatAreNone(t *testing.T) {
	a, f, zip := packed(t, nil)
	with := func(change func(*Facts)) mirror.Artifact {
		g := f
		g.Documents = map[string]string{manifestFile: f.Documents[manifestFile]}
		change(&g)
		return PackHere(a.Image, zip, nil, g)
	}
	for name, made := range map[string]mirror.Artifact{
		"another format":       with(func(f *Facts) { f.Format = 2 }),
		"no name":              with(func(f *Facts) { f.Name = "" }),
		"name with a slash":    with(func(f *Facts) { f.Name = "../x" }),
		"another package":      with(func(f *Facts) { f.Version = "2.0.0" }),
		"without its manifest": with(func(f *Facts) { delete(f.Documents, manifestFile) }),
		"too many files":       with(func(f *Facts) { f.Files = make([]File, MaxEntries+1) }),
	} {
		if _, _, err := Read(t.Context(), content{Artifact: made}, made.Image); err == nil {
			t.Errorf("%s is read", name)
		}
	}
	newer := with(func(*Facts) {})
	var fields map[string]any
	if err := json.Unmarshal(f.encode(), &fields); err != nil {
		t.Fatal(err)
	}
	fields["later"] = "x"
	body, err := json.Marshal(fields)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := decodeFacts(body); err != nil {
		t.Errorf("a field of a newer release: %v", err)
	}
	_, _, err = Read(t.Context(), content{Artifact: newer}, newer.Image.WithDigest(mirror.DigestOf(nil)))
	if !errors.Is(err, mirror.ErrNotFound) {
		t.Errorf("what is not there: %v", err)
	}
}
