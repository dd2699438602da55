package render

import (
	"bytes"
	"fmt"
	"slices"
)

// kustomizationFile makes the folder of a stage applyable as it is by kustomize, Flux and Argo CD.
const kustomizationFile = "kustomization.yaml"

func kustomization(resources []string) []byte {
	var b bytes.Buffer
	b.WriteString("apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nresources:\n")
	for _, r := range slices.Compact(slices.Sorted(slices.Values(resources))) {
		fmt.Fprintf(&b, "  - %s\n", r)
	}
	return b.Bytes()
}
