package daemon

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/poundlock/poundlock/daemon/config"
)

const unitFile = "../deploy/systemd/poundlock.service"

// The unit is one that systemd has nothing to say about, and its exposure is at most 2.0.
func TestSystemd_UnitIsCleanAndHardened(t *testing.T) {
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skip("systemd-analyze is not installed here; .ci/run installs it, so that this test runs before each merge")
	}
	text := string(must(os.ReadFile(unitFile))(t))
	self := must(os.Executable())(t)
	unit := filepath.Join(t.TempDir(), "poundlock.service")
	// It looks whether the program is there, which is not installed where tests run.
	changed := strings.Replace(text, "ExecStart=/usr/bin/poundlock", "ExecStart="+self, 1)
	if changed == text {
		t.Fatal("ExecStart is not what the test replaces")
	}
	if err := os.WriteFile(unit, []byte(changed), 0o644); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(analyze, "verify", "--man=no", unit).CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("verify: %v\n%s", err, out)
	}
	out, err := exec.Command(analyze, "security", "--no-pager", "--offline=true", "--threshold=20", unit).CombinedOutput()
	if err != nil {
		t.Errorf("security: %v\n%s", err, out)
	}
	t.Log(regexp.MustCompile(`Overall exposure.*`).FindString(string(out)))
}

// What the unit says of times fits what the daemon does by default.
func TestSystemd_UnitFitsTheDaemon(t *testing.T) {
	text := string(must(os.ReadFile(unitFile))(t))
	for _, line := range []string{"Type=notify", "NotifyAccess=main", "RestartPreventExitStatus=6", "Restart=on-failure", "ExecReload=/bin/kill -HUP $MAINPID"} {
		if !strings.Contains(text, "\n"+line+"\n") {
			t.Errorf("the unit lacks %s", line)
		}
	}
	if want := fmt.Sprintf("%d minutes", int(patience.Minutes())); !strings.Contains(text, want) {
		t.Errorf("beside WatchdogSec the unit does not say that progress is missed after %s", want)
	}
	// A command in a shell would look at another state directory than the service.
	if strings.Contains(text, "Environment=") || !strings.Contains(text, "stateDir: /var/lib/poundlock") {
		t.Error("the unit sets something that a shell does not have, or does not say what stateDir has to be")
	}
	seconds := func(key string) time.Duration {
		t.Helper()
		m := regexp.MustCompile(`(?m)^` + key + `=(.*)$`).FindStringSubmatch(text)
		if m == nil {
			t.Fatalf("the unit lacks %s", key)
		}
		return must(time.ParseDuration(m[1]))(t)
	}
	if stop := config.Default().Limits.Stop; seconds("TimeoutStopSec") <= stop {
		t.Errorf("TimeoutStopSec %s does not exceed limits.stop %s", seconds("TimeoutStopSec"), stop)
	}
	if half := seconds("WatchdogSec") / 2; half <= 2*answerWithin {
		t.Errorf("the watchdog is to be fed every %s, and an answer may take %s", half, answerWithin)
	}
}
