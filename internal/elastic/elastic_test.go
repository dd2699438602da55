package elastic

import (
	"archive/zip"
	"bytes"
	"errors"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"strings"
	"testing"

	"github.com/poundlock/poundlock/internal/mirror"
)

// entry is one entry of a zip as a test wants it.
type entry struct {
	name   string
	body   string
	mode   fs.FileMode
	method uint16
	change func(*zip.FileHeader)
}

const goodManifest = "format_version: 1.0.0\nname: acme\nversion: 1.0.0\n"

func good(more ...entry) []entry {
	return append([]entry{
		{name: "acme-1.0.0/manifest.yml", body: goodManifest},
		{name: "acme-1.0.0/docs/README.md", body: "# Acme\n"},
	}, more...)
}

// zipOf writes entries raw, so that a test can lie about them.
func zipOf(t testing.TB, entries []entry) []byte {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for _, e := range entries {
		h := &zip.FileHeader{Name: e.name, Method: e.method, CRC32: crc32.ChecksumIEEE([]byte(e.body)),
			CompressedSize64: uint64(len(e.body)), UncompressedSize64: uint64(len(e.body))}
		h.SetMode(0o644)
		if e.mode != 0 {
			h.SetMode(e.mode)
		}
		var to io.Writer
		var err error
		if e.method == zip.Deflate {
			to, err = w.CreateHeader(h)
		} else {
			if e.change != nil {
				e.change(h)
			}
			to, err = w.CreateRaw(h)
		}
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(to, e.body); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

var acme = mirror.Package{Name: "acme", Version: "1.0.0"}

func check(b []byte, want mirror.Package) (Facts, error) {
	return Check(bytes.NewReader(b), int64(len(b)), want)
}

func TestCheck_GivesTheFacts(t *testing.T) {
	b := zipOf(t, good(
		entry{name: "acme-1.0.0/data_stream/", mode: fs.ModeDir | 0o755},
		entry{name: "acme-1.0.0/data_stream/log/manifest.yml", body: "title: Log\n", method: zip.Deflate},
		entry{name: "acme-1.0.0/data_stream/log/deep/manifest.yml", body: "no document\n"},
		entry{name: "acme-1.0.0/img/a.svg", body: "<svg/>"},
	))
	f, err := check(b, acme)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"format":1,"name":"acme","version":"1.0.0","documents":{"data_stream/log/manifest.yml":"title: Log\n","manifest.yml":"format_version: 1.0.0\nname: acme\nversion: 1.0.0\n"},` +
		`"files":[{"path":"manifest.yml","size":48},{"path":"docs/README.md","size":7},{"path":"data_stream/log/manifest.yml","size":11},{"path":"data_stream/log/deep/manifest.yml","size":12},{"path":"img/a.svg","size":6}],` +
		`"folders":["data_stream"]}`
	if have := string(f.encode()); have != want { // another text would be another digest of every package
		t.Errorf("facts\n%s\nwant\n%s", have, want)
	}
	if any, err := check(b, mirror.Package{}); err != nil || any.Package != acme {
		t.Errorf("without a name wanted: %v, %v", any.Package, err)
	}
}

func TestCheck_RefusesEveryDamage(t *testing.T) {
	manifest := func(body string) []entry {
		return []entry{{name: "acme-1.0.0/manifest.yml", body: body}, {name: "acme-1.0.0/docs/README.md", body: "x"}}
	}
	whole := zipOf(t, good(entry{name: "acme-1.0.0/big.bin", body: strings.Repeat("abc", 5000)}))
	flipped := bytes.Clone(whole)
	flipped[bytes.Index(flipped, []byte("abcabc"))+100] ^= 1
	many := make([]entry, MaxEntries+1)
	for i := range many {
		many[i] = entry{name: "acme-1.0.0/" + strings.Repeat("a", i%200) + string(rune('a'+i%26)) + "/" + strings.Repeat("b", i/200) + ".txt"}
	}
	tests := []struct {
		name string
		zip  []byte
		code string
		say  string
	}{
		{"empty", nil, "PKG001", "no zip"},
		{"text", []byte("<html>not found</html>"), "PKG001", "no zip"},
		{"cut off", whole[:len(whole)-40], "PKG001", "no zip"},
		{"a byte changed", flipped, "PKG001", "damaged"},
		{"no entry", zipOf(t, nil), "PKG006", "no file"},
		{"longer than it says", zipOf(t, good(entry{name: "acme-1.0.0/a", body: "long", change: func(h *zip.FileHeader) { h.UncompressedSize64 = 2 }})), "PKG001", "damaged"},
		{"shorter than it says", zipOf(t, good(entry{name: "acme-1.0.0/a", body: "long", change: func(h *zip.FileHeader) { h.UncompressedSize64 = 9 }})), "PKG001", "damaged"},
		{"claims more than can be", zipOf(t, good(entry{name: "acme-1.0.0/a", body: "x", change: func(h *zip.FileHeader) { h.UncompressedSize64 = 3 << 30 }})), "PKG002", "MiB"},
		{"claims all together", zipOf(t, good(
			entry{name: "acme-1.0.0/a", body: strings.Repeat("x", 6<<20), change: func(h *zip.FileHeader) { h.UncompressedSize64 = 1200 << 20 }},
			entry{name: "acme-1.0.0/b", body: strings.Repeat("x", 6<<20), change: func(h *zip.FileHeader) { h.UncompressedSize64 = 1200 << 20 }})), "PKG002", "unpacked"},
		{"bomb", zipOf(t, good(entry{name: "acme-1.0.0/a", body: strings.Repeat("\x00", 8<<20), method: zip.Deflate})), "PKG002", "times its size"},
		{"many entries", zipOf(t, many), "PKG002", "65535"},
		{"entries share bytes", zipOf(t, good(entry{name: "acme-1.0.0/a", body: "x", change: func(h *zip.FileHeader) { h.CompressedSize64 = 1 << 20; h.UncompressedSize64 = 1 << 20 }})), "PKG005", "share bytes"},
		{"slip", zipOf(t, good(entry{name: "acme-1.0.0/../../etc/passwd", body: "x"})), "PKG003", "leads out"},
		{"slip at once", zipOf(t, good(entry{name: "../x", body: "x"})), "PKG003", "leads out"},
		{"absolute", zipOf(t, good(entry{name: "/etc/passwd", body: "x"})), "PKG003", "root of the disk"},
		{"drive", zipOf(t, good(entry{name: "c:/x", body: "x"})), "PKG003", "drive"},
		{"backslash", zipOf(t, good(entry{name: `acme-1.0.0\x`, body: "x"})), "PKG003", "backslash"},
		{"control", zipOf(t, good(entry{name: "acme-1.0.0/a\x1b[2J", body: "x"})), "PKG003", "control"},
		{"no UTF-8", zipOf(t, good(entry{name: "acme-1.0.0/a\xff", body: "x"})), "PKG003", "UTF-8"},
		{"dots", zipOf(t, good(entry{name: "acme-1.0.0/./a", body: "x"})), "PKG003", "shortest"},
		{"double slash", zipOf(t, good(entry{name: "acme-1.0.0//a", body: "x"})), "PKG003", "shortest"},
		{"long name", zipOf(t, good(entry{name: "acme-1.0.0/" + strings.Repeat("a", 1100), body: "x"})), "PKG003", "bytes"},
		{"symbolic link", zipOf(t, good(entry{name: "acme-1.0.0/a", body: "/etc/passwd", mode: fs.ModeSymlink | 0o777})), "PKG004", "symbolic link"},
		{"device", zipOf(t, good(entry{name: "acme-1.0.0/a", mode: fs.ModeDevice | 0o600})), "PKG004", "neither"},
		{"link named as folder", zipOf(t, good(entry{name: "acme-1.0.0/a/", mode: fs.ModeSymlink | 0o777})), "PKG004", "named as a folder"},
		{"encrypted", zipOf(t, good(entry{name: "acme-1.0.0/a", body: "x", change: func(h *zip.FileHeader) { h.Flags |= 1 }})), "PKG004", "encrypted"},
		{"other method", zipOf(t, good(entry{name: "acme-1.0.0/a", body: "x", method: 12})), "PKG004", "method 12"},
		{"twice", zipOf(t, good(entry{name: "acme-1.0.0/manifest.yml", body: "other"})), "PKG005", "one name"},
		{"twice by case", zipOf(t, good(entry{name: "acme-1.0.0/Manifest.YML", body: "other"})), "PKG005", "one name"},
		{"twice by a folded letter", zipOf(t, good(entry{name: "acme-1.0.0/docſ/README.md", body: "other"})), "PKG005", "one name"},
		{"file is a folder", zipOf(t, good(entry{name: "acme-1.0.0/docs", body: "x"})), "PKG005", "is a file, and the folder"},
		{"file and folder entry", zipOf(t, good(entry{name: "acme-1.0.0/docs", body: "x"}, entry{name: "acme-1.0.0/docs/", mode: fs.ModeDir | 0o755})), "PKG005", "one name"},
		{"file at the top", zipOf(t, good(entry{name: "stray", body: "x"})), "PKG006", "beside"},
		{"two roots", zipOf(t, good(entry{name: "__MACOSX/x", body: "x"})), "PKG006", "more than one"},
		{"no manifest", zipOf(t, []entry{{name: "acme-1.0.0/docs/README.md", body: "x"}}), "PKG006", "manifest.yml"},
		{"manifest deeper", zipOf(t, []entry{{name: "acme-1.0.0/x/manifest.yml", body: goodManifest}, {name: "acme-1.0.0/docs/README.md"}}), "PKG006", "manifest.yml"},
		{"manifest is no YAML", zipOf(t, manifest("name: [")), "PKG007", "YAML"},
		{"manifest is a list", zipOf(t, manifest("- a")), "PKG007", "no mapping"},
		{"manifest is empty", zipOf(t, manifest("")), "PKG007", ""},
		{"name missing", zipOf(t, manifest("version: 1.0.0")), "PKG007", "name"},
		{"name is a list", zipOf(t, manifest("name: [acme]\nversion: 1.0.0")), "PKG007", "no text"},
		{"name twice", zipOf(t, manifest("name: acme\nname: evil\nversion: 1.0.0")), "PKG007", "twice"},
		{"name has a hyphen", zipOf(t, manifest("name: ac-me\nversion: 1.0.0")), "PKG007", "name of a package"},
		{"version v1", zipOf(t, manifest("name: acme\nversion: v1.0.0")), "PKG007", "version"},
		{"version short", zipOf(t, manifest("name: acme\nversion: 1.0")), "PKG007", "version"},
		{"other name", zipOf(t, manifest("name: evil\nversion: 1.0.0")), "PKG008", "evil-1.0.0"},
		{"other version", zipOf(t, manifest("name: acme\nversion: 2.0.0")), "PKG008", "acme-2.0.0"},
		{"other directory", zipOf(t, []entry{{name: "acme/manifest.yml", body: goodManifest}, {name: "acme/docs/README.md", body: "x"}}), "PKG008", "directory"},
		{"no readme", zipOf(t, []entry{{name: "acme-1.0.0/manifest.yml", body: goodManifest}}), "PKG009", "docs/README.md"},
		{"manifest is no UTF-8", zipOf(t, manifest(goodManifest+"# \xff")), "PKG010", "UTF-8"},
		{"manifests too large", zipOf(t, good(entry{name: "acme-1.0.0/data_stream/a/manifest.yml", body: strings.Repeat("x", MaxFacts)})), "PKG010", "MiB"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			f, err := check(test.zip, acme)
			var p mirror.Problem
			if !errors.As(err, &p) || p.Code != test.code || !strings.Contains(p.What, test.say) || p.Fix == "" || p.Where.File != "acme-1.0.0.zip" {
				t.Errorf("have %v, want %s with %q", err, test.code, test.say)
			}
			if f.Name != "" || f.Files != nil {
				t.Errorf("facts of what was refused: %v", f)
			}
		})
	}
}

// A manifest is read for name and version alone: those of all ages and spellings pass.
func TestIdentify_ReadsManifestsOfAllAges(t *testing.T) {
	for name, manifest := range map[string]string{
		"dotted":      goodManifest + "conditions:\n  kibana.version: ^8.1.0\nowner.github: x\n",
		"nested":      goodManifest + "conditions: {kibana: {version: ^8.1.0}}\n",
		"very old":    "name: acme\nversion: 1.0.0\nrequirement: {kibana: {versions: '>6.7.0  <7.6.0'}}\n",
		"quoted":      "name: \"acme\"\nversion: '1.0.0'\n",
		"anchors":     "x: &x {a: 1}\ny: *x\nname: acme\nversion: 1.0.0\n",
		"begins with": "---\nname: acme\nversion: 1.0.0\n",
	} {
		if p, err := Identify([]byte(manifest)); err != nil || p != acme {
			t.Errorf("%s: %v, %v", name, p, err)
		}
	}
}

// What the disk says is no fault of the package.
func TestCheck_TellsTroubleOfTheDiskApart(t *testing.T) {
	b := zipOf(t, good())
	for _, after := range []int{0, 3} {
		disk := &broken{Reader: bytes.NewReader(b), after: after}
		_, err := Check(disk, int64(len(b)), acme)
		if err == nil || errors.As(err, new(mirror.Problem)) || !errors.Is(err, errDisk) {
			t.Errorf("after %d reads: %v", after, err)
		}
	}
}

var errDisk = errors.New("input/output error")

type broken struct {
	*bytes.Reader
	after int
}

func (b *broken) ReadAt(p []byte, off int64) (int, error) {
	if b.after--; b.after < 0 {
		return 0, errDisk
	}
	return b.Reader.ReadAt(p, off)
}

// The number of entries is not known before the directory is read, and may be anything.
func TestCheck_ReadsABoundedDirectory(t *testing.T) {
	large := make([]entry, 420)
	for i := range large {
		large[i] = entry{name: "acme-1.0.0/" + strings.Repeat("a", 60000) + string(rune('a'+i))}
	}
	b := zipOf(t, large)
	counted := &counting{Reader: bytes.NewReader(b)}
	_, err := Check(counted, int64(len(b)), acme)
	var p mirror.Problem
	if !errors.As(err, &p) || p.Code != "PKG002" || !strings.Contains(p.What, "directory") {
		t.Errorf("have %v", err)
	}
	if counted.n > maxDirectory {
		t.Errorf("%d bytes were read", counted.n)
	}
}

type counting struct {
	*bytes.Reader
	n int64
}

func (c *counting) ReadAt(p []byte, off int64) (int, error) {
	n, err := c.Reader.ReadAt(p, off)
	c.n += int64(n)
	return n, err
}

func TestCheck_ReadsRealPackages(t *testing.T) {
	b, err := os.ReadFile("../../../shared/realdata/epr/zips/example-1.0.1.zip")
	if errors.Is(err, fs.ErrNotExist) {
		t.Skip("the samples of real files are not here")
	}
	if err != nil {
		t.Fatal(err)
	}
	f, err := check(b, mirror.Package{Name: "example", Version: "1.0.1"})
	if err != nil {
		t.Fatal(err)
	}
	if len(f.Documents) != 2 || len(f.Files) != 19 || len(f.Folders) != 12 {
		t.Errorf("%d documents, %d files, %d folders", len(f.Documents), len(f.Files), len(f.Folders))
	}
}

func FuzzCheck(f *testing.F) {
	f.Add(zipOf(f, good()))
	f.Add(zipOf(f, good(entry{name: "acme-1.0.0/data_stream/a/manifest.yml", body: "x: 1", method: zip.Deflate})))
	f.Add(zipOf(f, good(entry{name: "acme-1.0.0/../x", body: "x"})))
	f.Fuzz(func(t *testing.T, b []byte) {
		facts, err := check(b, mirror.Package{})
		if err != nil {
			if !errors.As(err, new(mirror.Problem)) {
				t.Fatalf("no problem: %v", err)
			}
			return
		}
		read, err := decodeFacts(facts.encode())
		if err != nil || read.Package != facts.Package {
			t.Fatalf("what was checked cannot be read: %v", err)
		}
		for _, file := range facts.Files {
			if !fs.ValidPath(file.Path) {
				t.Fatalf("path %q", file.Path)
			}
		}
	})
}
