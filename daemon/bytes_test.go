package daemon

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/testenv"
)

// hundred puts 100 images into 100 repositories, each half its own and half shared with nine others, and gives
// the sizes of the distinct blobs.
func hundred(t *testing.T, s *site) (images []mirror.Reference, unique map[string]int64) {
	t.Helper()
	images, unique = make([]mirror.Reference, 100), map[string]int64{}
	var group errgroup.Group
	group.SetLimit(8)
	for i := range images {
		group.Go(func() error {
			ref, err := mirror.ParseReference(fmt.Sprintf("docker.io/apps/app%02d:1", i))
			if err != nil {
				return err
			}
			image := testenv.Image(fmt.Sprint("app", i), testenv.Layer{Seed: fmt.Sprint("shared", i%10), Size: 60_000}, testenv.Layer{Seed: fmt.Sprint("own", i), Size: 60_000})
			d, err := testenv.Push(t.Context(), s.upstream.Back(), ref.Name(), ref.Tag, image)
			images[i] = ref.WithDigest(d)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	client := s.open().registry
	for _, ref := range images {
		m := must(client.Manifest(t.Context(), ref, ref.Digest))(t)
		for _, b := range must(m.Parts())(t).Blobs() {
			unique[b.Digest.String()] = b.Size
		}
	}
	return images, unique
}

// Each distinct blob crosses once on either side, whatever number of images, repositories and sets want it; a
// promotion crosses none.
func TestBytes_EachBlobCrossesOnceThroughTheWholeLine(t *testing.T) {
	for _, layout := range []string{"tag", "path"} {
		t.Run(layout, func(t *testing.T) {
			s := newSite(t, map[string]string{"desired/policy.yaml": pinnedPolicy, "desired/first.yaml": "version: 1\nsource: {kind: list, file: first.txt}\n", "desired/first.txt": "docker.io/apps/none:1\n"})
			images, unique := hundred(t, s)
			var want int64
			for _, size := range unique {
				want += size
			}
			if len(unique) != 10+100+100 {
				t.Fatalf("%d distinct blobs, want ten shared layers, 100 of one image and 100 configs", len(unique))
			}
			files := map[string]string{}
			for i, name := range []string{"first", "second"} {
				files["desired/"+name+".yaml"] = "version: 1\nsource: {kind: list, file: " + name + ".txt}\nlayout: " + layout + "\n"
				files["desired/"+name+".txt"] = list(images[i*50 : i*50+50]...)
			}
			s.commit("a hundred", files)
			s.upstream.Proxy().Reset()
			s.local.Proxy().Reset()
			reports := s.sync()
			up, local := s.upstream.Proxy().Counts(), s.local.Proxy().Counts()
			t.Logf("%d images of %d distinct blobs, %d bytes; requests upstream %v, local %v", len(images), len(unique), want, up.Requests, local.Requests)
			if up.BlobSent != want || local.BlobReceived != want {
				t.Errorf("%d bytes read upstream, %d written; want %d, each distinct blob once", up.BlobSent, local.BlobReceived, want)
			}
			if got := reports["first"].Bytes + reports["second"].Bytes; got != want {
				t.Errorf("%d bytes reported, want %d", got, want)
			}
			read := map[string]int{}
			for _, path := range up.Paths {
				if _, blob, ok := strings.Cut(path, "/blobs/"); ok && strings.HasPrefix(path, http.MethodGet) {
					read[blob]++
				}
			}
			for blob := range unique {
				if read[blob] != 1 {
					t.Errorf("%s was read %d times", blob, read[blob])
				}
			}
			for name, r := range reports {
				if n := r.Plan.Count(mirror.Unchanged); n != 50 {
					t.Errorf("%s: %d of 50 stand\n%s", name, n, details(r.Plan))
				}
			}
			s.upstream.Proxy().Reset()
			s.local.Proxy().Reset()
			s.promote("first", "snapshot", "staging")
			s.promote("second", "snapshot", "staging")
			s.wipe()
			s.sync()
			up, local = s.upstream.Proxy().Counts(), s.local.Proxy().Counts()
			if up.Total() != 0 || local.BlobReceived != 0 {
				t.Errorf("the promotion: %d upstream requests, %d blob bytes written; want none: %v", up.Total(), local.BlobReceived, up.Requests)
			}
			repository := map[string]string{"tag": "mirror/docker.io/apps/app99", "path": "mirror/staging/docker.io/apps/app99"}[layout]
			tag := map[string]string{"tag": "second-docker.io.apps.app99.1-staging", "path": "1"}[layout]
			if got := s.tag(repository, tag); got != images[99].Digest {
				t.Errorf("staging names %s, want %s", got, images[99].Digest)
			}
			s.whole()
		})
	}
}

// memoryOver is how much anonymous memory a layer of any size may take over the idle daemon.
const memoryOver = 64 << 20

// A layer of 2 GiB goes through the whole line in a process of its own, whose anonymous memory is sampled; the
// servers around it are in this one. Idle is the same process with nothing to copy.
func TestMemory_IsBoundedWhateverTheLayer(t *testing.T) {
	if _, err := os.Stat("/proc/self/status"); err != nil {
		t.Skip("no /proc here to read the memory of a process from")
	}
	s := newSite(t, map[string]string{"desired/policy.yaml": pinnedPolicy})
	big, sink := testenv.NewBig(2<<30), testenv.NewSink()
	upstream := must(testenv.NewServer(big))(t)
	t.Cleanup(upstream.Close)
	local := must(testenv.NewServer(sink))(t)
	t.Cleanup(local.Close)
	s.config = siteConfig(s.dir, s.git.URL(), local.URL(), s.upstream.URL()) + fmt.Sprintf("  example: {host: %s, endpoint: %q, insecure: true}\n", fixtureHost, upstream.URL())
	image := mirror.Reference{Host: fixtureHost, Repository: testenv.BigRepository, Tag: testenv.BigTag, Digest: big.Digest()}
	s.commit("big", map[string]string{"desired/big.yaml": "version: 1\nsource: {kind: list, file: big.txt}\n", "desired/big.txt": list(image)})
	copying, took := peakMemory(t, s.process())
	if got := local.Proxy().Counts().BlobReceived; got <= 2<<30 || len(sink.Blobs()) != 2 {
		t.Fatalf("%d bytes came in blobs %v; want all of the layer and its config", got, sink.Blobs())
	}
	local.Proxy().Reset()
	idle, _ := peakMemory(t, s.process())
	if got := local.Proxy().Counts().BlobReceived; got != 0 {
		t.Errorf("idle: %d bytes came", got)
	}
	t.Logf("anonymous memory: %d KiB idle, %d KiB while 2 GiB were copied in %s", idle>>10, copying>>10, took.Round(time.Millisecond))
	if copying-idle > memoryOver {
		t.Errorf("%d MiB over idle, want at most %d", (copying-idle)>>20, memoryOver>>20)
	}
}

var rssAnon = regexp.MustCompile(`RssAnon:\s+(\d+) kB`)

// peakMemory runs a command to its end and gives the most anonymous memory it was seen with, in bytes.
func peakMemory(t *testing.T, cmd *exec.Cmd) (peak int64, took time.Duration) {
	t.Helper()
	began := time.Now()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case err := <-ended:
			if err != nil {
				t.Fatal(err)
			}
			if peak == 0 {
				t.Fatal("the process was never seen at work")
			}
			return peak, time.Since(began)
		case <-tick.C:
			status, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", cmd.Process.Pid)) // gone once it has ended
			if m := rssAnon.FindSubmatch(status); m != nil {
				kib, _ := strconv.ParseInt(string(m[1]), 10, 64)
				peak = max(peak, kib<<10)
			}
		}
	}
}
