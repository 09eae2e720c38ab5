package notify

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/streampair/streampair/api/v1alpha1"
)

// A message is the body of a request. Its JSON is API; docs/history.md has it.
type message struct {
	// Type is typePrefix and the kind of the event.
	Type      string           `json:"type"`
	Timestamp metav1.MicroTime `json:"timestamp"`
	Data      messageData      `json:"data"`
}

const typePrefix = "streampair."

type messageData struct {
	Namespace       string               `json:"namespace"`
	Pair            string               `json:"pair"`
	UID             types.UID            `json:"uid"`
	Number          int64                `json:"number"`
	Kind            v1alpha1.HistoryKind `json:"kind"`
	Leg             v1alpha1.Role        `json:"leg"`
	Reason          string               `json:"reason,omitempty"`
	GapMilliseconds int64                `json:"gapMilliseconds,omitempty"`
}

// messageID returns the webhook-id of an event. It is the same whenever the event is sent, even if
// the status was lost and the event has another number.
func messageID(pair types.UID, e v1alpha1.HistoryEntry) string {
	return fmt.Sprintf("%s-%d-%s-%s", pair, e.Time.UnixMicro(), e.Kind, e.Leg)
}

func messageBody(name types.NamespacedName, pair types.UID, e v1alpha1.HistoryEntry) ([]byte, error) {
	return json.Marshal(message{
		Type: typePrefix + string(e.Kind), Timestamp: metav1.NewMicroTime(e.Time.UTC()),
		Data: messageData{
			Namespace: name.Namespace, Pair: name.Name, UID: pair, Number: e.Number, Kind: e.Kind, Leg: e.Leg, Reason: e.Reason,
			GapMilliseconds: e.GapMilliseconds,
		},
	})
}

// Bounds of the key of a receiver, in bytes, by the specification.
const minKey, maxKey = 24, 64

var errKey = errors.New("the key must be whsec_ and the base64 of 24 to 64 bytes")

// parseKey returns the bytes of a receiver's key.
func parseKey(text string) ([]byte, error) {
	encoded, found := strings.CutPrefix(strings.TrimSpace(text), "whsec_")
	key, err := base64.StdEncoding.DecodeString(encoded)
	if !found || err != nil || len(key) < minKey || len(key) > maxKey {
		return nil, errKey // without what the key looks like
	}
	return key, nil
}

// unixTime returns t as webhook-timestamp has it.
func unixTime(t time.Time) string { return fmt.Sprint(t.Unix()) }
