package daemon

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/poundlock/poundlock/testenv"
)

func TestChannels_WhatALineStoredIsServedWhileEverythingElseIsGone(t *testing.T) {
	s := newPackageSite(t, testenv.EPRPackage{Name: "nginx", Version: "1.20.0", Kibana: "^8.12.0"}, testenv.EPRPackage{Name: "system", Version: "2.0.0", Kibana: "^9.0.0"},
		testenv.EPRPackage{Name: "broken", Version: "1.0.0", SignsOther: true})
	s.config += "epr: {listen: \"127.0.0.1:0\"}\n"
	line := s.open()
	if _, err := s.trySync(); err != nil {
		t.Fatal(err)
	}
	if _, err := line.openOutlet(); err != nil {
		t.Fatal(err)
	}
	outlet := line.shared.outlet
	defer func() {
		if err := line.shared.closeOutlet(time.Second); err != nil {
			t.Error(err)
		}
	}()
	outlet.refresh(t.Context())
	s.epr.Close()
	s.git.Close()
	at := "http://" + outlet.addresses()["127.0.0.1:0"] + "/epr/elastic/snapshot"
	for path, want := range map[string]string{"/search": "nginx system", "/search?kibana.version=8.15.0": "nginx", "/search?kibana.version=9.1.0": "system"} {
		resp, err := http.Get(at + path)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || resp.StatusCode != http.StatusOK {
			t.Fatalf("%s: %d %v", path, resp.StatusCode, err)
		}
		for _, name := range []string{"nginx", "system", "broken"} {
			if has := strings.Contains(string(body), `"`+name+`"`); has != strings.Contains(want, name) {
				t.Errorf("%s: %s is there: %v, want %q", path, name, has, want)
			}
		}
	}
	resp, err := http.Get(at + "/epr/nginx/nginx-1.20.0.zip")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if zip, err := io.ReadAll(resp.Body); err != nil || string(zip) != string(s.epr.Zip("nginx-1.20.0")) {
		t.Errorf("the zip has other bytes than upstream: %d, %v", len(zip), err)
	}
}
