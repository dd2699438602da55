package daemon

import (
	"fmt"
	"net"
	"strings"
	"testing"

	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/testenv"
)

// A site without a registry lets the daemon serve one: it is filled, and holds its content over a restart.
func TestEmbedded_ServesAndKeepsWhatWasMirrored(t *testing.T) {
	t.Parallel()
	s := webSite(t)
	free := must(net.Listen("tcp", "127.0.0.1:0"))(t)
	address := free.Addr().String()
	free.Close()
	before, after, _ := strings.Cut(s.config, "  local: {")
	_, after, _ = strings.Cut(after, "\n")
	s.config = before + fmt.Sprintf("  local: {prefix: mirror, embedded: {dir: %q, listen: %q}}\n", s.dir+"/embedded", address) + after
	for range 2 {
		if r := s.sync()["web"]; r.Plan.Count(mirror.Unchanged) != 1 {
			t.Fatalf("%+v", r.Plan.Actions)
		}
		d, err := testenv.TagDigest(address, "mirror/docker.io/library/web", "1")
		if err != nil || d == (mirror.Digest{}) {
			t.Errorf("the vendor's tag: %v", err)
		}
		if faults := testenv.Verify(address); len(faults) > 0 {
			t.Errorf("content: %v", faults)
		}
		s.close()
	}
}
