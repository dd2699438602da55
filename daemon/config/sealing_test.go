package config

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/poundlock/poundlock/internal/mirror"
)

func TestLoad_ChecksWhatConsumersGetAsASecret(t *testing.T) {
	const (
		key     = "age17yjsr0tqgaf6yp5yp4tq065arzqkpxk3vau6768fw6qy72yhtgkqa2d9xj"
		private = "AGE-SECRET-KEY-1K0Y69MXFP445STCXT0Y2UG5ZCW0EWDXL3ZPPC7ZQPEASAVCGQCEQEV4F8F"
		age     = "age: {recipients: [" + key + "], identity: {file: /run/i}}"
		login   = "credentials: {pull: {username: reader, password: {file: /run/r}}}"
	)
	for name, tt := range map[string]struct {
		secrets string
		want    []string // codes and paths
	}{
		"nothing":              {secrets: ""},
		"whole":                {secrets: login + ", " + age},
		"keys without a login": {secrets: age},
		"no user":              {secrets: "credentials: {pull: {password: {file: /run/r}}}, " + age, want: []string{"CFG001 secrets.credentials.pull.username"}},
		"no password":          {secrets: "credentials: {pull: {username: reader}}, " + age, want: []string{"CFG001 secrets.credentials.pull.password"}},
		"our own account":      {secrets: "credentials: {pull: {username: writer, password: {file: /run/r}}}, " + age, want: []string{"CFG121 secrets.credentials.pull.username"}},
		"our own password":     {secrets: "credentials: {pull: {username: reader, password: {file: /run/w}}}, " + age, want: []string{"CFG121 secrets.credentials.pull.password"}},
		"nobody to open it":    {secrets: login, want: []string{"CFG123 secrets.age.recipients"}},
		"no key of ours":       {secrets: login + ", age: {recipients: [" + key + "]}", want: []string{"CFG123 secrets.age.identity"}},
		"no public key":        {secrets: login + ", age: {recipients: [" + key + ", ssh-ed25519 AAAA], identity: {file: /run/i}}", want: []string{"CFG122 secrets.age.recipients"}},
		"a private key":        {secrets: login + ", age: {recipients: [" + private + "], identity: {file: /run/i}}", want: []string{"CFG122 secrets.age.recipients"}},
		"password in clear":    {secrets: "credentials: {pull: {username: reader, password: " + private + "}}, " + age, want: []string{"DOC012 secrets.credentials.pull.password"}},
	} {
		t.Run(name, func(t *testing.T) {
			text := strings.Replace(minimal, "  local: {", "  local: {auth: {username: writer, password: {file: /run/w}}, ", 1)
			if text == minimal {
				t.Fatal("the configuration of the test has another form now")
			}
			_, err := loaded(t, text+"secrets: {"+tt.secrets+"}\n", nil, nil)
			var problems mirror.Problems
			errors.As(err, &problems)
			var got []string
			for _, p := range problems {
				got = append(got, p.Code+" "+p.Path)
				if strings.Contains(p.Error(), private[15:30]) {
					t.Errorf("a private key is shown: %v", p)
				}
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("got %v, want %v: %v", got, tt.want, err)
			}
		})
	}
}
