// Package transfer brings verified content from where it is read into the local registry: blobs before
// their manifest, children before their index, signatures and other referrers last. Tags of stages are not
// its matter; promote moves them when transfer says that the content is whole.
//
// It promises that each unique blob crosses once however many images and repositories share it, that no
// byte touches the disk, that only a mirror.Verified is copied, and that what is there already is asked for
// and healed, never taken on trust. Policy, plans and Git are left to others.
package transfer
