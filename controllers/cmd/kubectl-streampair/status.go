package main

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/duration"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"

	"github.com/streampair/streampair/api/v1alpha1"
	"github.com/streampair/streampair/controllers/objects"
)

// status prints all that is known of a pair, for people.
func (p *plugin) status(_ context.Context, pair *v1alpha1.StreamPair) error {
	_, err := fmt.Fprint(p.out, describe(pair, time.Now()))
	return err
}

// statusOfAll prints one line for each of several pairs.
func (p *plugin) statusOfAll(pairs []v1alpha1.StreamPair) error {
	w := tabwriter.NewWriter(p.out, 0, 0, 3, ' ', 0)
	fmt.Fprintln(w, "NAME\tON AIR\tFOR\tPRIMARY\tBACKUP\tREADY\tREASON")
	for i := range pairs {
		pair := &pairs[i]
		onAir, since := "nothing", "-"
		if a := pair.Status.ActiveStream; a != nil {
			onAir, since = string(a.Role), duration.HumanDuration(time.Since(a.StartTime.Time))
		}
		input := map[v1alpha1.Role]v1alpha1.IngestState{}
		for _, leg := range pair.Status.Ingest {
			input[leg.Role] = leg.State
		}
		ready, reason := "Unknown", "NotSeen"
		if c := meta.FindStatusCondition(pair.Status.Conditions, v1alpha1.ConditionReady); c != nil {
			ready, reason = string(c.Status), c.Reason
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", pair.Name, onAir, since,
			orDash(input[v1alpha1.RolePrimary]), orDash(input[v1alpha1.RoleBackup]), ready, reason)
	}
	return w.Flush()
}

func describe(pair *v1alpha1.StreamPair, now time.Time) string {
	var b strings.Builder
	s := &pair.Status
	ago := func(t metav1.Time) string { return duration.HumanDuration(now.Sub(t.Time)) }
	fmt.Fprintf(&b, "%s/%s\n", pair.Namespace, pair.Name)
	if a := s.ActiveStream; a != nil {
		fmt.Fprintf(&b, "  on air   %s (%s) for %s, %s\n", a.Role, a.StreamID, ago(a.StartTime), a.Reason)
	} else {
		fmt.Fprintln(&b, "  on air   nothing")
	}
	if l := s.LastSwitch; l != nil {
		fmt.Fprintf(&b, "  switched %s to %s, %s ago, %s\n", l.From, l.To, ago(l.Time), l.Reason)
	}
	if pin := pair.Spec.Failover.Select; pin != "" && pin != v1alpha1.SelectAuto {
		fmt.Fprintf(&b, "  pinned   %s\n", pin)
	}
	if s.PlaybackURL != "" {
		fmt.Fprintf(&b, "  URL      %s\n", s.PlaybackURL)
	}
	if len(s.Ingest) > 0 {
		fmt.Fprintln(&b)
		w := tabwriter.NewWriter(&b, 0, 0, 3, ' ', 0)
		fmt.Fprintln(w, "  LEG\tINPUT\tPLAYS\tPOD\tNODE")
		for _, leg := range s.Ingest {
			fmt.Fprintf(w, "  %s\t%s\t%s\t%s\t%s\n", leg.Role, orDash(leg.State), orDash(leg.Playing), orDash(leg.PodName), orDash(leg.NodeName))
		}
		_ = w.Flush() // cannot fail, because it writes into memory
	}
	for _, c := range s.Conditions {
		if unexpected(c) {
			fmt.Fprintf(&b, "\n  %s is %s: %s, %s (for %s)", c.Type, c.Status, c.Reason, c.Message, ago(c.LastTransitionTime))
		}
	}
	out := strings.TrimRight(b.String(), "\n") + "\n"
	if s.ObservedGeneration != pair.Generation {
		out += "\n  The operator has not seen the last change yet.\n"
	}
	return out
}

// unexpected reports whether a user should read the condition.
func unexpected(c metav1.Condition) bool {
	if c.Type == v1alpha1.ConditionProgressing {
		return c.Status != metav1.ConditionFalse
	}
	return c.Status != metav1.ConditionTrue
}

func orDash[T ~string](s T) string {
	if s == "" {
		return "-"
	}
	return string(s)
}

// fieldOwner is the plugin's field manager. Its name must not begin
// with kubectl, because Flux takes over the fields of such managers.
const fieldOwner = "streampair-switch"

// gitOpsOwners returns the field managers that apply spec.failover.select,
// and will do so again. Managers that update also own every field that the
// API server filled in. Of those only Argo CD is known to write again.
func gitOpsOwners(managers []metav1.ManagedFieldsEntry) []string {
	var owners []string
	for _, m := range managers {
		returns := m.Operation == metav1.ManagedFieldsOperationApply || strings.HasPrefix(m.Manager, "argocd")
		if m.FieldsV1 == nil || !returns || strings.HasPrefix(m.Manager, "kubectl") {
			continue
		}
		var fields fieldpath.Set
		if err := fields.FromJSON(m.FieldsV1.GetRawReader()); err != nil {
			continue // a version that is unknown here
		}
		if fields.Has(fieldpath.MakePathOrDie("spec", "failover", "select")) && !slices.Contains(owners, m.Manager) {
			owners = append(owners, m.Manager)
		}
	}
	return owners
}

func setBackWarning(manager string) string {
	return manager + " owns spec.failover.select, and may set it back: let it leave that field out"
}

// setSelect patches spec.failover.select of a pair, and reads the pair anew.
func (p *plugin) setSelect(ctx context.Context, pair *v1alpha1.StreamPair, to v1alpha1.Selection) error {
	patch, err := json.Marshal(map[string]any{"spec": map[string]any{"failover": map[string]any{"select": to}}})
	if err != nil {
		return err
	}
	return p.client.Patch(ctx, pair, client.RawPatch("application/merge-patch+json", patch), client.FieldOwner(fieldOwner))
}

// pin pins a leg, or lets the media servers choose.
func (p *plugin) pin(ctx context.Context, pair *v1alpha1.StreamPair, to v1alpha1.Selection) error {
	for _, manager := range gitOpsOwners(pair.ManagedFields) {
		fmt.Fprintf(p.errOut, "# %s\n", setBackWarning(manager))
	}
	err := p.setSelect(ctx, pair, to)
	if err != nil {
		return err
	}
	switch to {
	case v1alpha1.SelectAuto:
		_, err = fmt.Fprintf(p.out, "%s follows its failover mode, %s\n", pair.Name, pair.Spec.Failover.Mode)
	default:
		_, err = fmt.Fprintf(p.out, "%s plays %s as soon as that leg has all its tracks and a key frame\n", pair.Name, to)
	}
	return err
}

// url prints the playback URL, and nothing else to out, for `open $(kubectl streampair url)`.
func (p *plugin) url(_ context.Context, pair *v1alpha1.StreamPair) error {
	if pair.Status.PlaybackURL == "" {
		return noAddress(pair)
	}
	if c := meta.FindStatusCondition(pair.Status.Conditions, v1alpha1.ConditionExposed); c != nil && c.Reason == v1alpha1.ReasonClusterOnly {
		fmt.Fprintf(p.errOut, "# opens inside the cluster only; from here: kubectl streampair play %s\n", pair.Name)
	}
	_, err := fmt.Fprintln(p.out, pair.Status.PlaybackURL)
	return err
}

func noAddress(pair *v1alpha1.StreamPair) error {
	if c := meta.FindStatusCondition(pair.Status.Conditions, v1alpha1.ConditionExposed); c != nil {
		return fmt.Errorf("%s has no URL yet: %s", pair.Name, c.Message)
	}
	return fmt.Errorf("%s has no URL yet: no operator has seen it; does one run?", pair.Name)
}

// keys prints where to publish, with the token.
func (p *plugin) keys(ctx context.Context, pair *v1alpha1.StreamPair) error {
	query, err := p.publishQuery(ctx, pair)
	if err != nil {
		return err
	}
	said := false
	for _, leg := range pair.Status.Ingest {
		if leg.RTMP == "" {
			continue
		}
		said = true
		writeKeys(p.out, leg.Role, leg.RTMP, query)
		if leg.SRT != "" {
			if err := p.writeSRT(ctx, pair, leg.SRT, strings.TrimPrefix(query, "?token=")); err != nil {
				return err
			}
		}
		if leg.WHIP != "" {
			fmt.Fprintf(p.out, "  WHIP         %s\n", leg.WHIP)
			if token := strings.TrimPrefix(query, "?token="); token != "" {
				fmt.Fprintf(p.out, "  bearer token %s\n", token)
			}
		}
		fmt.Fprintln(p.out)
	}
	if !said {
		return noAddress(pair)
	}
	return nil
}

// writeSRT prints an SRT URL, with the passphrase or else the token.
func (p *plugin) writeSRT(ctx context.Context, pair *v1alpha1.StreamPair, url, token string) error {
	ref := pair.Spec.Publish.SRTPassphraseSecretRef
	if ref == nil {
		if token != "" {
			url += ":" + token
		}
		fmt.Fprintf(p.out, "  SRT          %s\n", url)
		return nil
	}
	var secret corev1.Secret
	if err := p.client.Get(ctx, client.ObjectKey{Namespace: pair.Namespace, Name: ref.Name}, &secret); err != nil {
		return fmt.Errorf("read the passphrase of SRT: %w", err)
	}
	passphrase := strings.TrimRight(string(secret.Data[v1alpha1.SecretKeySRTPassphrase]), "\r\n")
	if passphrase == "" {
		return fmt.Errorf("the Secret %s has no %s", ref.Name, v1alpha1.SecretKeySRTPassphrase)
	}
	fmt.Fprintf(p.out, "  SRT          %s\n  passphrase   %s\n", url, passphrase)
	return nil
}

// publishQuery returns the query of a publish URL, with the token if one is needed.
func (p *plugin) publishQuery(ctx context.Context, pair *v1alpha1.StreamPair) (string, error) {
	if pair.Spec.Publish.Auth == v1alpha1.PublishNone {
		return "", nil
	}
	name := objects.KeysSecretName(pair.Name)
	if ref := pair.Spec.Publish.TokenSecretRef; ref != nil {
		name = ref.Name
	}
	var secret corev1.Secret
	if err := p.client.Get(ctx, client.ObjectKey{Namespace: pair.Namespace, Name: name}, &secret); err != nil {
		return "", fmt.Errorf("read the publish token: %w", err)
	}
	token := string(secret.Data[v1alpha1.SecretKeyPublishToken])
	if token == "" {
		return "", fmt.Errorf("the Secret %s has no %s", name, v1alpha1.SecretKeyPublishToken)
	}
	return "?token=" + token, nil
}
