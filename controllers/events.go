package controllers

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/streampair/streampair/api/v1alpha1"
)

// An Edge is something that happened to a pair, between two statuses of it.
type Edge struct {
	Type   string // of the Event: Normal or Warning
	Reason string
	Action string
	Note   string
}

// Actions of Events: what was done, or is to be.
const (
	actionSwitch  = "Switch"
	actionWatch   = "WatchInput"
	actionPublish = "Publish"
)

// edges returns what happened between two statuses. It is pure, so that an operator that
// was away reports once what it finds.
func edges(before, after *v1alpha1.StreamPairStatus) []Edge {
	var list []Edge
	if happened := switched(before, after); happened != nil {
		list = append(list, switchEdge(happened))
	}
	for _, role := range Roles() {
		was, is := legCondition(before, role), legCondition(after, role)
		if was == nil || is == nil {
			continue
		}
		leg := strings.ToLower(string(role))
		if is.Reason == v1alpha1.ReasonInputLost && was.Reason != v1alpha1.ReasonInputLost {
			list = append(list, Edge{corev1.EventTypeWarning, v1alpha1.EventInputLost, actionWatch,
				fmt.Sprintf("The %s's media stopped. %s", leg, is.Message)})
		}
		if was.Reason == v1alpha1.ReasonInputLost && is.Status == metav1.ConditionTrue {
			list = append(list, Edge{corev1.EventTypeNormal, v1alpha1.EventInputRecovered, actionWatch,
				fmt.Sprintf("The %s's media is back.", leg)})
		}
		if is.Reason == v1alpha1.ReasonPublisherConflict && was.Reason != v1alpha1.ReasonPublisherConflict {
			list = append(list, Edge{corev1.EventTypeWarning, v1alpha1.EventPublisherConflict, actionPublish,
				fmt.Sprintf("Two encoders publish to the %s's stream id.", leg)})
		}
	}
	return list
}

// switched returns the switch that after has and before has not.
func switched(before, after *v1alpha1.StreamPairStatus) *v1alpha1.Switch {
	was, is := before.LastSwitch, after.LastSwitch
	if is == nil || was != nil && was.Time.Equal(&is.Time) && was.From == is.From && was.To == is.To {
		return nil
	}
	return is
}

func switchEdge(s *v1alpha1.Switch) Edge {
	e := Edge{Type: corev1.EventTypeNormal, Action: actionSwitch}
	why := ""
	switch s.Reason {
	case v1alpha1.SwitchPrimaryInputLost, v1alpha1.SwitchPrimaryDisconnected, v1alpha1.SwitchPrimaryDegraded,
		v1alpha1.SwitchBackupInputLost, v1alpha1.SwitchBackupDisconnected, v1alpha1.SwitchBackupDegraded:
		e.Type, e.Reason = corev1.EventTypeWarning, v1alpha1.EventFailedOver
	case v1alpha1.SwitchPrimaryRecovered:
		e.Reason = v1alpha1.EventFailedBack
	default:
		e.Reason = v1alpha1.EventSwitchedOver
	}
	if s.Reason != "" {
		why = " (" + s.Reason + ")"
	}
	e.Note = fmt.Sprintf("Viewers were switched from the %s to the %s%s.",
		strings.ToLower(string(s.From)), strings.ToLower(string(s.To)), why)
	return e
}

func legCondition(status *v1alpha1.StreamPairStatus, role v1alpha1.Role) *metav1.Condition {
	if role == v1alpha1.RolePrimary {
		return meta.FindStatusCondition(status.Conditions, v1alpha1.ConditionPrimaryLive)
	}
	return meta.FindStatusCondition(status.Conditions, v1alpha1.ConditionBackupLive)
}
