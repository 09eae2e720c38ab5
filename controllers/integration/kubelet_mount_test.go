package integration_test

import (
	"bytes"
	"context"
	"os"
	"path/filepath"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// mount writes what the pod mounts: the ConfigMap, and the Secrets by name and key.
func (k *kubelet) mount(ctx context.Context, pod *corev1.Pod, dir string) error {
	for _, volume := range pod.Spec.Volumes {
		switch {
		case volume.ConfigMap != nil:
			object := &corev1.ConfigMap{}
			if err := k.admin.Get(ctx, client.ObjectKey{Namespace: k.namespace, Name: volume.ConfigMap.Name}, object); err != nil {
				return err
			}
			for key, value := range object.Data {
				if err := writeFile(filepath.Join(dir, "config", key), []byte(value)); err != nil {
					return err
				}
			}
		case volume.Projected != nil:
			for _, source := range volume.Projected.Sources {
				optional := source.Secret.Optional != nil && *source.Secret.Optional
				if err := k.mountSecret(ctx, source.Secret.Name, optional, source.Secret.Items, filepath.Join(dir, "secrets")); err != nil {
					return err
				}
			}
		case volume.Secret != nil:
			if err := k.mountSecret(ctx, volume.Secret.SecretName, true, volume.Secret.Items, filepath.Join(dir, "tls")); err != nil {
				return err
			}
		}
	}
	return nil
}

func (k *kubelet) mountSecret(ctx context.Context, name string, optional bool, items []corev1.KeyToPath, dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	object := &corev1.Secret{}
	err := k.admin.Get(ctx, client.ObjectKey{Namespace: k.namespace, Name: name}, object)
	if optional && client.IgnoreNotFound(err) == nil && err != nil {
		return nil
	}
	if err != nil {
		return err
	}
	for _, item := range items {
		if value, found := object.Data[item.Key]; found {
			if err := writeFile(filepath.Join(dir, item.Path), value); err != nil {
				return err
			}
		}
	}
	return nil
}

// writeFile replaces a whole file, and only if the content has changed.
func writeFile(path string, content []byte) error {
	if before, err := os.ReadFile(path); err == nil && bytes.Equal(before, content) {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	if err := os.WriteFile(path+".new", content, 0o600); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}
