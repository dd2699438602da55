package sources

import (
	"strings"
	"testing"
)

// An index may write a key into the addresses of its charts: errors are shown, it is not.
func TestHelm_ErrorsDoNotShowTheAddressOfAnIndex(t *testing.T) {
	for _, address := range []string{"https://files.example.org/web.tgz?X-Signature=canary", "https://canary@files.example.org/web.tgz"} {
		shop := &shop{files: map[string][]byte{"https://charts.example.org/index.yaml": []byte("entries: {web: [{version: 1.0.0, urls: ['" + address + "'], digest: x}]}\n")}}
		_, err := shop.asked(t, `chart: web, repository: "https://charts.example.org", version: "~1"`)
		if err == nil || strings.Contains(err.Error(), "canary") || !strings.Contains(err.Error(), "files.example.org") {
			t.Errorf("%s: %v", address, err)
		}
	}
}
