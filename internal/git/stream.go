package git

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"

	"github.com/go-git/go-git/v5/plumbing/format/pktline"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp/capability"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp/sideband"
	"github.com/go-git/go-git/v5/plumbing/transport"
)

// stream is a session with a git-upload-pack or git-receive-pack that runs at the other end of two pipes.
// It stands in for go-git's ssh and file transports, whose connecting no context can end.
type stream struct {
	in      io.WriteCloser
	out     io.Reader
	said    *said        // what the other end wrote to its standard error
	stop    func() error // ends the other end; called once
	adv     *packp.AdvRefs
	receive bool
	spoke   bool // a request was sent: no good-bye is due
	once    sync.Once
	err     error
}

func (s *stream) AdvertisedReferences() (*packp.AdvRefs, error) {
	return s.AdvertisedReferencesContext(context.Background())
}

func (s *stream) AdvertisedReferencesContext(context.Context) (*packp.AdvRefs, error) {
	if s.adv != nil {
		return s.adv, nil
	}
	adv := packp.NewAdvRefs()
	err := adv.Decode(&cappedBody{ReadCloser: io.NopCloser(s.out), left: maxListing})
	switch {
	case errors.Is(err, packp.ErrEmptyAdvRefs) || err == nil && adv.IsEmpty():
		if !s.receive {
			return nil, transport.ErrEmptyRemoteRepository
		}
	case errors.Is(err, packp.ErrEmptyInput):
		s.spoke = true
		s.Close()
		return nil, s.said.refusal()
	case err != nil:
		return nil, err
	}
	transport.FilterUnsupportedCapabilities(adv.Capabilities)
	s.adv = adv
	return adv, nil
}

func (s *stream) UploadPack(ctx context.Context, req *packp.UploadPackRequest) (*packp.UploadPackResponse, error) {
	if err := req.Validate(); err != nil {
		return nil, err
	}
	s.spoke = true
	w := bufio.NewWriter(s.in)
	if err := req.UploadRequest.Encode(w); err != nil {
		return nil, err
	}
	if err := req.UploadHaves.Encode(w, true); err != nil {
		return nil, err
	}
	if err := pktline.NewEncoder(w).EncodeString("done\n"); err != nil {
		return nil, err
	}
	if err := errors.Join(w.Flush(), s.in.Close()); err != nil {
		return nil, err
	}
	res := packp.NewUploadPackResponse(req)
	return res, res.Decode(struct {
		io.Reader
		io.Closer
	}{s.out, s})
}

func (s *stream) ReceivePack(ctx context.Context, req *packp.ReferenceUpdateRequest) (*packp.ReportStatus, error) {
	s.spoke = true
	if err := req.Encode(s.in); err != nil {
		return nil, err
	}
	if err := s.in.Close(); err != nil {
		return nil, err
	}
	if !req.Capabilities.Supports(capability.ReportStatus) {
		return nil, s.Close()
	}
	var r io.Reader = &cappedBody{ReadCloser: io.NopCloser(s.out), left: maxReport}
	if req.Capabilities.Supports(capability.Sideband64k) {
		r = sideband.NewDemuxer(sideband.Sideband64k, r)
	}
	report := packp.NewReportStatus()
	if err := report.Decode(r); err != nil {
		return nil, err
	}
	return report, report.Error()
}

// Close says good-bye where nothing was asked, and ends the other end.
func (s *stream) Close() error {
	s.once.Do(func() {
		if !s.spoke {
			_, _ = s.in.Write(pktline.FlushPkt)
		}
		_ = s.in.Close()
		s.err = s.stop()
	})
	return s.err
}

// said keeps the first bytes of a standard error; it may be written to while it is read.
type said struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (s *said) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.buf.Write(p[:min(len(p), max(0, 4096-s.buf.Len()))])
	return len(p), nil
}

func (s *said) refusal() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	text := s.buf.String()
	for _, missing := range []string{"not appear to be a git repository", "epository not found", "repository does not exist", "could not be found"} {
		if strings.Contains(text, missing) {
			return transport.ErrRepositoryNotFound
		}
	}
	if text == "" {
		return fmt.Errorf("the server ended the session: %w", io.ErrUnexpectedEOF)
	}
	return complaint(text)
}

// localDialer runs the git binary on a repository of this machine.
type localDialer struct{ path string }

func (d localDialer) upload(ctx context.Context) (transport.UploadPackSession, error) {
	return d.run(ctx, "upload-pack")
}

func (d localDialer) receive(ctx context.Context) (transport.ReceivePackSession, []string, error) {
	s, err := d.run(ctx, "receive-pack")
	return s, nil, err
}

func (d localDialer) run(ctx context.Context, service string) (*stream, error) {
	ctx, cancel := context.WithCancel(ctx)
	cmd := exec.CommandContext(ctx, "git", service, d.path)
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "GIT_") { // GIT_DIR and its like would point it elsewhere
			cmd.Env = append(cmd.Env, v)
		}
	}
	s := &stream{said: &said{}, receive: service == "receive-pack"}
	cmd.Stderr = s.said
	in, err := cmd.StdinPipe()
	if err != nil {
		cancel()
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		cancel()
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		cancel()
		return nil, permanentError("a local path as remote needs the git binary: " + err.Error())
	}
	s.in, s.out = in, out
	s.stop = func() error {
		defer cancel()
		_, _ = io.Copy(io.Discard, io.LimitReader(out, maxReport)) // let it end by itself
		_ = out.Close()
		var exit *exec.ExitError
		if err := cmd.Wait(); err != nil && !errors.As(err, &exit) {
			return err
		}
		return nil
	}
	return s, nil
}
