package config

import (
	"strings"
	"testing"
)

func TestForge_WhatIsWrongIsToldAtItsKey(t *testing.T) {
	head := func(git string) string {
		return "version: 1\nsite: demo\ngit: {url: " + git + "}\nregistries: {local: {host: localhost:5000}}\n"
	}
	const fleet = "https://git.example/platform/fleet.git"
	for _, tt := range []struct {
		name, git, forge, want string // code and key; "" for fine
	}{
		{"left out", fleet, ``, ""},
		{"none", fleet, `{kind: none}`, ""},
		{"a token", fleet, `{kind: gitea, token: {file: /t}}`, ""},
		{"by ssh", "git@git.example:platform/fleet.git", `{kind: gitlab, token: {file: /t}}`, ""},
		{"an app", fleet, `{kind: github, app: {id: 1, key: {file: /k}}}`, ""},
		{"a group in a group", "https://git.example/a/b/c.git", `{kind: gitlab, token: {file: /t}}`, ""},
		{"unknown", fleet, `{kind: gitee, token: {file: /t}}`, "CFG070 forge.kind"},
		{"a folder", "/srv/fleet.git", `{kind: gitea, token: {file: /t}}`, "CFG071 forge.url"},
		{"no address", fleet, `{kind: gitea, url: git.example, token: {file: /t}}`, "CFG071 forge.url"},
		{"a password in it", fleet, `{kind: gitea, url: "https://a:canary@git.example", token: {file: /t}}`, "CFG071 forge.url"},
		{"plain http", fleet, `{kind: gitea, url: "http://git.example", token: {file: /t}}`, "CFG009 forge.url"},
		{"plain http, meant", fleet, `{kind: gitea, url: "http://git.example", insecure: true, token: {file: /t}}`, ""},
		{"no owner", "https://git.example/fleet.git", `{kind: gitea, token: {file: /t}}`, "CFG072 forge.repository"},
		{"three parts", fleet, `{kind: github, repository: a/b/c, token: {file: /t}}`, "CFG072 forge.repository"},
		{"out of it", fleet, `{kind: gitlab, repository: a/../c, token: {file: /t}}`, "CFG072 forge.repository"},
		{"no credential", fleet, `{kind: gitea}`, "CFG001 forge.token"},
		{"two credentials", fleet, `{kind: github, token: {file: /t}, app: {id: 1, key: {file: /k}}}`, "CFG073 forge.token"},
		{"an app elsewhere", fleet, `{kind: gitea, app: {id: 1, key: {file: /k}}}`, "CFG073 forge.app"},
		{"an app without a number", fleet, `{kind: github, app: {key: {file: /k}}}`, "CFG075 forge.app.id"},
		{"an app without a key", fleet, `{kind: github, app: {id: 1}}`, "CFG001 forge.app.key"},
		{"an installation below zero", fleet, `{kind: github, app: {id: 1, installation: -1, key: {file: /k}}}`, "CFG075 forge.app.installation"},
		{"a kind forgotten", fleet, `{token: {file: /t}}`, "CFG074 forge.token"},
		{"an address without a forge", fleet, `{kind: none, url: "https://git.example"}`, "CFG074 forge.url"},
		{"asked at once again", fleet, `{kind: gitea, poll: 1ms, token: {file: /t}}`, "CFG006 forge.poll"},
		{"never asked", fleet, `{kind: gitea, poll: 0s, token: {file: /t}}`, "CFG006 forge.poll"},
		{"half a certificate", fleet, `{kind: gitea, tls: {certFile: /c}, token: {file: /t}}`, "CFG001 forge.tls.keyFile"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			text := head(tt.git)
			if strings.HasPrefix(tt.git, "git@") {
				text = strings.Replace(text, "}\n", ", auth: {sshKey: {file: /k}, knownHosts: /h}}\n", 1)
			}
			if tt.forge != "" {
				text += "forge: " + tt.forge + "\n"
			}
			_, err := loaded(t, text, nil, nil)
			code, key, _ := strings.Cut(tt.want, " ")
			switch {
			case tt.want == "" && err != nil:
				t.Errorf("got %v, want none", err)
			case tt.want != "" && (err == nil || !strings.Contains(err.Error(), "error["+code+"]") || !strings.Contains(err.Error(), key)):
				t.Errorf("got %v, want %s", err, tt.want)
			case err != nil && (strings.Count(err.Error(), "error[") != 1 || strings.Contains(err.Error(), "canary")):
				t.Errorf("got %v, want one problem and no secret", err)
			}
		})
	}
}

func TestForgePlace_ComesFromTheAddressOfGit(t *testing.T) {
	for _, tt := range []struct{ git, kind, url, repository, wantURL, want string }{
		{"https://git.example/platform/fleet.git", "gitea", "", "", "https://git.example", "platform/fleet"},
		{"https://git.example:8443/platform/fleet", "github", "", "", "https://git.example:8443", "platform/fleet"},
		{"http://127.0.0.1:3000/platform/fleet.git", "gitea", "", "", "http://127.0.0.1:3000", "platform/fleet"},
		{"https://host.example/gitea/platform/fleet.git", "gitea", "", "", "https://host.example/gitea", "platform/fleet"},
		{"https://host.example/gitea/platform/fleet.git", "gitea", "https://host.example/gitea/", "", "https://host.example/gitea", "platform/fleet"},
		{"https://host.example/gitlab/a/b/fleet.git", "gitlab", "https://host.example/gitlab", "", "https://host.example/gitlab", "a/b/fleet"},
		{"https://git.example/a/b/fleet.git", "gitlab", "", "", "https://git.example", "a/b/fleet"},
		{"ssh://git@git.example:2222/platform/fleet.git", "gitlab", "", "", "https://git.example", "platform/fleet"},
		{"git@github.com:platform/fleet.git", "github", "", "", "https://github.com", "platform/fleet"},
		{"git@github.com:platform/fleet.git", "github", "https://ghe.example", "other/name", "https://ghe.example", "other/name"},
		{"/srv/fleet.git", "gitea", "https://git.example", "a/b", "https://git.example", "a/b"},
		{"/srv/fleet.git", "gitea", "", "", "", ""},
	} {
		c := Config{Git: GitConfig{URL: tt.git}, Forge: ForgeConfig{Kind: tt.kind, URL: tt.url, Repository: tt.repository}}
		if url, repository := c.ForgePlace(); url != tt.wantURL || repository != tt.want {
			t.Errorf("%s: got %q, %q, want %q, %q", tt.git, url, repository, tt.wantURL, tt.want)
		}
	}
}
