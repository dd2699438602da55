package testenv

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/format/packfile"
	"github.com/go-git/go-git/v5/plumbing/format/pktline"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp/capability"
	"github.com/go-git/go-git/v5/plumbing/revlist"
	"github.com/go-git/go-git/v5/plumbing/storer"
)

const maxGitBody = 512 << 20 // bytes of one request, unpacked

// serve speaks smart HTTP, protocol version 0, which every client falls back to. go-git's own server
// transport is not used: it takes two pushes from one old head and loses the first, and knows nothing of
// commits that a client has and it has not.
func (g *Git) serve(w http.ResponseWriter, r *http.Request) {
	service, ok := strings.CutPrefix(r.URL.Path, gitPath+"/")
	body := io.Reader(http.MaxBytesReader(w, r.Body, maxGitBody))
	if r.Header.Get("Content-Encoding") == "gzip" {
		unzipped, err := gzip.NewReader(body)
		if err != nil {
			http.Error(w, "malformed gzip", http.StatusBadRequest)
			return
		}
		body = io.LimitReader(unzipped, maxGitBody)
	}
	w.Header().Set("Cache-Control", "no-cache")
	switch {
	case ok && service == "info/refs" && r.Method == http.MethodGet:
		g.advertise(w, r.URL.Query().Get("service"))
	case ok && service == "git-upload-pack" && r.Method == http.MethodPost:
		g.uploadPack(w, body)
	case ok && service == "git-receive-pack" && r.Method == http.MethodPost:
		g.receivePack(w, r, body)
	default:
		http.NotFound(w, r)
	}
}

func (g *Git) advertise(w http.ResponseWriter, service string) {
	adv := packp.NewAdvRefs()
	adv.Prefix = [][]byte{[]byte("# service=" + service), pktline.Flush}
	capabilities := []capability.Capability{capability.OFSDelta}
	switch service {
	case "git-upload-pack":
	case "git-receive-pack":
		capabilities = append(capabilities, capability.ReportStatus, capability.DeleteRefs, "no-thin")
	default:
		http.Error(w, "only smart HTTP is spoken here", http.StatusForbidden)
		return
	}
	for _, c := range capabilities {
		_ = adv.Capabilities.Set(c) // none of them takes a value
	}
	_ = adv.Capabilities.Set(capability.Agent, "poundlock-testenv")
	if err := g.list(adv, service == "git-upload-pack"); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/x-"+service+"-advertisement")
	_ = adv.Encode(w) // the client sees the end of the connection
}

func (g *Git) list(adv *packp.AdvRefs, head bool) error {
	refs, err := g.store().IterReferences()
	if err != nil {
		return err
	}
	err = refs.ForEach(func(ref *plumbing.Reference) error {
		if ref.Type() != plumbing.HashReference {
			return nil
		}
		return adv.AddReference(ref)
	})
	main := plumbing.NewBranchReferenceName(gitBranch)
	if at, ok := adv.References[main.String()]; ok && head {
		adv.Head = &at
		err = errors.Join(err, adv.AddReference(plumbing.NewSymbolicReference(plumbing.HEAD, main)))
	}
	return err
}

// uploadPack answers one request of a fetch. The conversation has no memory here: a request that does not
// end in "done" is a round in which the client tells what it has.
func (g *Git) uploadPack(w http.ResponseWriter, body io.Reader) {
	store := g.store()
	wants, common, done, err := readWants(store, body)
	w.Header().Set("Content-Type", "application/x-git-upload-pack-result")
	lines := pktline.NewEncoder(w)
	if err != nil {
		_ = lines.Encodef("ERR %v\n", err)
		return
	}
	// Without multi_ack a client that has not said done yet takes an ACK for the end of the negotiation, and the
	// answer after it for the pack.
	if done && len(common) > 0 {
		_ = lines.Encodef("ACK %s\n", common[0])
	} else {
		_ = lines.EncodeString("NAK\n")
	}
	if !done {
		return
	}
	have, err := revlist.Objects(store, common, nil)
	if err == nil {
		var objects []plumbing.Hash
		if objects, err = revlist.Objects(store, wants, have); err == nil {
			_, err = packfile.NewEncoder(w, store, false).Encode(objects, 0)
		}
	}
	if err != nil {
		panic(http.ErrAbortHandler) // the pack ends before its checksum, which the client notices
	}
}

// readWants reads which commits a client wants, which of those it has are known here, and whether it has
// said all.
func readWants(store storer.EncodedObjectStorer, body io.Reader) (wants, common []plumbing.Hash, done bool, err error) {
	lines := pktline.NewScanner(body)
	for lines.Scan() {
		verb, rest, _ := strings.Cut(strings.TrimSuffix(string(lines.Bytes()), "\n"), " ")
		id, _, _ := strings.Cut(rest, " ")
		hash := plumbing.NewHash(id)
		known := store.HasEncodedObject(hash) == nil
		switch verb {
		case "": // flush
		case "want":
			if !known {
				return nil, nil, false, fmt.Errorf("upload-pack: not our ref %s", hash)
			}
			wants = append(wants, hash)
		case "have":
			if known {
				common = append(common, hash)
			}
		case "done":
			done = true
		default:
			return nil, nil, false, errors.New("upload-pack: shallow clones are not served")
		}
	}
	if err := lines.Err(); err != nil {
		return nil, nil, false, err
	}
	if len(wants) == 0 {
		return nil, nil, false, errors.New("upload-pack: nothing wanted")
	}
	return wants, common, done, nil
}

// receivePack takes a push: the objects first, then each ref is compared with the old value that the
// client named, and moved, under one lock.
func (g *Git) receivePack(w http.ResponseWriter, r *http.Request, body io.Reader) {
	w.Header().Set("Content-Type", "application/x-git-receive-pack-result")
	all, err := io.ReadAll(body)
	if err != nil || bytes.Equal(all, pktline.FlushPkt) { // a flush alone asks whether pushing is allowed
		return
	}
	req := packp.NewReferenceUpdateRequest()
	if err := req.Decode(bytes.NewReader(all)); err != nil {
		http.Error(w, "malformed push", http.StatusBadRequest)
		return
	}
	report := packp.NewReportStatus()
	report.UnpackStatus = "ok"
	if err := g.unpack(req); err != nil {
		report.UnpackStatus = err.Error()
	}
	for _, c := range req.Commands {
		status := "ok"
		if report.UnpackStatus != "ok" {
			status = "unpacker error"
		} else if err := g.accept(r, c); err != nil {
			status = err.Error()
		}
		report.CommandStatuses = append(report.CommandStatuses, &packp.CommandStatus{ReferenceName: c.Name, Status: status})
	}
	if req.Capabilities.Supports(capability.ReportStatus) {
		_ = report.Encode(w) // a client that is gone asks again
	}
}

func (g *Git) unpack(req *packp.ReferenceUpdateRequest) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = errors.New("malformed pack")
		}
	}()
	if req.Packfile == nil {
		return nil
	}
	pack, err := io.ReadAll(req.Packfile)
	if err != nil || len(pack) == 0 { // a push that only deletes, or moves to what is here
		return err
	}
	if len(pack) > largePack {
		return packfile.UpdateObjectStorage(g.store(), bytes.NewReader(pack))
	}
	parser, err := packfile.NewParserWithStorage(packfile.NewScanner(bytes.NewReader(pack)), singly{g.store()})
	if err == nil {
		_, err = parser.Parse()
	}
	return err
}

// largePack is the size in bytes from which a push is kept as a pack. A pack per push would make a server
// that a daemon commits to for days slower and slower: each request reads the index of each pack.
const largePack = 1 << 20

// singly hides that a storage can take packs whole, so that it takes their objects one by one.
type singly struct{ storer.EncodedObjectStorer }

func (g *Git) accept(r *http.Request, c *packp.Command) error {
	if err := c.Name.Validate(); err != nil || !strings.HasPrefix(c.Name.String(), "refs/") {
		return errors.New("funny refname")
	}
	if !c.New.IsZero() && g.store().HasEncodedObject(c.New) != nil {
		return errors.New("missing necessary objects")
	}
	if g.guard != nil {
		if err := g.guard(r, c.Name); err != nil {
			return err
		}
	}
	err := g.move(c.Name, c.Old, c.New)
	if errors.Is(err, errMoved) {
		return errors.New("fetch first")
	}
	return err
}
