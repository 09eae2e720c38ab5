package main

import (
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/streampair/streampair/api/preflight"
	"github.com/streampair/streampair/api/v1alpha1"
	"github.com/streampair/streampair/controllers/objects"
)

// A scene is all that check sees of a pair.
type scene struct {
	pair *v1alpha1.StreamPair
	now  time.Time
	pods []corev1.Pod
	// zones has the zone of each node; empty: the node has no label of a zone.
	zones map[string]string
	// unread has the kinds that the user may not read.
	unread    []string
	addresses []address
	// readings has what the media pod of each leg has told, or why not. Nil: the pods were not read.
	readings map[v1alpha1.Role]reading
}

// clusterOnly reports whether nothing of the pair can be reached from outside the cluster.
func (s *scene) clusterOnly() bool {
	c := meta.FindStatusCondition(s.pair.Status.Conditions, v1alpha1.ConditionExposed)
	return c != nil && c.Reason == v1alpha1.ReasonClusterOnly
}

// subjects says what was seen.
func (s *scene) subjects() []preflight.Subject {
	var all []preflight.Subject
	for _, leg := range s.pair.Status.Ingest {
		summary := fmt.Sprintf("input %s, pod %s, node %s", orDash(leg.State), orDash(leg.PodName), orDash(leg.NodeName))
		if zone := s.zones[leg.NodeName]; zone != "" {
			summary += ", zone " + zone
		}
		encoder := encoderOf(s.readings[leg.Role], leg.Role)
		if sends := encoder.summary(); sends != "" {
			summary += "; " + sends
		}
		all = append(all, preflight.Subject{Name: objects.LegName(leg.Role), Summary: summary})
	}
	if step, ok := s.step(); ok {
		all = append(all, preflight.Subject{Name: "both", Summary: step.Summary()})
	}
	for _, a := range s.addresses {
		state := "answers"
		if a.err != nil {
			state = "does not answer"
		}
		all = append(all, preflight.Subject{Name: a.subject, Summary: a.hostPort + " " + state})
	}
	return all
}

// judge returns what is wrong. It is pure.
func (s *scene) judge() []preflight.Finding {
	if s.pair.Spec.Paused {
		return []preflight.Finding{finding(preflight.Error, v1alpha1.ReasonPaused, "pair", "The pair is paused: nobody can publish or watch.", "Set spec.paused to false.")}
	}
	var found []preflight.Finding
	if s.pair.Status.ObservedGeneration != s.pair.Generation {
		found = append(found, finding(preflight.Warning, "NotObserved", "pair", "The operator has not seen the last change of the pair.", "See whether an operator runs."))
	}
	for _, c := range s.pair.Status.Conditions {
		found = append(found, judgeCondition(c)...)
	}
	found = append(found, s.judgeSpec()...)
	found = append(found, s.judgePlaces()...)
	found = append(found, s.judgeEncoders()...)
	for _, a := range s.addresses {
		found = append(found, judgeAddress(a, s.now)...)
	}
	return found
}

func finding(s preflight.Severity, code, subject, message, remedy string) preflight.Finding {
	return preflight.Finding{Severity: s, Code: code, Subject: subject, Message: message, Remedy: remedy}
}

// faults are how much it matters that a condition is not True. Progressing is judged by itself.
var faults = map[string]preflight.Severity{
	v1alpha1.ConditionReady: preflight.Error, v1alpha1.ConditionOnAir: preflight.Error,
	v1alpha1.ConditionPrimaryLive: preflight.Error, v1alpha1.ConditionBackupLive: preflight.Error,
	v1alpha1.ConditionRedundant: preflight.Warning, v1alpha1.ConditionConverged: preflight.Warning,
	v1alpha1.ConditionPrimaryHealthy: preflight.Warning, v1alpha1.ConditionBackupHealthy: preflight.Warning,
	v1alpha1.ConditionInStep: preflight.Warning, v1alpha1.ConditionExposed: preflight.Warning,
}

// judgeCondition returns what a condition tells. Its message says what to set. A reason may have been
// told by another condition.
func judgeCondition(c metav1.Condition) []preflight.Finding {
	severity, known := faults[c.Type]
	isLive := c.Type == v1alpha1.ConditionPrimaryLive || c.Type == v1alpha1.ConditionBackupLive
	code, remedy := c.Reason, ""
	switch {
	case c.Type == v1alpha1.ConditionProgressing && c.Status == metav1.ConditionTrue:
		severity, remedy = preflight.Warning, "Wait until the rollout or the switch is over."
	case !known, c.Reason == v1alpha1.ReasonPrimaryNotLive, c.Reason == v1alpha1.ReasonBackupNotLive, c.Reason == v1alpha1.ReasonNotLive:
		return nil // PrimaryLive and BackupLive tell
	case c.Status == metav1.ConditionFalse:
	case c.Status == metav1.ConditionUnknown:
		severity = lesser(severity)
	case c.Reason == v1alpha1.ReasonClusterOnly:
		severity, remedy = preflight.Info, "From here: kubectl streampair publish and play."
	case c.Reason == v1alpha1.ReasonMediaClusterOnly:
		severity = preflight.Warning
	case c.Reason == v1alpha1.ReasonDegraded:
	case c.Reason == v1alpha1.ReasonPublisherConflict:
		severity = preflight.Warning
	case isLive && strings.TrimSpace(strings.TrimPrefix(c.Message, v1alpha1.MessageLive)) != "":
		severity, code = preflight.Warning, "EncoderWarning"
	default:
		return nil
	}
	return []preflight.Finding{finding(severity, code, c.Type, c.Message, remedy)}
}

// lesser returns the severity of what is unknown.
func lesser(s preflight.Severity) preflight.Severity {
	if s == preflight.Error {
		return preflight.Warning
	}
	return preflight.Info
}

// judgeSpec returns what of the spec may be as it was at a rehearsal.
func (s *scene) judgeSpec() []preflight.Finding {
	var found []preflight.Finding
	spec := &s.pair.Spec
	if spec.Publish.Auth == v1alpha1.PublishNone {
		found = append(found, finding(preflight.Warning, "OpenPublish", "pair", "Whoever reaches the port can publish.", "Set spec.publish.auth to Token."))
	}
	if spec.Playback.Auth == v1alpha1.PlaybackNone || spec.Playback.Auth == "" {
		found = append(found, finding(preflight.Info, "OpenPlayback", "pair", "Everybody can watch.", "Set spec.playback.auth to Token or JWT if not everybody may."))
	}
	if pin := spec.Failover.Select; pin != "" && pin != v1alpha1.SelectAuto {
		found = append(found, finding(preflight.Warning, "Pinned", "pair", fmt.Sprintf("The %s is pinned.", strings.ToLower(string(pin))),
			fmt.Sprintf("kubectl streampair switch auto %s", s.pair.Name)))
	}
	return found
}

// judgePlaces returns what is wrong with pods, nodes and zones. Redundant tells of one node for both.
func (s *scene) judgePlaces() []preflight.Finding {
	var found []preflight.Finding
	for _, what := range s.unread {
		found = append(found, finding(preflight.Info, "NotPermitted", what, fmt.Sprintf("You may not read the %s, so they are not checked.", what), ""))
	}
	for i := range s.pods {
		pod := &s.pods[i]
		for _, c := range pod.Status.ContainerStatuses {
			if c.RestartCount > 0 {
				found = append(found, finding(preflight.Warning, "PodRestarted", pod.Name,
					fmt.Sprintf("The container %s has restarted %d times.", c.Name, c.RestartCount), "kubectl logs --previous "+pod.Name))
			}
		}
	}
	var nodes []string
	for _, leg := range s.pair.Status.Ingest {
		if leg.NodeName != "" {
			nodes = append(nodes, leg.NodeName)
		}
	}
	if len(nodes) == 2 && nodes[0] != nodes[1] {
		if zone := s.zones[nodes[0]]; zone != "" && zone == s.zones[nodes[1]] {
			found = append(found, finding(preflight.Warning, "SameZone", "nodes", fmt.Sprintf("Both media pods are in zone %s. The loss of the zone would end the picture.", zone),
				"Add nodes in another zone, and delete the pod that is not on air."))
		}
	}
	return found
}

// judgeAddress returns what is wrong with an address, as seen from here.
func judgeAddress(a address, now time.Time) []preflight.Finding {
	if a.err != nil {
		return []preflight.Finding{finding(preflight.Warning, "NotReachable", a.subject, fmt.Sprintf("%s does not answer from here: %s.", a.hostPort, a.err),
			"Encoders and viewers may be elsewhere: try from there. Look at firewalls and the load balancer.")}
	}
	return preflight.JudgeCertificate(a.subject, a.certificate, nil, now)
}
