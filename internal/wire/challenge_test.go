package wire

import (
	"net/http"
	"net/http/httptest"
	"testing"
)

func TestParseChallenges(t *testing.T) {
	bearer := challenge{scheme: "bearer", realm: "https://a.example/token", service: "reg", scope: "repository:x:pull,push"}
	for name, tc := range map[string]struct {
		headers []string
		want    challenge
		ok      bool
	}{
		"bearer":             {[]string{`Bearer realm="https://a.example/token",service="reg",scope="repository:x:pull,push"`}, bearer, true},
		"spaces, any case":   {[]string{`bearer  Realm = "https://a.example/token" , SERVICE=reg, scope="repository:x:pull,push" , error="x"`}, bearer, true},
		"basic then bearer":  {[]string{`Basic realm="x"`, `Bearer realm="https://a.example/token",service="reg",scope="repository:x:pull,push"`}, bearer, true},
		"both in one header": {[]string{`Basic realm="a, b", Bearer realm="https://a.example/token",service="reg",scope="repository:x:pull,push"`}, bearer, true},
		"escaped quote":      {[]string{`Basic realm="a\"b"`}, challenge{scheme: "basic", realm: `a"b`}, true},
		"basic without any":  {[]string{`Basic`}, challenge{scheme: "basic"}, true},
		"unknown scheme":     {[]string{`Negotiate abc=`}, challenge{}, false},
		"bearer, no realm":   {[]string{`Bearer service="x"`}, challenge{}, false},
		"no header":          {nil, challenge{}, false},
		"rubbish":            {[]string{`="x", ,,`, `Bearer realm="no end`}, challenge{}, false},
	} {
		t.Run(name, func(t *testing.T) {
			got, ok := parseChallenges(http.Header{"Www-Authenticate": tc.headers})
			if got != tc.want || ok != tc.ok {
				t.Errorf("got %+v %v, want %+v %v", got, ok, tc.want, tc.ok)
			}
		})
	}
}

func FuzzParseChallenges(f *testing.F) {
	f.Add(`Bearer realm="https://a.example/token",service="reg"`)
	f.Add(`Basic realm="a\"b", x=y`)
	f.Fuzz(func(t *testing.T, s string) {
		c, ok := parseChallenges(http.Header{"Www-Authenticate": {s}})
		if ok && c.scheme != "basic" && c.scheme != "bearer" {
			t.Errorf("scheme %q", c.scheme)
		}
	})
}

func TestAccessOf(t *testing.T) {
	for target, want := range map[string]access{
		"GET /v2/":                                          {"pull", "", ""},
		"HEAD /v2/a/b/manifests/v1":                         {"pull", "a/b", ""},
		"GET /cache/v2/a/tags/list":                         {"pull", "a", ""},
		"PUT /v2/a/blobs/uploads/6f":                        {"push", "a", ""},
		"POST /v2/a/blobs/uploads/?mount=sha256:1&from=b/c": {"mount", "a", "b/c"},
		"GET /team/app.git/info/refs":                       {"pull", "", ""},
	} {
		method, path := target[:4], target[4:]
		if target[3] == ' ' {
			method = target[:3]
		} else {
			path = target[5:]
		}
		if got := accessOf(httptest.NewRequest(method, path, nil)); got != want {
			t.Errorf("%s: got %+v, want %+v", target, got, want)
		}
	}
}

func TestChallenge_Adapt(t *testing.T) {
	learned := access{"mount", "a", "b"}
	c := challenge{scheme: "bearer", scope: "repository:a:pull,push repository:b:pull"}
	got, ok := c.adapt(learned, access{"mount", "x/y", "z"})
	if want := "repository:x/y:pull,push repository:z:pull"; !ok || got.scope != want {
		t.Errorf("got %q %v, want %q", got.scope, ok, want)
	}
	for _, odd := range []string{"", "registry:catalog:*", "repository:other:pull", "nonsense"} {
		if got, ok := (challenge{scheme: "bearer", scope: odd}).adapt(learned, access{"mount", "x", "z"}); ok {
			t.Errorf("scope %q was taken for %q", odd, got.scope)
		}
	}
}
