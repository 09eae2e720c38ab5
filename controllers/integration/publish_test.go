package integration_test

import (
	"fmt"
	"os/exec"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/streampair/streampair/api/v1alpha1"
	"github.com/streampair/streampair/controllers/publishtest"
)

// publish starts an encoder for a leg, with the pair's publish token.
func (k *kubelet) publish(pair, role, streamID string) *publishtest.Encoder {
	k.t.Helper()
	secret := &corev1.Secret{}
	k.get(pair+"-keys", secret)
	return k.publishWith(pair, role, streamID, string(secret.Data[v1alpha1.SecretKeyPublishToken]))
}

// publishBoth puts both legs on air, the primary first.
func (k *kubelet) publishBoth(pair string) (primary, backup *publishtest.Encoder) {
	k.t.Helper()
	primary = k.publish(pair, "primary", "primary")
	k.waitFor(pair, "OnAir=True/OnAir", "PrimaryLive=True/Live")
	backup = k.publish(pair, "backup", "backup")
	k.waitFor(pair, "Redundant=True/Redundant", "Progressing=False/UpToDate")
	return primary, backup
}

func (k *kubelet) publishWith(pair, role, streamID, token string) *publishtest.Encoder {
	k.t.Helper()
	url := fmt.Sprintf("rtmp://%s:1935/live/%s?token=%s", k.address(pair, role), streamID, token)
	return publishtest.Start(k.t, url)
}

func needFFmpeg(t *testing.T) {
	t.Helper()
	if _, err := exec.LookPath("ffmpeg"); err != nil {
		t.Fatal("install ffmpeg first (make test does)")
	}
}
