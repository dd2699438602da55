package cli

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// connects are the addresses that a traced process wanted to reach.
var connects = regexp.MustCompile(`(?m)(?:connect|sendto|sendmsg)\(.*sa_family=(AF_INET6?).*?(?:inet_addr|inet_pton)\((?:AF_INET6, )?"([^"]+)"`)

// TestAirGap_TheWholeLineReachesNothingThatIsNotConfigured looks from outside the process, so that no library
// can go round the one way out: every address that the kernel was asked for is on loopback, where the demo's
// registries and Git server are.
func TestAirGap_TheWholeLineReachesNothingThatIsNotConfigured(t *testing.T) {
	strace, err := exec.LookPath("strace")
	if err != nil {
		t.Skip("strace is not installed: who the process talks to cannot be seen from outside (.ci/run installs it)")
	}
	bin, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	trace := filepath.Join(t.TempDir(), "trace")
	demo := exec.CommandContext(t.Context(), strace, "-f", "-qq", "-e", "trace=connect,sendto,sendmsg", "-o", trace, filepath.Join(bin, "poundlock"), "demo", "--once")
	tmp, err := os.MkdirTemp("", "gap-") // short: a Unix socket is made below it
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(tmp)
	demo.Env = append(os.Environ(), "TMPDIR="+tmp)
	out, err := demo.CombinedOutput()
	if demo.ProcessState == nil || demo.ProcessState.ExitCode() != exitPartial {
		t.Fatalf("%v\n%s", err, out)
	}
	text, err := os.ReadFile(trace)
	if err != nil {
		t.Fatal(err)
	}
	all := connects.FindAllStringSubmatch(string(text), -1)
	for _, c := range all {
		if !strings.HasPrefix(c[2], "127.") && c[2] != "::1" {
			t.Errorf("the process wanted to reach %s: %s", c[2], c[0])
		}
	}
	if len(all) < 10 {
		t.Errorf("only %d connections were seen, so this test proves nothing:\n%.2000s", len(all), text)
	}
}
