package render

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/poundlock/poundlock/internal/mirror"
)

// Both files name each of sixty images at its place in the local registry, once.
func TestDigests_BothFilesNameEveryImage(t *testing.T) {
	for _, layout := range []mirror.LayoutKind{mirror.LayoutPath, mirror.LayoutTag} {
		f := sixty(t, layout, "digests: {}")
		files := f.rendered(t)
		lines := map[string]string{}
		for line := range strings.Lines(string(files[digestsFile])) {
			image, upstream, _ := strings.Cut(strings.TrimSpace(line), " # ")
			lines[image] = upstream
		}
		var list imageList
		decoder := json.NewDecoder(strings.NewReader(string(files[imagesFile])))
		decoder.DisallowUnknownFields()
		if err := decoder.Decode(&list); err != nil || list.Version != 1 || list.Set != "main" || list.Stage != "production" {
			t.Fatalf("%v, %+v", err, list)
		}
		byUpstream := map[string]listedImage{}
		for _, i := range list.Images {
			byUpstream[i.Upstream] = i
		}
		if len(lines) != 60 || len(byUpstream) != 60 {
			t.Errorf("%d lines, %d images", len(lines), len(byUpstream))
		}
		for upstream, lies := range f.lies() {
			pull := lies.AtDigest(lies.Digest).String()
			if lines[pull] != upstream.WithDigest(mirror.Digest{}).String() {
				t.Errorf("%s stands for %q, want %s", pull, lines[pull], upstream)
			}
			i := byUpstream[upstream.String()]
			if i.Image != pull || i.Registry+"/"+i.Repository+"@"+i.Digest != pull || upstream.Tag != "" && i.Tag != upstream.Tag || i.Entry == "" {
				t.Errorf("%s is listed as %+v", upstream, i)
			}
		}
	}
}

func TestDigests_LintTellsLinesThatNameNoContent(t *testing.T) {
	const digest = "@sha256:1111111111111111111111111111111111111111111111111111111111111111"
	item := func(image, repository string) string {
		return `{"version": 1, "images": [` + "\n" + `{"registry": "r.example", "repository": "` + repository + `", "digest": "` + digest[1:] + `", "upstream": "nginx:1", "image": "` + image + `"}]}`
	}
	tests := []struct{ name, file, text, want string }{
		{"fine", "digests.txt", "# all\nr.example/a" + digest + " # nginx\n\nr.example/b:1" + digest + "\n", ""},
		{"no digest", "digests.txt", "r.example/a:1\n", "RND070:1"},
		{"short digest", "digests.txt", "\nr.example/a@sha256:11\n", "RND070:2"},
		{"no registry", "digests.txt", "a/b" + digest + "\n", "RND070:1"},
		{"scheme", "digests.txt", "https://r.example/a" + digest + "\n", "RND070:1"},
		{"twice", "digests.txt", "r.example/a" + digest + "\nr.example/a" + digest + "\n", "RND070:2"},
		{"images", "images.json", item("r.example/a"+digest, "a"), ""},
		{"another place", "images.json", item("r.example/b"+digest, "a"), "RND070:2"},
		{"image without digest", "images.json", item("r.example/a:1", "a"), "RND070:2"},
		{"version", "images.json", strings.Replace(item("r.example/a"+digest, "a"), "1,", "2,", 1), "RND070:1"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := told(lintDigests(tt.file, []byte(tt.text))); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
			if got := KindOf(tt.file, []byte(tt.text)); len(got) != 1 || got[0] != "digests" {
				t.Errorf("it is taken for %v", got)
			}
		})
	}
}
