package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// NotificationEvent is a kind of event in status.history that a receiver wants.
//
// +kubebuilder:validation:Enum=OnAir;Dark;Switched;Redundant;RedundancyLost
type NotificationEvent string

// Notification is a receiver of the pair's events. The operator sends each event by an HTTPS POST as
// the Standard Webhooks specification says (standardwebhooks.com): signed, with an id and a time. It
// sends the events of a pair in order, and an event that is not answered with 2xx again for an hour.
//
// +kubebuilder:validation:XValidation:rule="has(self.url) != has(self.urlSecretRef)",message="set exactly one of url and urlSecretRef"
type Notification struct {
	// name tells the receivers of a pair apart. 1 to 63 lower case letters, digits and '-', starting
	// and ending with a letter or digit.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')",message="name must be 1 to 63 lower case letters, digits and '-', starting and ending with a letter or digit"
	Name string `json:"name,omitempty"`

	// url is the receiver, such as https://events.example.com/streampair. Redirects are not followed.
	// Private addresses are only called if the operator's --notification-networks has them.
	// Whoever may read the pair can read the URL: put a URL that is a secret into a Secret.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	// +kubebuilder:validation:XValidation:rule="self.matches('^https://([A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?|\\\\[[0-9A-Fa-f:.]+\\\\])(:([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5]))?(/[!-~]*)?$') && !self.contains('#')",message="url must be an https:// URL without user and fragment, such as https://events.example.com/streampair"
	URL string `json:"url,omitempty"`

	// urlSecretRef names a Secret of your own with the key webhookURL, which is the receiver.
	// +optional
	URLSecretRef *SecretReference `json:"urlSecretRef,omitempty"`

	// keySecretRef names a Secret of your own with the key webhookKey, by which the receiver checks
	// the signature: whsec_ and the base64 of 24 to 64 random bytes. The operator reads the Secret
	// before each request, so a changed key counts at once.
	// +required
	KeySecretRef SecretReference `json:"keySecretRef,omitzero"`

	// events are the kinds of events to send. Default: all of them.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=5
	Events []NotificationEvent `json:"events,omitempty"`
}

// NotificationStatus is what is known of a receiver. It has neither the receiver's URL nor what the
// receiver answers.
type NotificationStatus struct {
	// name is the receiver's name in spec.notifications.
	// +required
	Name string `json:"name,omitempty"`
	// since is when the operator first saw the receiver. Earlier events are not sent.
	// +optional
	Since *metav1.Time `json:"since,omitempty"`
	// position is the number of the last entry of status.history that is done with: delivered, given
	// up, or not asked for. Absent: no entry is.
	// +optional
	Position int64 `json:"position,omitempty"`
	// lastDeliveredID is the webhook-id of the last event that the receiver took.
	// +optional
	LastDeliveredID string `json:"lastDeliveredID,omitempty"`
	// lastDeliveryTime is when that was.
	// +optional
	LastDeliveryTime *metav1.Time `json:"lastDeliveryTime,omitempty"`
	// lastStatusCode is the HTTP status of the last answer. Absent: there was none at the last
	// attempt. The operator's log says why.
	// +optional
	LastStatusCode int32 `json:"lastStatusCode,omitempty"`
	// undelivered counts the events that the receiver did not take within an hour.
	// +optional
	Undelivered int64 `json:"undelivered,omitempty"`
}
