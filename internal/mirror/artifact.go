package mirror

// Artifact is content that was made here, such as a chart of the fleet repository that is packed as an OCI artifact. The
// same input gives the same bytes.
type Artifact struct {
	Image    Reference // the reference under which it is known as an upstream, with digest
	Manifest Manifest
	Blobs    map[Digest][]byte
}
