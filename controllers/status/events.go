package status

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/streampair/streampair/api/v1alpha1"
	"github.com/streampair/streampair/controllers/objects"
)

// An Edge is something that happened to a pair between two of its statuses.
type Edge struct {
	Type   string // of the Event: Normal or Warning
	Reason string
	Action string
	Note   string
}

// Actions of Events say what was done, or what a user should do.
const (
	actionSwitch  = "Switch"
	actionWatch   = "WatchInput"
	actionPublish = "Publish"
)

// Edges returns what happened between two statuses. It is pure.
// An operator that was away thereby reports all it finds once.
func Edges(before, after *v1alpha1.StreamPairStatus) []Edge {
	var list []Edge
	if happened := Switched(before, after); happened != nil {
		list = append(list, SwitchEdge(happened))
	} else if before.ActiveStream == nil && after.ActiveStream != nil {
		list = append(list, Edge{corev1.EventTypeNormal, v1alpha1.EventWentOnAir, actionSwitch,
			fmt.Sprintf("Viewers get the %s.", objects.LegName(after.ActiveStream.Role))})
	}
	for _, role := range objects.Roles() {
		leg := objects.LegName(role)
		was, is := LegCondition(before, role), LegCondition(after, role)
		switch stateWas := IngestOf(before, role).State; IngestOf(after, role).State {
		case v1alpha1.IngestLost:
			if stateWas == v1alpha1.IngestLive || stateWas == v1alpha1.IngestUnknown {
				list = append(list, Edge{corev1.EventTypeWarning, v1alpha1.EventInputLost, actionWatch,
					fmt.Sprintf("The %s's media stopped. %s", leg, is.Message)})
			}
		case v1alpha1.IngestLive:
			if stateWas == v1alpha1.IngestLost {
				list = append(list, Edge{corev1.EventTypeNormal, v1alpha1.EventInputRecovered, actionWatch,
					fmt.Sprintf("The %s's media is back.", leg)})
			}
		}
		list = append(list, contentEdges(before, after, role)...)
		if is.Reason == v1alpha1.ReasonPublisherConflict && was.Reason != v1alpha1.ReasonPublisherConflict {
			list = append(list, Edge{corev1.EventTypeWarning, v1alpha1.EventPublisherConflict, actionPublish,
				fmt.Sprintf("Two encoders publish to the %s's stream id. Stop one of them.", leg)})
		}
	}
	return list
}

// Switched returns the last switch of after, if before does not have it; otherwise nil.
func Switched(before, after *v1alpha1.StreamPairStatus) *v1alpha1.Switch {
	was, is := before.LastSwitch, after.LastSwitch
	if is == nil || was != nil && was.Time.Equal(&is.Time) && was.From == is.From && was.To == is.To {
		return nil
	}
	return is
}

// SwitchEdge returns the Edge of a switch. The Edge of a failover is a Warning.
func SwitchEdge(s *v1alpha1.Switch) Edge {
	e := Edge{Type: corev1.EventTypeNormal, Action: actionSwitch}
	why := ""
	switch s.Reason {
	case v1alpha1.SwitchPrimaryInputLost, v1alpha1.SwitchPrimaryDisconnected, v1alpha1.SwitchPrimaryDegraded,
		v1alpha1.SwitchBackupInputLost, v1alpha1.SwitchBackupDisconnected, v1alpha1.SwitchBackupDegraded,
		v1alpha1.SwitchPrimaryBlack, v1alpha1.SwitchPrimaryFrozen, v1alpha1.SwitchPrimarySilent, v1alpha1.SwitchPrimaryLowRate,
		v1alpha1.SwitchBackupBlack, v1alpha1.SwitchBackupFrozen, v1alpha1.SwitchBackupSilent, v1alpha1.SwitchBackupLowRate:
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
		objects.LegName(s.From), objects.LegName(s.To), why)
	return e
}

// LegCondition returns the condition of a leg; zero if there is none yet.
func LegCondition(status *v1alpha1.StreamPairStatus, role v1alpha1.Role) metav1.Condition {
	name := v1alpha1.ConditionPrimaryLive
	if role == v1alpha1.RoleBackup {
		name = v1alpha1.ConditionBackupLive
	}
	if c := meta.FindStatusCondition(status.Conditions, name); c != nil {
		return *c
	}
	return metav1.Condition{}
}

// IngestOf returns the entry of a leg; zero if there is none yet.
func IngestOf(status *v1alpha1.StreamPairStatus, role v1alpha1.Role) v1alpha1.IngestStatus {
	for _, s := range status.Ingest {
		if s.Role == role {
			return s
		}
	}
	return v1alpha1.IngestStatus{}
}
