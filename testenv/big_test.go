package testenv

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"net/http"
	"testing"
	"testing/iotest"
)

func TestBig_StreamsTheLayerItPromises(t *testing.T) {
	const size = 200_003 // several blocks and a broken one
	big := NewBig(size)
	s, err := NewServer(big)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	if d, err := TagDigest(s.Host(), BigRepository, BigTag); err != nil || d != big.Digest() {
		t.Errorf("TagDigest = %v, %v, want %v", d, err, big.Digest())
	}
	url := s.URL() + "/v2/" + BigRepository + "/blobs/" + big.layer.Digest.String()
	_, _, whole, err := get(t, request(t, http.MethodGet, url, nil))
	if sum := fmt.Sprintf("%x", sha256.Sum256(whole)); err != nil || len(whole) != size || sum != big.layer.Digest.Hex {
		t.Errorf("%d bytes of %s, %v", len(whole), sum, err)
	}
	rest := request(t, http.MethodGet, url, nil)
	rest.Header.Set("Range", "bytes=131077-")
	if status, _, got, err := get(t, rest); status != http.StatusPartialContent || err != nil || !bytes.Equal(got, whole[131077:]) {
		t.Errorf("range: %d, %d bytes, %v", status, len(got), err)
	}
	if err := iotest.TestReader(&stream{size: size}, whole); err != nil {
		t.Error(err)
	}
}

func TestSink_KeepsDigestsAndManifestsOnly(t *testing.T) {
	sink := NewSink()
	s, err := NewServer(sink)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	img := Image("app", Layer{Seed: "app", Size: 5000})
	d, err := Push(t.Context(), s.Host(), "library/app", "1.0", img)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := TagDigest(s.Host(), "library/app", "1.0"); err != nil || got != d {
		t.Errorf("TagDigest = %v, %v, want %v", got, err, d)
	}
	layer := must(must(img.Layers())[0].Digest())
	if size := sink.Blobs()["library/app@"+layer.String()]; size < 5000 {
		t.Errorf("blobs = %v", sink.Blobs())
	}
	mount := s.URL() + "/v2/library/other/blobs/uploads/?from=library/app&mount="
	if status, _, _, _ := get(t, request(t, http.MethodPost, mount+layer.String(), nil)); status != http.StatusCreated {
		t.Errorf("mount: %d", status)
	}
	status, h, _, _ := get(t, request(t, http.MethodPost, mount+d.String(), nil))
	if status != http.StatusAccepted {
		t.Errorf("mount of what is not there: %d", status)
	}
	wrong := request(t, http.MethodPut, s.URL()+h.Get("Location")+"?digest="+layer.String(), io.LimitReader(&stream{size: 9}, 9))
	if status, _, _, _ := get(t, wrong); status != http.StatusBadRequest {
		t.Errorf("wrong digest: %d", status)
	}
}
