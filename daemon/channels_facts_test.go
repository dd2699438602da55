package daemon

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/poundlock/poundlock/internal/elastic"
	"github.com/poundlock/poundlock/internal/epr"
	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/testenv"
)

// A signature is over the zip alone: an artifact whose facts say something else of it is in no channel.
func TestFacts_BelongToTheZip(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	up := must(testenv.NewEPR(testenv.EPROptions{}, testenv.EPRPackage{Name: "nginx", Version: "1.0.0"}))(t)
	defer up.Close()
	zip, name := up.Zip("nginx-1.0.0"), must(mirror.ParsePackage("nginx-1.0.0"))(t)
	at := mirror.Reference{Host: localName, Repository: "mirror/epr.elastic.co/nginx"}
	for what, change := range map[string]func(f *elastic.Facts){
		"":                     func(*elastic.Facts) {},
		"another description":  func(f *elastic.Facts) { f.Documents["manifest.yml"] += "\ndescription_of: somebody else\n" },
		"one file more":        func(f *elastic.Facts) { f.Files = append(f.Files, elastic.File{Path: "kibana/more.json", Size: 1}) },
		"another size":         func(f *elastic.Facts) { f.Files[0].Size++ },
		"a document of nobody": func(f *elastic.Facts) { f.Documents["data_stream/x/manifest.yml"] = "title: x" },
	} {
		facts := must(elastic.Check(bytes.NewReader(zip), int64(len(zip)), name))(t)
		change(&facts)
		a := elastic.PackHere(at, zip, up.Signature("nginx-1.0.0"), facts)
		if err := s.line.writeMade(t.Context(), a, at); err != nil {
			t.Fatal(err)
		}
		standing := epr.Standing{Package: name, Stage: "production", Local: at.AtDigest(a.Manifest.Descriptor.Digest)}
		_, err := s.line.itemOf(t.Context(), standing)
		if what == "" && (err != nil || !s.line.state.FactsRead(standing.Local.Digest)) {
			t.Errorf("the facts of the zip: %v", err)
		}
		if p := (mirror.Problem{}); what != "" && (!errors.Is(err, epr.ErrLeftOut) || !errors.As(err, &p) || p.Code != "PKG016" || s.line.state.FactsRead(standing.Local.Digest)) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// What was fetched and packed here is not read again for its channel.
func TestFacts_OfWhatWasPackedHereAreKnown(t *testing.T) {
	t.Parallel()
	s := newPackageSite(t, testenv.EPRPackage{Name: "nginx", Version: "1.0.0"})
	s.sync()
	image := must(s.line.state.Record("elastic"))(t).At("snapshot")["nginx-1.0.0"].Image
	if !s.line.state.FactsRead(image.Digest) || !strings.Contains(s.holds("snapshot"), "nginx-1.0.0") {
		t.Errorf("known: %v; served: %s", s.line.state.FactsRead(image.Digest), s.holds("snapshot"))
	}
}
