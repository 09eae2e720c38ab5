package kubetest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
)

// EtcdKey returns the key at which the API server stores an object
// of a custom resource, such as streampairs of media.streampair.dev.
func EtcdKey(group, resource, namespace, name string) string {
	return fmt.Sprintf("/registry/%s/%s/%s/%s", group, resource, namespace, name)
}

// EtcdValue returns the value of a key in etcd. The test fails if there is none.
func (c *Cluster) EtcdValue(t TB, key string) []byte {
	t.Helper()
	var found struct {
		KVs []struct {
			Value []byte `json:"value"`
		} `json:"kvs"`
	}
	c.etcd(t, "range", map[string][]byte{"key": []byte(key)}, &found)
	if len(found.KVs) != 1 {
		t.Fatalf("etcd has %d values at %s", len(found.KVs), key)
	}
	return found.KVs[0].Value
}

// PutEtcdValue writes to etcd without the API server, as the restore
// of a snapshot does. The API server and all watchers see a change.
func (c *Cluster) PutEtcdValue(t TB, key string, value []byte) {
	t.Helper()
	c.etcd(t, "put", map[string][]byte{"key": []byte(key), "value": value}, &struct{}{})
}

// etcd calls a method of etcd's KV service through
// its JSON gateway, which encodes bytes in base64.
func (c *Cluster) etcd(t TB, method string, request map[string][]byte, answer any) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), requestTimeout)
	defer cancel()
	body, err := json.Marshal(request)
	if err != nil {
		t.Fatal(err)
	}
	url := c.env.ControlPlane.Etcd.URL.JoinPath("v3", "kv", method).String()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatalf("etcd %s: %v", method, err)
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		t.Fatalf("etcd %s: %s, %v: %s", method, response.Status, err, text)
	}
	if err := json.Unmarshal(text, answer); err != nil {
		t.Fatalf("etcd %s: %v: %s", method, err, text)
	}
}
