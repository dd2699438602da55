package trust

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path"
	"strings"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"
	"github.com/theupdateframework/go-tuf/v2/metadata/config"
	"github.com/theupdateframework/go-tuf/v2/metadata/updater"
)

// The names inside a TUF repository, see https://theupdateframework.github.io/specification/latest/.
const (
	tufAnchor = "root.json"
	tufTarget = "trusted_root.json"
)

// ReadTUF reads the trusted root from a local copy of a TUF repository: its files by their path inside the folder,
// with the root.json that everything is verified from. Nothing is asked on the network and nothing is kept on disk.
// Metadata that has expired is an error that says since when: who mirrors a repository must mirror it again.
func ReadTUF(files map[string][]byte) (*Root, error) {
	anchor, ok := files[tufAnchor]
	if !ok {
		return nil, fmt.Errorf("the folder holds no %s", tufAnchor)
	}
	folder := &folder{files: files, read: tufAnchor}
	var body []byte
	err := guarded(func() (err error) {
		body, err = folder.target(anchor)
		return err
	})
	if errors.Is(err, &metadata.ErrExpiredMetadata{}) {
		return nil, fmt.Errorf("%s expired at %s: copy the repository again", folder.read, expiry(files[folder.read]))
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", folder.read, err)
	}
	r, err := ParseRoot(body)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", folder.read, err)
	}
	return r, nil
}

// folder hands files out as if it were the server of the repository.
type folder struct {
	files map[string][]byte
	read  string // last
}

const tufServer = "http://folder.invalid"

// target gives the trusted root once all metadata above it is verified.
func (f *folder) target(anchor []byte) ([]byte, error) {
	cfg, err := config.New(tufServer, anchor)
	if err != nil {
		return nil, err
	}
	cfg.Fetcher, cfg.DisableLocalCache = f, true
	cfg.LocalMetadataDir = os.DevNull // the library looks for old metadata even where it keeps none: below this there is nothing
	up, err := updater.New(cfg)
	if err != nil {
		return nil, err
	}
	if err := up.Refresh(); err != nil {
		return nil, err
	}
	info, err := up.GetTargetInfo(tufTarget)
	if err != nil {
		return nil, err
	}
	_, body, err := up.DownloadTarget(info, tufTarget, "")
	return body, err
}

// DownloadFile gives a file of the folder, for the library. A copy may have left the version or hash out of a file's
// name: the metadata says which it must be anyway. Only the versions of root.json follow upon each other by name.
func (f *folder) DownloadFile(address string, limit int64, _ time.Duration) ([]byte, error) {
	u, err := url.Parse(address)
	if err != nil {
		return nil, err
	}
	name := strings.TrimPrefix(u.Path, "/")
	body, ok := f.files[name]
	if _, plain, found := strings.Cut(path.Base(name), "."); !ok && found && plain != tufAnchor {
		name = path.Join(path.Dir(name), plain)
		body, ok = f.files[name]
	}
	if !ok {
		return nil, &metadata.ErrDownloadHTTP{StatusCode: http.StatusNotFound, URL: strings.TrimPrefix(u.Path, "/")}
	}
	f.read = name
	if int64(len(body)) > limit {
		return nil, &metadata.ErrDownloadLengthMismatch{Msg: fmt.Sprintf("%d bytes where at most %d are read", len(body), limit)}
	}
	return bytes.Clone(body), nil
}

// expiry says in words when metadata expired.
func expiry(body []byte) string {
	var m struct {
		Signed struct {
			Expires time.Time `json:"expires"`
		} `json:"signed"`
	}
	if json.Unmarshal(body, &m) != nil || m.Signed.Expires.IsZero() {
		return "an unknown time"
	}
	return m.Signed.Expires.UTC().Format(time.RFC3339)
}
