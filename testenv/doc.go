// Package testenv is the outside world for tests and for the demo, made of real parts: registries
// (distribution v3, in this process or in one that can be killed), Git servers, images and signatures; and forges over
// a Git server: one of ours that speaks the APIs of three kinds, and a real Gitea where there is one.
//
// It promises that everything listens on loopback at a free port, needs no root, no container and no
// network, and that what it starts ends with Close. Every server stands behind a wrapper that counts
// requests and bytes and can be told to break, so that a test breaks the real thing instead of replacing
// it. Images are a function of their seed: the same seed gives the same digest in every run. Only tests and
// the command demo import this package.
package testenv
