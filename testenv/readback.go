package testenv

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/poundlock/poundlock/internal/mirror"
)

// acceptAll names every kind of manifest, so that a registry converts nothing.
const acceptAll = "application/vnd.oci.image.manifest.v1+json,application/vnd.oci.image.index.v1+json," +
	"application/vnd.docker.distribution.manifest.v2+json,application/vnd.docker.distribution.manifest.list.v2+json"

// reader reads a registry with nothing of ours in between: it must be able to contradict the code under
// test.
type reader struct {
	host   string
	client *http.Client
}

func newReader(host string) (*reader, func()) {
	transport := &http.Transport{}
	return &reader{host: host, client: &http.Client{Transport: transport}}, transport.CloseIdleConnections
}

// TagDigest gives the digest of what a tag names in a registry on plain HTTP, computed from the bytes that
// come back; mirror.ErrNotFound when there is no such tag.
func TagDigest(host, repo, tag string) (mirror.Digest, error) {
	r, done := newReader(host)
	defer done()
	body, err := r.manifest(repo, tag)
	if err != nil {
		return mirror.Digest{}, err
	}
	return mirror.DigestOf(body), nil
}

// TagsOf gives every tag of a registry, as repository:tag, with the digest that it names. A tag that
// cannot be read has an empty digest.
func TagsOf(host string) map[string]string {
	r, done := newReader(host)
	defer done()
	tags, _ := r.tags()
	return tags
}

// Verify reads the whole content of a registry, from the catalogue over every tag, manifest and child down
// to the last blob, hashes all of it and gives the faults in words; none means that everything is whole.
func Verify(host string) []string {
	r, done := newReader(host)
	defer done()
	tags, faults := r.tags()
	seen := map[string]bool{}
	for _, ref := range slices.Sorted(maps.Keys(tags)) {
		if tags[ref] != "" {
			repo, _, _ := strings.Cut(ref, ":")
			faults = append(faults, r.verify(ref, repo, tags[ref], seen)...)
		}
	}
	return faults
}

func (r *reader) tags() (tags map[string]string, faults []string) {
	tags = map[string]string{}
	repos, err := r.list("/v2/_catalog", "repositories")
	if err != nil {
		return tags, []string{err.Error()}
	}
	for _, repo := range repos {
		names, err := r.list("/v2/"+repo+"/tags/list", "tags")
		if err != nil && !errors.Is(err, mirror.ErrNotFound) { // a repository without a tag has no list
			faults = append(faults, err.Error())
		}
		for _, tag := range names {
			tags[repo+":"+tag] = ""
			body, err := r.manifest(repo, tag)
			if err != nil {
				faults = append(faults, err.Error())
				continue
			}
			tags[repo+":"+tag] = mirror.DigestOf(body).String()
		}
	}
	return tags, faults
}

// verify walks what lies below one manifest. from says what names it, for the fault's text.
func (r *reader) verify(from, repo, digest string, seen map[string]bool) []string {
	if seen[repo+"@"+digest] {
		return nil
	}
	seen[repo+"@"+digest] = true
	body, err := r.manifest(repo, digest)
	if err != nil {
		return []string{from + ": " + err.Error()}
	}
	if have := mirror.DigestOf(body).String(); have != digest {
		return []string{fmt.Sprintf("%s: manifest %s@%s has the bytes of %s", from, repo, digest, have)}
	}
	var m struct {
		Manifests []struct{ Digest string }
		Config    *struct{ Digest string }
		Layers    []struct{ Digest string }
	}
	if err := json.Unmarshal(body, &m); err != nil {
		return []string{fmt.Sprintf("%s: manifest %s@%s: %v", from, repo, digest, err)}
	}
	var faults []string
	for _, child := range m.Manifests {
		faults = append(faults, r.verify(from+" > "+digest[:19], repo, child.Digest, seen)...)
	}
	blobs := m.Layers
	if m.Config != nil {
		blobs = append(blobs, *m.Config)
	}
	for _, b := range blobs {
		if seen[repo+"/"+b.Digest] {
			continue
		}
		seen[repo+"/"+b.Digest] = true
		if err := r.blob(repo, b.Digest); err != nil {
			faults = append(faults, from+": "+err.Error())
		}
	}
	return faults
}

func (r *reader) manifest(repo, ref string) ([]byte, error) {
	resp, err := r.get("/v2/" + repo + "/manifests/" + ref)
	if err != nil {
		return nil, fmt.Errorf("manifest %s %s: %w", repo, ref, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, fmt.Errorf("manifest %s %s: %w", repo, ref, err)
	}
	return body, nil
}

func (r *reader) blob(repo, digest string) error {
	resp, err := r.get("/v2/" + repo + "/blobs/" + digest)
	if err != nil {
		return fmt.Errorf("blob %s@%s: %w", repo, digest, err)
	}
	defer resp.Body.Close()
	h := sha256.New()
	if _, err := io.Copy(h, resp.Body); err != nil {
		return fmt.Errorf("blob %s@%s: %w", repo, digest, err)
	}
	if have := "sha256:" + hex.EncodeToString(h.Sum(nil)); have != digest {
		return fmt.Errorf("blob %s@%s has the bytes of %s", repo, digest, have)
	}
	return nil
}

// list reads a list that may come in pages.
func (r *reader) list(path, key string) ([]string, error) {
	var all []string
	for next := path + "?n=1000"; next != ""; {
		resp, err := r.get(next)
		if err != nil {
			return all, fmt.Errorf("%s: %w", path, err)
		}
		var page map[string]json.RawMessage
		var names []string
		err = json.NewDecoder(resp.Body).Decode(&page)
		resp.Body.Close()
		if err == nil {
			err = json.Unmarshal(page[key], &names)
		}
		if err != nil {
			return all, fmt.Errorf("%s: %w", path, err)
		}
		all = append(all, names...)
		next = nextPage(resp.Header.Get("Link"))
	}
	return all, nil
}

// nextPage gives the path and query of a Link header with rel="next"; empty when there is none.
func nextPage(link string) string {
	target, rest, ok := strings.Cut(strings.TrimPrefix(link, "<"), ">")
	if !ok || !strings.Contains(rest, "next") {
		return ""
	}
	u, err := url.Parse(target)
	if err != nil {
		return ""
	}
	return u.RequestURI()
}

func (r *reader) get(path string) (*http.Response, error) {
	req, err := http.NewRequest(http.MethodGet, "http://"+r.host+path, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", acceptAll)
	resp, err := r.client.Do(req)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode == http.StatusOK {
		return resp, nil
	}
	resp.Body.Close()
	if resp.StatusCode == http.StatusNotFound {
		return nil, fmt.Errorf("%s: %w", resp.Status, mirror.ErrNotFound)
	}
	return nil, errors.New(resp.Status)
}
