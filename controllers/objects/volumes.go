package objects

import (
	"maps"
	"path"
	"slices"

	corev1 "k8s.io/api/core/v1"
	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"

	"github.com/streampair/streampair/api/v1alpha1"
)

// Names of the volumes.
const (
	volumeConfig  = "config"
	volumeSecrets = "secrets"
	volumeTLS     = "tls"
)

// secretMode lets only the media server's group read the files of Secrets.
const secretMode = 0o440

// volumes returns the volumes for the manifest, the Secrets and
// the certificate. Each is mounted as a whole folder, because
// the kubelet does not update a file that is mounted by itself.
//
// What the operator writes must exist before the pod starts. A user's Secret may
// come late or lack a key. The media server then reports that in its status,
// where users look. A pod that does not start would report it where nobody looks.
func volumes(pair *v1alpha1.StreamPair) []*corev1ac.VolumeApplyConfiguration {
	list := []*corev1ac.VolumeApplyConfiguration{
		corev1ac.Volume().WithName(volumeConfig).
			WithConfigMap(corev1ac.ConfigMapVolumeSource().WithName(ConfigMapName(pair.Name))),
		corev1ac.Volume().WithName(volumeSecrets).
			WithProjected(corev1ac.ProjectedVolumeSource().
				WithDefaultMode(secretMode).
				WithSources(secretProjections(pair)...)),
	}
	if name := pair.Spec.Playback.TLSSecretName; name != "" {
		list = append(list, corev1ac.Volume().WithName(volumeTLS).
			WithSecret(corev1ac.SecretVolumeSource().
				WithSecretName(name).
				WithOptional(true).
				WithDefaultMode(secretMode).
				WithItems(
					corev1ac.KeyToPath().WithKey(corev1.TLSCertKey).WithPath(corev1.TLSCertKey),
					corev1ac.KeyToPath().WithKey(corev1.TLSPrivateKeyKey).WithPath(corev1.TLSPrivateKeyKey))))
	}
	return list
}

func volumeMounts(pair *v1alpha1.StreamPair) []*corev1ac.VolumeMountApplyConfiguration {
	mount := func(name, folder string) *corev1ac.VolumeMountApplyConfiguration {
		return corev1ac.VolumeMount().WithName(name).WithMountPath(folder).WithReadOnly(true)
	}
	mounts := []*corev1ac.VolumeMountApplyConfiguration{
		mount(volumeConfig, configFolder),
		mount(volumeSecrets, secretsFolder),
	}
	if pair.Spec.Playback.TLSSecretName != "" {
		mounts = append(mounts, mount(volumeTLS, tlsFolder))
	}
	return mounts
}

// secretProjections put every Secret of the manifest at its name and key, all in
// one volume, so that they change together. Only keys that a pair can use are
// projected, whatever else a user's Secret holds. The set of keys does not
// depend on the current auth setting, because its change would replace the pods.
func secretProjections(pair *v1alpha1.StreamPair) []*corev1ac.VolumeProjectionApplyConfiguration {
	own := KeysSecretName(pair.Name)
	required := []string{v1alpha1.SecretKeyClusterToken, v1alpha1.SecretKeyControlCert, v1alpha1.SecretKeyControlKey}
	optional := map[string]map[string]bool{} // name of the Secret -> its keys
	use := func(ref *v1alpha1.SecretReference, keys ...string) {
		if ref == nil {
			return
		}
		if optional[ref.Name] == nil {
			optional[ref.Name] = map[string]bool{}
		}
		for _, key := range keys {
			optional[ref.Name][key] = true
		}
	}
	spec := pair.Spec
	publish := spec.Publish.TokenSecretRef
	if publish == nil {
		publish = &v1alpha1.SecretReference{Name: own}
	}
	use(publish, v1alpha1.SecretKeyPublishToken)
	playback := spec.Playback.TokenSecretRef
	if playback == nil {
		playback = publish
	}
	use(playback, v1alpha1.SecretKeyPlayToken, v1alpha1.SecretKeyJWTKey)
	use(spec.Publish.JWKS.Secret(), v1alpha1.SecretKeyJWKS)
	use(spec.Playback.JWKS.Secret(), v1alpha1.SecretKeyJWKS)
	use(spec.Publish.SRTPassphraseSecretRef, v1alpha1.SecretKeySRTPassphrase)
	for _, server := range spec.MediaServer.ICEServers {
		use(server.CredentialSecretRef, v1alpha1.SecretKeyICEUsername, v1alpha1.SecretKeyICECredential)
	}

	projections := []*corev1ac.VolumeProjectionApplyConfiguration{secretProjection(own, required, false)}
	for _, name := range slices.Sorted(maps.Keys(optional)) {
		keys := slices.Sorted(maps.Keys(optional[name]))
		projections = append(projections, secretProjection(name, keys, true))
	}
	return projections
}

func secretProjection(name string, keys []string, optional bool) *corev1ac.VolumeProjectionApplyConfiguration {
	secret := corev1ac.SecretProjection().WithName(name)
	if optional {
		secret.WithOptional(true)
	}
	for _, key := range keys {
		secret.WithItems(corev1ac.KeyToPath().WithKey(key).WithPath(path.Join(name, key)))
	}
	return corev1ac.VolumeProjection().WithSecret(secret)
}
