package testenv

import (
	"bytes"
	"net/url"
	"path"
	"strings"
	"testing"
	"time"

	"github.com/sigstore/sigstore-go/pkg/tuf"
	"github.com/theupdateframework/go-tuf/v2/metadata"
)

func TestTUFRepository_IsReadByTheClient(t *testing.T) {
	for name, o := range map[string]TUFOptions{"consistent": {}, "plain": {Plain: true}, "expired": {Until: time.Date(2021, 1, 1, 0, 0, 0, 0, time.UTC)}} {
		t.Run(name, func(t *testing.T) {
			files, err := TUFRepository(map[string][]byte{"trusted_root.json": []byte("{}")}, o)
			if err != nil {
				t.Fatal(err)
			}
			client, err := tuf.New(&tuf.Options{Root: files["root.json"], RepositoryBaseURL: "https://tuf.example", Fetcher: folder(files),
				DisableLocalCache: true, DisableConsistentSnapshot: o.Plain})
			if name == "expired" {
				if err == nil {
					t.Error("expired metadata was accepted")
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got, err := client.GetTarget("trusted_root.json"); err != nil || !bytes.Equal(got, []byte("{}")) {
				t.Errorf("got %q, %v", got, err)
			}
		})
	}
}

// folder answers the TUF client from memory.
type folder map[string][]byte

func (f folder) DownloadFile(link string, _ int64, _ time.Duration) ([]byte, error) {
	u, err := url.Parse(link)
	if err != nil {
		return nil, err
	}
	body, ok := f[strings.TrimPrefix(path.Clean(u.Path), "/")]
	if !ok {
		return nil, &metadata.ErrDownloadHTTP{StatusCode: 404, URL: link}
	}
	return body, nil
}
