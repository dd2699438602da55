package testenv

import (
	"fmt"
	"strings"

	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/poundlock/poundlock/internal/mirror"
)

// essEntry is one line of an ESS release: the names are those of the vendor's component tree.
type essEntry struct {
	component, container string
	image                string // registry/repository
	tag, next            string // of the first and the second release; an empty next keeps the tag
	rebuilt              bool   // the second release has new content under the tag
	signed               bool   // the vendor signs it and names no digest; all others are pinned and not signed
	index                bool   // for two platforms
}

const (
	ems    = "gitlab-registry.matrix.org/ems-image-store/"
	hub    = "docker.io/"
	ghcr   = "ghcr.io/"
	noBody = "" // the vendor's skeletons name containers without a body
)

// essTree is the component tree of a release. The same image stands under several components, tags look
// like numbers, and one container has no body, all as in life.
var essTree = []essEntry{
	{component: "adminbot", container: "access_element_web", image: ems + "enterprise/access-token-elementweb", tag: "v1.11.45", next: "v1.11.58"},
	{component: "adminbot", container: "haproxy", image: hub + "library/haproxy", tag: "2.8-alpine", rebuilt: true, index: true},
	{component: "adminbot", container: "pipe", image: ems + "enterprise/pipe", tag: "2.7.0"},
	{component: "auditbot", container: "access_element_web", image: ems + "enterprise/access-token-elementweb", tag: "v1.11.45", next: "v1.11.58"},
	{component: "auditbot", container: "haproxy", image: hub + "library/haproxy", tag: "2.8-alpine", rebuilt: true, index: true},
	{component: "auditbot", container: "pipe", image: ems + "enterprise/pipe", tag: "2.7.0"},
	{component: "coturn", container: "coturn", image: hub + "coturn/coturn", tag: "4.6.2-alpine", index: true},
	{component: "element_call", container: "element_call", image: ghcr + "vector-im/element-call", tag: "v0.4.2"},
	{component: "element_call", container: "jwt", image: ghcr + "vector-im/lk-jwt-service", tag: "0.1.1"},
	{component: "element_call", container: "redis", image: hub + "library/redis", tag: "6.2.10", index: true},
	{component: "element_call", container: "sfu", image: hub + "livekit/livekit-server", tag: "v1.4.5", index: true},
	{component: "element_web", container: "element_web", image: hub + "vectorim/element-web", tag: "v1.11.45", next: "v1.11.58", signed: true, index: true},
	{component: "groupsync", container: "groupsync", image: ems + "enterprise/groupsync", tag: "0.13.6"},
	{component: "hookshot", container: "hookshot", image: hub + "halfshot/matrix-hookshot", tag: "4.4.1", next: "5.2.1"},
	{component: "integrator", container: "appstore", image: ems + "appstore", tag: "1.6.0"},
	{component: "integrator", container: "integrator", image: ems + "integrator", tag: "1.6.0"},
	{component: "integrator", container: "modular_widgets", image: ems + "modular-widgets", tag: "1.6.0"},
	{component: "kube_rbac_proxy", container: "kube_rbac_proxy", image: "quay.io/brancz/kube-rbac-proxy", tag: "v0.14.2", index: true},
	{component: "matrix_authentication_service", container: "init", image: hub + "library/busybox", tag: "1.36", index: true},
	{component: "matrix_authentication_service", container: "matrix_authentication_service", image: ghcr + "matrix-org/matrix-authentication-service", tag: "0.7.0", next: "0.9.0", signed: true},
	{component: "matrix_content_scanner", container: "clam_anti_virus", image: ghcr + "vector-im/docker-clamav", tag: "1.10"},
	{component: "matrix_content_scanner", container: "icap", image: ghcr + "vector-im/docker-icap", tag: "core-0.5.10-mod-0.5.5"},
	{component: "matrix_content_scanner", container: "matrix_content_scanner", image: hub + "vectorim/matrix-content-scanner", tag: "v1.0.3", signed: true},
	{component: "operator", container: "operator", image: ems + "standalone/elementdeployment-operator", tag: "2.17.1", next: "2.21.1"},
	{component: "postgres", container: "postgres", image: hub + "library/postgres", tag: "15.4", index: true},
	{component: "postgres", container: "postgres_exporter", image: "quay.io/prometheuscommunity/postgres-exporter", tag: "v0.14.0"},
	{component: "sliding_sync", container: "api", image: ghcr + "matrix-org/sliding-sync", tag: "v0.99.11", signed: true},
	{component: "sliding_sync", container: "poller", image: ghcr + "matrix-org/sliding-sync", tag: "v0.99.11", signed: true},
	{component: "sydent", container: "sydent", image: hub + "matrixdotorg/sydent", tag: "v2.5.6", signed: true},
	{component: "sygnal", container: "sygnal", image: hub + "matrixdotorg/sygnal", tag: "v0.12.0", signed: true},
	{component: "synapse", container: "haproxy", image: hub + "library/haproxy", tag: "2.8-alpine", rebuilt: true, index: true},
	{component: "synapse", container: "redis", image: hub + "library/redis", tag: "6.2.10", index: true},
	{component: "synapse", container: "synapse", image: hub + "matrixdotorg/synapse", tag: "v1.92.3", next: "v1.101.0", signed: true, index: true},
	{component: "synapse_admin", container: "synapse_admin", image: hub + "awesometechnologies/synapse-admin", tag: "0.8.7"},
	{component: "telegram_bridge", container: "telegram_bridge", image: ems + "telegram-bridge", tag: "0.14.2"},
	{component: "updater", container: "updater", image: ems + "standalone/element-updater", tag: "2.17.1", next: "2.21.1"},
	{component: "well_known_delegation", container: "well_known_delegation", image: hub + "library/nginx", tag: "1.25", index: true},
	{component: "whatsapp_bridge", container: "whatsapp_bridge", image: ems + "whatsapp-bridge", tag: "0.10.3"},
	{component: "xmpp_bridge", container: "xmpp_bridge", image: noBody},
}

// at gives the entry as a release has it, and the seed of its content; releases count from 1.
func (e essEntry) at(release int) (ref mirror.Reference, seed string) {
	tag, seed := e.tag, ""
	if release > 1 && e.next != "" {
		tag = e.next
	}
	ref = must(mirror.ParseReference(e.image + ":" + tag))
	if seed = ref.String(); release > 1 && e.rebuilt {
		seed += " rebuilt"
	}
	return ref, seed
}

// content makes what an entry points to. Images of one host share a base layer, as those of one vendor do.
func content(ref mirror.Reference, seed string, index bool) remote.Taggable {
	if index {
		return Index(seed)
	}
	return Image(seed, Layer{Seed: "base " + ref.Host, Size: 2 << 10}, Layer{Seed: seed})
}

// imagesDigests writes images_digests.yml as the vendor's installer ships it, with the digests by
// reference of those that are pinned.
func imagesDigests(release int, digests map[mirror.Reference]mirror.Digest) string {
	var b strings.Builder
	b.WriteString("images_digests:\n")
	component := ""
	for _, e := range essTree {
		if e.component != component {
			component = e.component
			fmt.Fprintf(&b, "  %s:\n", component)
		}
		fmt.Fprintf(&b, "    %s:\n", e.container)
		if e.image == noBody {
			continue
		}
		ref, _ := e.at(release)
		if !e.signed {
			fmt.Fprintf(&b, "      image_digest: %s\n", digests[ref])
		}
		fmt.Fprintf(&b, "      image_repository_path: %s\n      image_repository_server: %s\n      image_tag: %s\n", ref.Repository, ref.Host, vendorQuoted(ref.Tag))
	}
	return b.String()
}

// vendorQuoted quotes a tag like the vendor does: mostly where YAML would read a number, and not always.
func vendorQuoted(tag string) string {
	switch tag {
	case "1.36":
		return `"1.36"`
	case "1.25", "15.4":
		return "'" + tag + "'"
	}
	return tag
}
