package git

import (
	"bytes"
	"compress/zlib"
	"crypto/sha1"
	"encoding/binary"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/poundlock/poundlock/testenv"
)

func TestFetch_RefusesAnObjectTooLargeForMemory(t *testing.T) {
	g := fleet(t)
	ok := must(t)
	blob := ok(g.PutBlob(strings.Repeat("0", maxObject+1)))
	point(t, g, ok(g.PutTree(testenv.GitEntry{Mode: "100644", Name: "zeros", ID: blob})))
	r := open(t, options(t, g))
	if _, err := r.Fetch(t.Context()); err == nil || !strings.Contains(err.Error(), "larger than 64 MiB") || isTemporary(err) {
		t.Errorf("%v, want a lasting refusal", err)
	}
}

// A delta of some bytes may ask for an object of any size.
func TestCheckPack_RefusesADeltaBomb(t *testing.T) {
	var b bytes.Buffer
	b.WriteString("PACK\x00\x00\x00\x02\x00\x00\x00\x01")
	delta := []byte{1} // of a base of one byte
	delta = binary.AppendUvarint(delta, 4<<30)
	delta = append(delta, 0x80|0x01|0x10, 0, 1)
	b.WriteByte(0x70 | byte(len(delta))) // a delta by base id
	b.Write(bytes.Repeat([]byte{0xab}, 20))
	z := zlib.NewWriter(&b)
	z.Write(delta)
	z.Close()
	sum := sha1.Sum(b.Bytes())
	name := filepath.Join(t.TempDir(), "pack")
	if err := os.WriteFile(name, append(b.Bytes(), sum[:]...), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := checkPack(name); err == nil || !strings.Contains(err.Error(), "larger than") {
		t.Errorf("%v, want it refused", err)
	}
}

// spoilPack changes what the server sends as a pack.
type spoilPack struct {
	http.RoundTripper
	change func([]byte) []byte
}

func (s *spoilPack) RoundTrip(r *http.Request) (*http.Response, error) {
	res, err := s.RoundTripper.RoundTrip(r)
	if err != nil || s.change == nil || r.Method != http.MethodPost {
		return res, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	res.Body = io.NopCloser(bytes.NewReader(s.change(body)))
	return res, err
}

func TestFetch_NoticesASpoiltPack(t *testing.T) {
	g := fleet(t)
	head := write(t, g, map[string]string{"desired/a.yaml": strings.Repeat("some text ", 50)})
	o := options(t, g)
	spoilt := &spoilPack{RoundTripper: o.HTTP}
	o.HTTP = spoilt
	r := open(t, o)
	for name, change := range map[string]func([]byte) []byte{
		"no answer":    func([]byte) []byte { return nil },
		"header only":  func(b []byte) []byte { return b[:8] },
		"cut":          func(b []byte) []byte { return b[:len(b)-30] },
		"flipped":      func(b []byte) []byte { b[len(b)/2] ^= 1; return b },
		"checksum":     func(b []byte) []byte { b[len(b)-1] ^= 1; return b },
		"object count": func(b []byte) []byte { b[bytes.Index(b, []byte("PACK"))+8] = 0xff; return b },
		"a page":       func([]byte) []byte { return []byte("<html>log in</html>") },
	} {
		spoilt.change = change
		if _, err := r.Fetch(t.Context()); err == nil {
			t.Errorf("%s: not noticed", name)
		}
		if _, err := r.Files(head, "desired"); !errors.Is(err, ErrUnknownCommit) {
			t.Errorf("%s: something of it was taken: %v", name, err)
		}
	}
	spoilt.change = nil
	fetch(t, r)
	if _, err := r.Files(head, "desired"); err != nil {
		t.Error(err)
	}
}
