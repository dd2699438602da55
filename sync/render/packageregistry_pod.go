package render

import (
	"maps"
	"slices"

	"github.com/poundlock/poundlock/internal/mirror"
)

const registryPort = 8080

// deployment gives the Deployment. The image is named by tag and digest, so a promotion is a change of the manifest, which
// rolls out by itself; a restart would be needed for a tag that moved. The server reads its packages once, when it
// starts: a changed config.yml changes the pods, too.
func (o packageRegistryOptions) deployment(image mirror.Reference, config []byte) []byte {
	object := objectOptions{Name: o.Name, Namespace: o.Namespace}
	pod := values{
		"containers":      []any{o.container(image)},
		"volumes":         o.volumes(),
		"securityContext": values{"runAsNonRoot": true, "runAsUser": 1000, "runAsGroup": 1000, "fsGroup": 1000, "seccompProfile": values{"type": "RuntimeDefault"}},

		"automountServiceAccountToken": false,
	}
	if o.PullSecret != nil {
		pod["imagePullSecrets"] = []any{values{"name": o.PullSecret.Name}}
	}
	return valuesYAML(values{"apiVersion": "apps/v1", "kind": "Deployment", "metadata": object.metadata(), "spec": values{
		"replicas": o.Replicas,
		"selector": values{"matchLabels": o.labels()},
		"template": values{
			"metadata": values{"labels": o.labels(), "annotations": values{"poundlock/config": mirror.DigestOf(config).Hex[:16]}},
			"spec":     pod,
		},
	}})
}

func (o packageRegistryOptions) labels() values { return values{"app.kubernetes.io/name": o.Name} }

func (o packageRegistryOptions) scheme() string {
	if o.TLSSecret != "" {
		return "HTTPS"
	}
	return "HTTP"
}

func (o packageRegistryOptions) container(image mirror.Reference) values {
	mounts := []any{
		values{"name": "config", "mountPath": "/package-registry/" + registryConfig, "subPath": registryConfig, "readOnly": true},
	}
	if o.TLSSecret != "" {
		mounts = append(mounts, values{"name": "tls", "mountPath": "/etc/package-registry/tls", "readOnly": true})
	}
	if o.Claim != "" {
		mounts = append(mounts, values{"name": "packages", "mountPath": claimPath, "readOnly": true})
	}
	health := values{"path": "/health", "port": "http", "scheme": o.scheme()}
	return values{
		"name":         "package-registry",
		"image":        image.String(),
		"env":          o.env(),
		"ports":        []any{values{"name": "http", "containerPort": registryPort}},
		"volumeMounts": mounts,
		// A whole production channel takes minutes to read before the server answers.
		"startupProbe":   values{"httpGet": health, "periodSeconds": 5, "failureThreshold": 240},
		"readinessProbe": values{"httpGet": health, "periodSeconds": 10},
		"livenessProbe":  values{"httpGet": health, "periodSeconds": 30, "failureThreshold": 5},
		"securityContext": values{"allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true,
			"capabilities": values{"drop": []any{"ALL"}}},
	}
}

func (o packageRegistryOptions) volumes() []any {
	all := []any{values{"name": "config", "configMap": values{"name": o.Name}}}
	if o.TLSSecret != "" {
		all = append(all, values{"name": "tls", "secret": values{"secretName": o.TLSSecret}})
	}
	if o.Claim != "" {
		all = append(all, values{"name": "packages", "persistentVolumeClaim": values{"claimName": o.Claim, "readOnly": true}})
	}
	return all
}

// env gives the settings of the server that are no part of config.yml: each is a flag in upper case behind EPR_.
func (o packageRegistryOptions) env() (all []any) {
	settings := map[string]string{"EPR_ADDRESS": "0.0.0.0:8080", "EPR_CONFIG": "/package-registry/" + registryConfig,
		"EPR_REQUIRE_PACKAGE_SIGNATURES": "true"}
	if !o.RequireSignatures {
		settings["EPR_REQUIRE_PACKAGE_SIGNATURES"] = "false"
	}
	if o.TLSSecret != "" {
		settings["EPR_TLS_CERT"], settings["EPR_TLS_KEY"] = "/etc/package-registry/tls/tls.crt", "/etc/package-registry/tls/tls.key"
	}
	if o.Claim != "" {
		settings["EPR_PACKAGE_PATHS_ENABLE_WATCHER"] = "true" // what is exported later is served without a restart
	}
	maps.Copy(settings, o.Environment)
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		all = append(all, values{"name": name, "value": settings[name]})
	}
	return all
}

func (o packageRegistryOptions) service() []byte {
	object := objectOptions{Name: o.Name, Namespace: o.Namespace}
	return valuesYAML(values{"apiVersion": "v1", "kind": "Service", "metadata": object.metadata(), "spec": values{
		"selector": o.labels(), "ports": []any{values{"name": "http", "port": registryPort, "targetPort": "http"}}}})
}
