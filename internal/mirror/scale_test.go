package mirror

import (
	"bytes"
	"compress/zlib"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"testing"
	"time"
)

// pushed gives how many bytes a commit sends that makes one state of files another: of each file that differs and of each
// folder on the way to it, packed as Git does without deltas.
func pushed(t *testing.T, before, after Files) (bytes int) {
	t.Helper()
	folders := map[string]map[string]bool{} // what each folder lists
	for name := range after {
		for at := name; at != "."; at = path.Dir(at) {
			if folders[path.Dir(at)] == nil {
				folders[path.Dir(at)] = map[string]bool{}
			}
			folders[path.Dir(at)][at] = true
		}
	}
	changed := map[string]bool{}
	for name, body := range after {
		if string(before[name]) == string(body) {
			continue
		}
		bytes += packed(t, body)
		for at := path.Dir(name); !changed[at]; at = path.Dir(at) {
			if changed[at] = true; at == "." {
				break
			}
		}
	}
	for folder := range changed {
		bytes += packed(t, treeOf(slices.Sorted(maps.Keys(folders[folder]))))
	}
	return bytes
}

// treeOf writes a folder as Git does: mode, name and the 20 bytes of a hash, which do not compress.
func treeOf(names []string) []byte {
	var tree []byte
	for _, name := range names {
		tree = append(tree, "100644 "+path.Base(name)+"\x00"...)
		tree = append(tree, DigestOf([]byte(name)).Hex[:20]...)
		for i := len(tree) - 20; i < len(tree); i++ {
			tree[i] = tree[i]*7 + byte(i)*31 // the letters of a digest would compress
		}
	}
	return tree
}

func packed(t *testing.T, body []byte) int {
	t.Helper()
	var b bytes.Buffer
	w := zlib.NewWriter(&b)
	if _, err := w.Write(body); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Len() + 4 // and a head
}

// Ten packages out of 20,000 are a small commit, of the stage file and of the record, however the 20,000 are spread over
// names; and no file is large.
func TestRecord_TenPackagesOfManyAreASmallCommit(t *testing.T) {
	set := Set{Name: "elastic", Stages: Stages(DefaultStages), Packages: true}
	at := time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC)
	vendors := strings.Fields("apache auditd aws azure barracuda carbon_black checkpoint cisco citrix cloudflare crowdstrike docker elastic_agent f5 fortinet gcp " +
		"github google_workspace iis jamf juniper kafka kubernetes linux mattermost microsoft mysql netflow nginx o365 okta palo_alto ping_one system ti_abusech zoom")
	for _, size := range []struct{ names, versions int }{{350, 57}, {5000, 4}} {
		record := Record{Stages: map[Stage]Standing{}, Left: map[Stage]Standing{}}
		lines := map[string]Reference{}
		var ten []string
		for i := range size.names {
			for v := range size.versions {
				name := fmt.Sprintf("%s_%d", vendors[i%len(vendors)], i/len(vendors))
				entry := fmt.Sprintf("%s-1.%d.0", name, v)
				image, err := ParseReference(fmt.Sprintf("epr.elastic.co/%s:1.%d.0@%s", name, v, DigestOf([]byte(entry))))
				if err != nil {
					t.Fatal(err)
				}
				lines[entry] = image
				for _, stage := range set.Stages {
					record.Put(stage, entry, Line{Image: image, Since: at, Basis: "signed by elastic", Proven: true, Commit: DigestOf([]byte(stage)).Hex[:40]})
				}
				if v == size.versions-1 && i%(size.names/10) == 0 && len(ten) < 10 {
					ten = append(ten, entry)
				}
			}
		}
		last := set.Stages[len(set.Stages)-1]
		less := record.Clone()
		wanted := maps.Clone(lines)
		for _, entry := range ten {
			delete(less.Stages[last], entry)
			delete(wanted, entry)
		}
		before, after := RecordFiles("rendered/demo", set, less), RecordFiles("rendered/demo", set, record)
		stageBefore, _ := StageFile{Lines: wanted}.Write(Files{}, StageName(set.Name, last))
		stageAfter, _ := StageFile{Lines: lines}.Write(stageBefore, StageName(set.Name, last))
		largest := 0
		for _, files := range []Files{after, stageAfter} {
			for _, body := range files {
				largest = max(largest, len(body))
			}
		}
		inRecord, inStage := pushed(t, before, after), pushed(t, stageBefore, stageAfter)
		t.Logf("%d names x %d versions: %d files of record, the largest of all has %d bytes; ten promoted: the stage file pushes %d bytes, the record %d", size.names, size.versions, len(after), largest, inStage, inRecord)
		if largest > 1<<20 || inRecord > 100_000 || inStage > 100_000 {
			t.Errorf("%d names x %d versions: the largest file has %d bytes; ten promoted push %d and %d bytes, want less than 100,000 each", size.names, size.versions, largest, inStage, inRecord)
		}
	}
}
