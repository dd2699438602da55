package testenv

import (
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"hash"
	"io"
	"net/http"
	"path"
	"strconv"
	"sync"

	"github.com/poundlock/poundlock/internal/mirror"
)

// Sink is a registry that hashes every blob it is sent and drops the bytes: the target for layers larger
// than a test wants on disk or in memory. It keeps manifests, and answers what a copy asks of its target;
// blobs cannot be read back. Serve it with NewServer.
type Sink struct {
	mu        sync.Mutex
	blobs     map[string]int64           // size by repository@digest
	manifests map[string]mirror.Manifest // by repository@digest and repository:tag
	uploads   map[string]*upload
}

type upload struct {
	hash hash.Hash
	size int64
}

// NewSink makes an empty one.
func NewSink() *Sink {
	return &Sink{blobs: map[string]int64{}, manifests: map[string]mirror.Manifest{}, uploads: map[string]*upload{}}
}

// Blobs gives the size in bytes of every blob that arrived whole, by repository@digest.
func (s *Sink) Blobs() map[string]int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := map[string]int64{}
	for k, v := range s.blobs {
		all[k] = v
	}
	return all
}

// ServeHTTP answers as a registry does.
func (s *Sink) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	repo, last := "", path.Base(r.URL.Path)
	if m := repositoryPath.FindStringSubmatch(r.URL.Path); m != nil {
		repo = m[1]
	}
	switch KindOf(r) {
	case Ping:
	case BlobHead:
		s.head(w, repo+"@"+last)
	case BlobMount:
		s.mount(w, repo, r.URL.Query().Get("from"), r.URL.Query().Get("mount"))
	case UploadPost:
		s.begin(w, repo)
	case UploadPatch, UploadPut:
		s.receive(w, r, repo, last)
	case UploadGet:
		s.progress(w, repo, last, http.StatusNoContent)
	case ManifestPut:
		s.put(w, r, repo, last)
	case ManifestHead, ManifestGet:
		s.manifest(w, r, repo, last)
	default:
		http.NotFound(w, r)
	}
}

func (s *Sink) head(w http.ResponseWriter, blob string) {
	s.mu.Lock()
	size, ok := s.blobs[blob]
	s.mu.Unlock()
	if !ok {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	w.Header().Set("Content-Length", strconv.FormatInt(size, 10))
}

func (s *Sink) mount(w http.ResponseWriter, repo, from, digest string) {
	s.mu.Lock()
	size, ok := s.blobs[from+"@"+digest]
	if ok {
		s.blobs[repo+"@"+digest] = size
	}
	s.mu.Unlock()
	if !ok {
		s.begin(w, repo)
		return
	}
	w.Header().Set("Location", "/v2/"+repo+"/blobs/"+digest)
	w.Header().Set("Docker-Content-Digest", digest)
	w.WriteHeader(http.StatusCreated)
}

func (s *Sink) begin(w http.ResponseWriter, repo string) {
	id := rand.Text()
	s.mu.Lock()
	s.uploads[id] = &upload{hash: sha256.New()}
	s.mu.Unlock()
	s.progress(w, repo, id, http.StatusAccepted)
}

func (s *Sink) progress(w http.ResponseWriter, repo, id string, status int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	u := s.uploads[id]
	if u == nil {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	w.Header().Set("Location", "/v2/"+repo+"/blobs/uploads/"+id)
	w.Header().Set("Range", fmt.Sprintf("0-%d", max(0, u.size-1)))
	w.WriteHeader(status)
}

// receive takes the body of a PATCH or PUT; a PUT ends the upload and is refused when the bytes are not
// those of the digest it names.
func (s *Sink) receive(w http.ResponseWriter, r *http.Request, repo, id string) {
	s.mu.Lock()
	u := s.uploads[id]
	s.mu.Unlock()
	if u == nil {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	n, err := io.Copy(u.hash, r.Body)
	s.mu.Lock()
	u.size += n
	s.mu.Unlock()
	if err != nil {
		return // the client is gone
	}
	if r.Method == http.MethodPatch {
		s.progress(w, repo, id, http.StatusAccepted)
		return
	}
	digest := r.URL.Query().Get("digest")
	if fmt.Sprintf("sha256:%x", u.hash.Sum(nil)) != digest {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	s.mu.Lock()
	s.blobs[repo+"@"+digest] = u.size
	delete(s.uploads, id)
	s.mu.Unlock()
	w.Header().Set("Location", "/v2/"+repo+"/blobs/"+digest)
	w.Header().Set("Docker-Content-Digest", digest)
	w.WriteHeader(http.StatusCreated)
}

func (s *Sink) put(w http.ResponseWriter, r *http.Request, repo, ref string) {
	body, err := io.ReadAll(io.LimitReader(r.Body, mirror.MaxManifest))
	if err != nil {
		return // the client is gone
	}
	m := mirror.NewManifest(r.Header.Get("Content-Type"), body)
	s.mu.Lock()
	s.manifests[repo+"@"+m.Descriptor.Digest.String()] = m
	s.manifests[repo+":"+ref] = m
	s.mu.Unlock()
	w.Header().Set("Location", "/v2/"+repo+"/manifests/"+ref)
	w.Header().Set("Docker-Content-Digest", m.Descriptor.Digest.String())
	w.WriteHeader(http.StatusCreated)
}

func (s *Sink) manifest(w http.ResponseWriter, r *http.Request, repo, ref string) {
	s.mu.Lock()
	m, ok := s.manifests[repo+"@"+ref]
	if !ok {
		m, ok = s.manifests[repo+":"+ref]
	}
	s.mu.Unlock()
	if !ok {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	w.Header().Set("Content-Type", string(m.Descriptor.MediaType))
	w.Header().Set("Content-Length", strconv.Itoa(len(m.Body)))
	w.Header().Set("Docker-Content-Digest", m.Descriptor.Digest.String())
	if r.Method == http.MethodGet {
		_, _ = w.Write(m.Body)
	}
}
