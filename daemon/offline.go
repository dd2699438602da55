package daemon

import (
	"context"
	"net/http"
	"path/filepath"

	"github.com/poundlock/poundlock/internal/git"
	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/internal/wire"
)

// unreachable is the way out of a line that must ask nobody.
type unreachable struct{}

// RoundTrip refuses every request.
func (unreachable) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.Body != nil {
		req.Body.Close()
	}
	return nil, mirror.ErrOffline
}

// out gives the client for registries.
func (l *Line) out(w *wire.Wire) *http.Client {
	if l.offline {
		return &http.Client{Transport: unreachable{}}
	}
	return w.Client()
}

// content is where signatures are read; nil when nobody may be asked, so that only known verdicts count.
func (l *Line) content() mirror.Content {
	if l.offline {
		return nil
	}
	return l.evidence
}

// afresh is content without a memory, for where something that was read before proved to be gone.
func (l *Line) afresh() mirror.Content {
	if l.offline {
		return nil
	}
	return l.origins()
}

// takeClone copies the clone of the state directory for a line that only looks, so that nothing is fetched that
// is here. Without one, or when it changes meanwhile, it is cloned anew.
func (l *Line) takeClone(dir string) {
	if err := git.CopyClone(filepath.Join(l.config.StateDir, "git"), filepath.Join(dir, "git")); err != nil {
		l.log.Debug("the fleet repository is cloned anew", keyError, err)
	}
}

// asFetched reads the fleet repository as it was fetched last.
func (l *Line) asFetched(ctx context.Context) (*fleet, error) {
	head, err := l.git.Head()
	if err != nil {
		return nil, notRead()
	}
	trust, err := l.accepts(ctx, head)
	if err != nil {
		return nil, gitError(err)
	}
	if trust.refused != nil {
		return l.lastGood(nil, trust, readFloor(l.config))
	}
	inputs, err := l.git.Inputs(head)
	if err != nil {
		return nil, gitError(err)
	}
	f, err := l.read(nil, head, inputs, readFloor(l.config))
	if err != nil {
		return nil, err
	}
	return trust.of(f), nil
}

// unknown says of every change whose local tag nobody asked yet that it is not known whether it is one.
func unknown(p mirror.Plan, inv mirror.Inventory) mirror.Plan {
	for i, a := range p.Actions {
		if _, known := inv.Named(a.To); !known && (a.Kind == mirror.Copy || a.Kind == mirror.Tag) {
			p.Actions[i].Kind, p.Actions[i].Reason = mirror.Failed, mirror.Because(mirror.Offline, "%v: the local registry was not asked for it yet", mirror.ErrOffline)
		}
	}
	return p
}
