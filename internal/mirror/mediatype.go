package mirror

import "github.com/google/go-containerregistry/pkg/v1/types"

// NewMediaType gives s as the type that descriptors carry.
func NewMediaType(s string) types.MediaType { return types.MediaType(s) }

// IsIndex says whether the media type is an OCI index or a Docker manifest list.
func IsIndex(d Descriptor) bool { return d.MediaType.IsIndex() }
