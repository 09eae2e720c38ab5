package v1alpha1

import (
	"regexp"
	"slices"

	"k8s.io/apimachinery/pkg/util/validation/field"
)

// receiverName is a DNS label.
var receiverName = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`)

// AllNotificationEvents returns the kinds of events that a receiver can ask for.
func AllNotificationEvents() []NotificationEvent {
	return []NotificationEvent{
		NotificationEvent(HistoryOnAir), NotificationEvent(HistoryDark), NotificationEvent(HistorySwitched),
		NotificationEvent(HistoryRedundant), NotificationEvent(HistoryRedundancyLost),
	}
}

func validateNotifications(path *field.Path, all []Notification) field.ErrorList {
	var errs field.ErrorList
	if len(all) > MaxNotifications {
		errs = append(errs, field.TooMany(path, len(all), MaxNotifications))
	}
	for i, n := range all {
		at := path.Index(i)
		if slices.ContainsFunc(all[:i], func(other Notification) bool { return other.Name == n.Name }) {
			errs = append(errs, field.Duplicate(at.Child("name"), n.Name))
		}
		errs = append(errs, n.validate(at)...)
	}
	return errs
}

func (n *Notification) validate(path *field.Path) field.ErrorList {
	var errs field.ErrorList
	if len(n.Name) > 63 || !receiverName.MatchString(n.Name) {
		errs = append(errs, field.Invalid(path.Child("name"), n.Name,
			"must be 1 to 63 lower case letters, digits and '-', starting and ending with a letter or digit"))
	}
	switch {
	case (n.URL != "") == (n.URLSecretRef != nil):
		errs = append(errs, field.Required(path, "set exactly one of url and urlSecretRef"))
	case n.URL != "" && !IsReceiverURL(n.URL):
		errs = append(errs, field.Invalid(path.Child("url"), n.URL,
			"must be an https:// URL without user and fragment, such as https://events.example.com/streampair"))
	}
	errs = append(errs, n.URLSecretRef.validate(path.Child("urlSecretRef"))...)
	errs = append(errs, n.KeySecretRef.validate(path.Child("keySecretRef"))...)
	if n.Events != nil && len(n.Events) == 0 {
		errs = append(errs, field.Required(path.Child("events"), "name at least one event, or leave events out for all"))
	}
	texts := make([]string, len(n.Events))
	for i, e := range n.Events {
		texts[i] = string(e)
	}
	return append(errs, set(path.Child("events"), texts, maxNotificationEvents, func(path *field.Path, value string) *field.Error {
		if !slices.Contains(AllNotificationEvents(), NotificationEvent(value)) {
			return field.NotSupported(path, value, AllNotificationEvents())
		}
		return nil
	})...)
}

// IsReceiverURL reports whether events can be sent to the URL: https, without user and fragment, and
// at most 1024 characters.
func IsReceiverURL(url string) bool {
	return len(url) <= maxNotificationURL && httpsURL.MatchString(url) && !slices.Contains([]byte(url), '#')
}
