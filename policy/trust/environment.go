package trust

import (
	"os"
	"strconv"
	"strings"
)

// maxAttachment is the size in bytes above which the libraries themselves read no attachment.
const maxAttachment = 16 << 20

// ClearEnvironment removes the variables that would make the sigstore libraries trust or ask something
// else than the files of the fleet repository, and sets their own limit on attachments as a second fence.
// main calls it before anything else.
func ClearEnvironment() error {
	for _, entry := range os.Environ() {
		name, _, _ := strings.Cut(entry, "=")
		if !strings.HasPrefix(name, "SIGSTORE_") && !strings.HasPrefix(name, "TUF_") && !strings.HasPrefix(name, "COSIGN_") {
			continue
		}
		if err := os.Unsetenv(name); err != nil {
			return err
		}
	}
	return os.Setenv("COSIGN_MAX_ATTACHMENT_SIZE", strconv.Itoa(maxAttachment))
}
