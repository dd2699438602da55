package daemon

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/sources"
	"github.com/poundlock/poundlock/testenv"
)

// dropSite is a site with a drop folder named team.
type dropSite struct {
	*site
	folder string
	zips   *testenv.EPR // makes the packages
}

func newDropSite(t *testing.T, files map[string]string) dropSite {
	t.Helper()
	epr := must(testenv.NewEPR(testenv.EPROptions{}))(t)
	t.Cleanup(epr.Close)
	files["desired/keys/maker.asc"] = epr.Key.Public()
	files["desired/policy.yaml"] = "version: 1\nsigners: {maker: {pgp: keys/maker.asc}}\nrules: [{match: \"**\", require: {signers: [maker]}}]\n"
	s := dropSite{newSite(t, files), t.TempDir(), epr}
	s.config += "packages: {drop: {team: \"" + s.folder + "\"}}\n"
	return s
}

// put writes a package and, where signed, its signature; both were changed so long before now.
func (s dropSite) put(file, id string, signed bool, age time.Duration) {
	s.t.Helper()
	name, version, _ := strings.Cut(id, "-")
	if err := s.zips.Put(testenv.EPRPackage{Name: name, Version: version}); err != nil {
		s.t.Fatal(err)
	}
	s.write(file, s.zips.Zip(id), age)
	if signed {
		s.write(file+".sig", s.zips.Signature(id), age)
	}
}

func (s dropSite) write(file string, body []byte, age time.Duration) {
	s.t.Helper()
	at := filepath.Join(s.folder, file)
	if err := os.WriteFile(at, body, 0o600); err != nil {
		s.t.Fatal(err)
	}
	if err := os.Chtimes(at, s.now.Add(-age), s.now.Add(-age)); err != nil {
		s.t.Fatal(err)
	}
}

func TestDrop_TakesWhatIsWhole(t *testing.T) {
	t.Parallel()
	s := newDropSite(t, map[string]string{})
	up := s.open().upstream()
	s.put("any name.zip", "odd-1.0.0", false, time.Hour)
	s.put("acme.zip", "acme-1.0.0", true, time.Hour)
	s.put("tool-2.0.0.zip", "tool-2.0.0", false, time.Hour)
	s.put("new.zip", "new-1.0.0", true, time.Second)
	s.write("late.zip.sig", []byte("x"), time.Hour)
	s.write("half.zip", s.zips.Zip("acme-1.0.0")[:100], time.Hour)
	s.write("note.txt", nil, time.Hour)
	s.write(".hidden.zip", nil, time.Hour)
	if err := os.Mkdir(filepath.Join(s.folder, "folder.zip"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/etc/hostname", filepath.Join(s.folder, "link.zip")); err != nil {
		t.Fatal(err)
	}
	names := func(d sources.Drop) (all string) {
		for _, p := range d.Packages {
			all += p.Package.String() + " " + p.File + " " + p.Signature + "\n"
		}
		for _, l := range d.Left {
			all += "left " + l.Entry + "\n"
		}
		return all
	}
	look := func() sources.Drop {
		t.Helper()
		d, err := up.Dropped(t.Context(), "team")
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	first := look()
	if want := "acme-1.0.0 acme.zip acme.zip.sig\ntool-2.0.0 tool-2.0.0.zip \nleft any name.zip\nleft folder.zip\nleft half.zip\nleft link.zip\n"; names(first) != want {
		t.Errorf("got %s\nwant %s", names(first), want)
	}
	if !first.Again.Equal(s.now.Add(dropSettles)) {
		t.Errorf("looks again at %v", first.Again)
	}
	s.now = s.now.Add(dropSettles)
	s.write("acme.zip", []byte("somebody writes over it"), time.Second)
	second := look()
	if got := names(second); !strings.HasPrefix(got, "acme-1.0.0 acme.zip acme.zip.sig\nnew-1.0.0 new.zip") || second.Packages[0].Print != first.Packages[0].Print {
		t.Errorf("while something is written: %s", got)
	}
	s.put("acme.zip", "acme-1.0.1", true, time.Minute)
	s.put("tool-2.0.0.zip", "tool-2.0.0", true, time.Minute)
	if err := os.Remove(filepath.Join(s.folder, "new.zip")); err != nil {
		t.Fatal(err)
	}
	third := look()
	if got := names(third); !strings.HasPrefix(got, "acme-1.0.1 acme.zip acme.zip.sig\ntool-2.0.0 tool-2.0.0.zip tool-2.0.0.zip.sig\nleft") || third.Packages[1].Print == first.Packages[1].Print {
		t.Errorf("a newer one and a signature: %s", got)
	}
	if _, err := up.Dropped(t.Context(), "other"); !errors.Is(err, mirror.ErrNotFound) {
		t.Errorf("got %v", err)
	}
	if err := os.RemoveAll(s.folder); err != nil {
		t.Fatal(err)
	}
	if _, err := up.Dropped(t.Context(), "team"); err == nil || strings.Contains(err.Error(), s.folder) {
		t.Errorf("got %v", err)
	}
}

// A set of packages that somebody puts into a folder is looked at with each cycle, and asked when something moved there.
func TestDrop_IsSeenWithoutASchedule(t *testing.T) {
	t.Parallel()
	s := newDropSite(t, map[string]string{"desired/own.yaml": "version: 1\nsource: {kind: epr, own: [{drop: team}]}\n"})
	s.put("acme.zip", "acme-1.0.0", true, time.Hour)
	s.sync()
	set, ok := s.line.fleet.Load().desired.Set("own")
	if !ok || len(set.Entries) != 1 || set.Entries[0].Name != "acme-1.0.0" || s.line.dropsMoved(set) {
		t.Fatalf("got %+v", set.Entries)
	}
	s.put("tool.zip", "tool-1.0.0", true, time.Hour)
	if !s.line.dropsMoved(set) {
		t.Error("nobody saw it")
	}
	s.cycle(Wake{Why: "audit", Audit: true})
	if set, _ = s.line.fleet.Load().desired.Set("own"); len(set.Entries) != 2 {
		t.Errorf("got %+v", set.Entries)
	}
}
