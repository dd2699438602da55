package sources

import (
	"encoding/json"
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/poundlock/poundlock/internal/mirror"
)

// Thousands of packages: what is kept of each stays small. As many as may be are taken, and one more is refused.
func TestEPR_ThousandsOfPackages(t *testing.T) {
	const many = maxPackages / 10
	text := `"title":"Some title of a package","description":"` + strings.Repeat("What it collects. ", 20) + `","type":"integration","conditions":{"kibana":{"version":"^8.12.0 || ^9.0.0"}},"categories":["observability"]`
	var b strings.Builder
	write := func(n int) string {
		b.Reset()
		b.WriteString("[")
		for i := range n {
			name := fmt.Sprintf("package_%03d", i%600)
			id := fmt.Sprintf("%s-1.%d.0", name, i/600)
			b.WriteString(item(name, fmt.Sprintf("1.%d.0", i/600), text, fmt.Sprintf(`"download":"/epr/%s/%s.zip","signature_path":"/epr/%s/%s.zip.sig"`, name, id, name, id)))
			if i < n-1 {
				b.WriteString(",")
			}
		}
		b.WriteString("]")
		return b.String()
	}
	set, files := askingEPR(t, eprAt+", versions: all, kibana: [9.3.0]")
	body := write(many)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	l, err := Ask(t.Context(), set, files, &packageHub{body: body}, &remembers{now: noon}, noon)
	if err != nil || len(l.Entries) != many {
		t.Fatalf("got %d: %v", len(l.Entries), err)
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	kept, err := json.Marshal(l)
	if err != nil {
		t.Fatal(err)
	}
	held := int(after.HeapAlloc) - int(before.HeapAlloc)
	t.Logf("%d KiB of answer, %d KiB as JSON, %d KiB in memory", len(body)>>10, len(kept)>>10, held>>10)
	if len(kept) > many*450 || held > many*1200 {
		t.Errorf("%d bytes kept and %d in memory for %d packages", len(kept), held, many)
	}
	var again Listing
	if err := json.Unmarshal(kept, &again); err != nil || again.Print() != l.Print() {
		t.Errorf("what is kept is not what was listed: %v", err)
	}
	most := listing{packages: true}
	for i := range maxPackages {
		most.entries = append(most.entries, mirror.Entry{Name: fmt.Sprint(i)})
	}
	if err := bounded(set, most); err != nil {
		t.Errorf("as many as may be: %v", err)
	}
	most.entries = append(most.entries, mirror.Entry{Name: "one more"})
	if err := bounded(set, most); err == nil || !strings.Contains(err.Error(), "SRC007") {
		t.Errorf("one more: %v", err)
	}
}

func FuzzReadSearch(f *testing.F) {
	f.Add(itemsOf("nginx-1.20.0 ^8.0.0", "a-1.0.0+x"))
	f.Add("[" + item("a", "1.0.0", `"download":"/epr/../x","policy_templates":[{"categories":[null]}],"conditions":null`) + "]")
	f.Add(`[{"name":"a","version":"1.0.0","download":"/e%70r/%2fx.zip"}]`)
	base, err := parseBase("https://epr.example.org/registry")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, body string) {
		_ = readSearch(strings.NewReader(body), func(i eprItem) {
			if _, err := mirror.ParsePackage(i.String()); err != nil || i.image.Name() != "epr.example.org/registry/"+i.Name {
				t.Errorf("took %+v", i)
			}
			for _, address := range []string{i.at.Zip, i.at.Signature} {
				if address != "" && !strings.HasPrefix(address, "https://epr.example.org/registry/") || strings.Contains(address, "/../") {
					t.Errorf("leads to %q", address)
				}
			}
		}, func(entry, why string) {
			if strings.ContainsAny(entry, "\n\x1b\x00") {
				t.Errorf("told of %q", entry)
			}
		}, base, "epr.example.org/registry")
	})
}
