package daemon

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"strings"
	"syscall"
	"time"

	"github.com/poundlock/poundlock/internal/elastic"
	"github.com/poundlock/poundlock/internal/mirror"
)

// packageOrigin is where the two files of a package are read from.
type packageOrigin interface {
	// signature reads the detached signature; nil where there is none.
	signature(ctx context.Context) ([]byte, error)
	// stat says what is known of the zip without its bytes.
	stat(ctx context.Context) (zipMark, error)
	// open streams the zip from a byte on, where it is still the one that the mark is of; else from its start. It says
	// where the stream begins, and what is known of the zip.
	open(ctx context.Context, from int64, mark partMark) (body io.ReadCloser, at int64, now zipMark, err error)
}

const (
	packageWithin = 2 * time.Hour // for one package; what came until then is gone on with
	fetchReceives = 12            // streams of one package, before the next try has to wait
	fetchStands   = 3             // of those, how many in a row may bring nothing
)

// origin gives where a package is read from, as its address says.
func (p *packages) origin(at mirror.PackageAt) (packageOrigin, error) {
	if name, ok := strings.CutPrefix(at.Zip, "drop:"); ok {
		return p.dropped(name, at)
	}
	if name, ok := strings.CutPrefix(at.Zip, "oci:"); ok {
		return p.inRegistry(name)
	}
	if u, err := url.Parse(at.Zip); err != nil || u.Scheme != "https" && u.Scheme != "http" {
		return nil, fmt.Errorf("package %s: nobody knows how to fetch from there", at.Package) // the address may hold a secret
	}
	return packageWeb{p.line.web, at}, nil
}

// fetch does a job: it compares, where that is enough, else it brings the package into the spool. changed says whether the
// sets have a reason to look again.
func (p *packages) fetch(ctx context.Context, job *packageJob) (changed bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, packageWithin)
	defer cancel()
	from, err := p.origin(job.at)
	if err != nil {
		return true, err
	}
	known, is := p.known.get(job.key)
	if job.compare && is && known.Refused == nil {
		same, mark, err := p.same(ctx, from, job, known)
		if err != nil {
			return false, fmt.Errorf("compare package %s with what upstream has: %w", job.at.Package, err)
		}
		if same {
			at, over := p.line.now().UTC(), p.over(job.key, known.Manifest)
			return p.doubts(job.key), p.known.update(map[string]knownChange{job.key: func(now *knownPackage) bool {
				if now.Manifest != known.Manifest {
					return false // it was compared with something else
				}
				now.Print, now.At, now.Zip, now.Over = job.at.Print, at, mark, over
				return true
			}})
		}
	}
	if err = p.bring(ctx, from, job, known); err != nil {
		err = fmt.Errorf("fetch package %s: %w", job.at.Package, p.told(err))
	}
	return true, err
}

// same says whether a package has the bytes that are known, as far as that can be seen without them. A signature is over
// the bytes of the zip: where it is the same, they are.
func (p *packages) same(ctx context.Context, from packageOrigin, job *packageJob, known knownPackage) (bool, zipMark, error) {
	was := known.Zip
	if was.Unknown {
		layers, err := p.layers(ctx, job.image, known)
		if err != nil {
			return false, zipMark{}, nil // what stands cannot be read: its bytes are fetched
		}
		was = zipMark{Size: layers.Zip.Size, Signature: layers.Signature.Digest}
	}
	signature, err := from.signature(ctx)
	if err != nil {
		return false, zipMark{}, err
	}
	now, err := from.stat(ctx)
	if err != nil {
		return false, zipMark{}, err
	}
	if now.Signature = signatureDigest(signature); now.Size == 0 {
		now.Size = was.Size
	}
	switch {
	case now.Signature != was.Signature, was.Size > 0 && now.Size != was.Size:
		return false, now, nil
	case signature != nil:
		return true, now, nil
	case was.ETag != "" && now.ETag != "":
		return was.ETag == now.ETag, now, nil
	}
	return was.Modified != "" && was.Modified == now.Modified, now, nil
}

func signatureDigest(signature []byte) mirror.Digest {
	if signature == nil {
		return mirror.Digest{}
	}
	return mirror.DigestOf(signature)
}

// layers reads what the artifact of a package says of its parts, where the local registry holds it.
func (p *packages) layers(ctx context.Context, image mirror.Reference, known knownPackage) (elastic.Layers, error) {
	m, err := p.line.origins().Manifest(ctx, image, known.Manifest)
	if err != nil {
		return elastic.Layers{}, err
	}
	return elastic.Open(m)
}

// bring fetches zip and signature, checks the package and leaves it in the spool. A package that is not acceptable is
// remembered as such, which is no error: fetching it again would not help.
func (p *packages) bring(ctx context.Context, from packageOrigin, job *packageJob, known knownPackage) (err error) {
	t, err := p.spool.begin(job.key)
	if err != nil {
		return err
	}
	kept := false
	defer func() {
		switch {
		case kept:
		case err == nil || errors.Is(err, syscall.ENOSPC) || errors.Is(err, mirror.ErrNotFound):
			t.abandon() // also where the disk is full: the room is needed
		default:
			t.rest()
		}
	}()
	known.Print, known.At, known.Refused = job.at.Print, p.line.now().UTC(), nil
	bad := p.download(ctx, from, t, job.at)
	var signature []byte
	if bad == nil {
		// After the zip: where upstream changes both meanwhile, it is the next comparison that sees it.
		if signature, err = from.signature(ctx); err != nil {
			return fmt.Errorf("signature: %w", err)
		}
	}
	known.Zip = t.mark.zipMark
	known.Zip.Size, known.Zip.Signature = t.got, signatureDigest(signature)
	var facts elastic.Facts
	if bad == nil {
		facts, bad = elastic.Check(t.file, t.got, job.at.Package)
	}
	if problem := (mirror.Problem{}); errors.As(bad, &problem) {
		p.line.log.Warn("package refused", keyRef, job.image.String(), keyError, problem)
		return p.known.update(map[string]knownChange{job.key: func(now *knownPackage) bool {
			now.Print, now.At, now.Zip, now.Refused = known.Print, known.At, known.Zip, &problem
			return true
		}})
	}
	if bad != nil {
		return bad
	}
	zip := mirror.Descriptor{MediaType: mirror.NewMediaType(mirror.PackageZip), Digest: t.digest(), Size: t.got}
	artifact := elastic.Pack(mirror.Reference{Host: job.image.Host, Repository: job.image.Repository}, zip, signature, facts)
	known.Manifest = artifact.Manifest.Descriptor.Digest
	known.Over = p.over(job.key, known.Manifest)
	known.Stored = ""
	if err := t.keep(artifact, spooled{Key: job.key, Image: artifact.Image, Known: known}); err != nil {
		return err
	}
	kept = true
	if err := p.line.state.ReadFacts(known.Manifest); err != nil {
		return err
	}
	return p.known.set(map[string]knownPackage{job.key: known})
}

// download brings all bytes of a zip into a part. A stream that breaks is gone on with.
func (p *packages) download(ctx context.Context, from packageOrigin, t *part, at mirror.PackageAt) error {
	stands := 0
	for n := 1; ; n++ {
		before := t.got
		full, err := p.receive(ctx, from, t, at)
		if full > 0 {
			if err := t.waits(ctx, full); err != nil {
				return err
			}
			n--
			continue
		}
		if stands++; t.got > before {
			stands = 0
		}
		if err == nil || sameAgain(err) || ctx.Err() != nil || n >= fetchReceives || stands >= fetchStands {
			return err
		}
	}
}

// sameAgain says of an error that another stream would end in it, too.
func sameAgain(err error) bool {
	var refused mirror.Problem
	return errors.As(err, &refused) || errors.Is(err, mirror.ErrNotFound) || errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) ||
		errors.Is(err, fs.ErrNotExist) || errors.Is(err, errAnswer)
}

// receive takes in one stream. full is how much room the package needs, where the spool has none now.
func (p *packages) receive(ctx context.Context, from packageOrigin, t *part, at mirror.PackageAt) (full int64, err error) {
	body, start, mark, err := from.open(ctx, t.got, t.mark)
	if err != nil {
		return 0, err
	}
	defer body.Close()
	if start != t.got {
		if err := t.reset(); err != nil {
			return 0, err
		}
	}
	if start > 0 {
		mark = t.mark.zipMark
	}
	room := min(elastic.MaxZip, p.spool.limit)
	switch {
	case mark.Size > elastic.MaxZip:
		return 0, tooLarge(at, mark.Size)
	case mark.Size > p.spool.limit:
		return 0, p.largerThanSpool(at, mark.Size)
	case mark.Size > 0:
		room = mark.Size
	}
	if !t.takes(room) {
		return room, nil
	}
	if start == 0 {
		if err := t.expect(partMark{mark, at.Zip}); err != nil {
			return 0, err
		}
	}
	_, err = io.Copy(countedPart{t, p}, io.LimitReader(body, room+1-t.got))
	switch {
	case err != nil && sameAgain(err):
		return 0, err // the disk
	case err != nil:
		return 0, fmt.Errorf("the stream broke off after %d bytes: %v", t.got, err)
	case t.got > elastic.MaxZip:
		return 0, tooLarge(at, t.got)
	case t.got > p.spool.limit:
		return 0, p.largerThanSpool(at, t.got)
	case mark.Size > 0 && t.got > mark.Size:
		return 0, errors.Join(t.reset(), fmt.Errorf("more than the %d bytes that were told: %w", mark.Size, errAnswer))
	case mark.Size > 0 && t.got < mark.Size:
		return 0, fmt.Errorf("the stream ended after %d of %d bytes", t.got, mark.Size)
	}
	return 0, nil
}

// countedPart is a part whose bytes are counted.
type countedPart struct {
	*part
	packages *packages
}

// Write counts and takes in.
func (c countedPart) Write(b []byte) (int, error) {
	n, err := c.part.Write(b)
	c.packages.mu.Lock()
	c.packages.moved.Bytes += int64(n)
	c.packages.mu.Unlock()
	c.packages.line.metrics.fetched.Add(float64(n))
	c.packages.line.stir()
	return n, err
}

// errAnswer is in the chain of an answer that would be the same again.
var errAnswer = errors.New("not what was asked for")

func tooLarge(at mirror.PackageAt, size int64) error {
	return mirror.Problem{Code: "PKG020", What: fmt.Sprintf("the zip of %s has %d MiB or more, which is larger than a package may be (%d MiB)", at.Package, size>>20, int64(elastic.MaxZip)>>20),
		Fix: "ask whoever made it for a smaller one, or leave it out with exclude"}
}

func (p *packages) largerThanSpool(at mirror.PackageAt, size int64) error {
	return mirror.Problem{Code: "PKG021", What: fmt.Sprintf("the zip of %s has %d MiB or more, and packages.spoolLimit allows %d MiB", at.Package, size>>20, p.spool.limit>>20),
		Where: p.line.config.PlaceOf("packages.spoolLimit"), Fix: "set packages.spoolLimit to more than the largest package has"}
}

// told gives what is in the way in words that help, where it is the disk.
func (p *packages) told(err error) error {
	if trouble := diskTrouble(p.spool.dir, err); trouble != nil {
		trouble.Problem.Code, trouble.Problem.Fix = "PKG022", "free space there, or set packages.spoolLimit to less than there is; what is fetched is tried again by itself"
		return trouble
	}
	return err
}
