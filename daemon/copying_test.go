package daemon

import (
	"errors"
	"testing"

	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/sync/transfer"
)

func TestCopying_CountsEachBlobOnce(t *testing.T) {
	shared, own, lost := mirror.DigestOf([]byte("shared")), mirror.DigestOf([]byte("own")), mirror.DigestOf([]byte("signature"))
	app := mirror.Reference{Host: "up.example", Repository: "app", Tag: "1", Digest: mirror.DigestOf([]byte("app"))}
	web := mirror.Reference{Host: "up.example", Repository: "web", Tag: "1", Digest: mirror.DigestOf([]byte("web"))}
	c := newCopying()
	tell := func(kind transfer.EventKind, image mirror.Reference, d mirror.Digest, bytes int64, err error) {
		c.take(transfer.Event{Kind: kind, Image: image, To: image, Blob: d, Bytes: bytes, Err: err})
	}
	none := mirror.Digest{}
	tell(transfer.ImageWanted, app, none, 0, nil)
	tell(transfer.ImageWanted, web, none, 0, nil)
	tell(transfer.ImageStarted, app, none, 0, nil)
	tell(transfer.ImageStarted, web, none, 0, nil)
	for _, image := range []mirror.Reference{app, web} {
		tell(transfer.BlobNamed, image, shared, 100, nil)
		tell(transfer.BlobNamed, image, shared, 100, nil) // two manifests of an index name it
	}
	tell(transfer.BlobNamed, web, own, 40, nil)
	tell(transfer.BlobMoving, app, shared, 60, nil)
	tell(transfer.BlobMoving, app, shared, 20, nil) // a fault: begun anew
	tell(transfer.BlobMoving, app, lost, 7, nil)
	now := c.now()
	if now.Images != 2 || now.Total != 140 || now.Bytes != 20 || len(now.Active) != 2 || now.Active[1].Total != 140 || now.Active[0].Layers[0].State != BlobCopies {
		t.Errorf("under way: %+v", now)
	}
	tell(transfer.BlobCopied, app, shared, 100, nil)
	tell(transfer.BlobMounted, web, shared, 100, nil)
	tell(transfer.BlobFound, web, own, 40, nil)
	tell(transfer.ImageDone, app, none, 100, nil)
	tell(transfer.ImageDone, web, none, 0, errors.New("no room"))
	if now = c.now(); now.Done != 1 || now.Failed != 1 || now.Bytes != 140 || now.Here != 40 || len(now.Active) != 0 {
		t.Errorf("at the end: %+v", now)
	}
	tell(transfer.ImageWanted, app, none, 0, nil)
	if now = c.now(); now.Images != 1 || now.Total != 0 || now.Done != 0 {
		t.Errorf("after a rest: %+v", now)
	}
}
