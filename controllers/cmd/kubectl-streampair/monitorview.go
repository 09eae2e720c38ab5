package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/streampair/streampair/api/control"
	"github.com/streampair/streampair/api/controlroom"
	"github.com/streampair/streampair/api/v1alpha1"
	"github.com/streampair/streampair/controllers/objects"
)

const (
	// freshFor is how old a reading may be that still counts.
	freshFor = 2 * time.Second
	// lagLimit is how long the operator may take to see a change.
	lagLimit = 10 * time.Second
	// leaseGrace is how long after its end a Lease is stale.
	leaseGrace = 10 * time.Second
)

// A sight is all that is known of a pair at one moment.
type sight struct {
	object   *v1alpha1.StreamPair
	pods     map[v1alpha1.Role]reading
	lag      time.Duration // for how long the operator has not seen the object's generation
	operator string        // warning of the operator's Lease; empty: none
	readErr  error         // why the object could not be read again; nil: it was
}

// pair returns what the page shows.
func (s *sight) pair(now time.Time) controlroom.Pair {
	out := controlroom.Pair{Name: s.object.Name, Warnings: s.warnings(now)}
	base, ok := s.base(now)
	if !ok {
		return out
	}
	out.AgeMilliseconds = now.Sub(base.at).Milliseconds()
	out.Status = s.status(base, now)
	out.Measures = s.measures(base, now)
	var streams []control.Stream
	for _, role := range objects.Roles() {
		if got := s.pods[role]; got.status != nil && got.status.TLS != nil && got.status.TLS.Present && got.status.TLS.NotAfter != nil {
			one := controlroom.Credential{Name: "certificate of HTTPS", NotAfter: *got.status.TLS.NotAfter}
			if !slices.Contains(out.Credentials, one) {
				out.Credentials = append(out.Credentials, one)
			}
		}
		if got := s.pods[role]; isFresh(got, now) {
			streams = append(streams, got.status.Streams...)
		}
	}
	out.Credentials = append(out.Credentials, controlroom.TokensOf(out.Status, streams)...)
	return out
}

// base returns the reading that says which leg is on air. Of two fresh ones that is the reading of the
// pod that has this leg, since viewers there lose nothing by the way between the pods.
func (s *sight) base(now time.Time) (base reading, ok bool) {
	for _, role := range objects.Roles() {
		got := s.pods[role]
		if got.pair() == nil {
			continue
		}
		better := got.at.After(base.at)
		if ok && isFresh(got, now) && isFresh(base, now) {
			better = got.pair().Active == string(role)
		}
		if !ok || better {
			base, ok = got, true
		}
	}
	return base, ok
}

func isFresh(r reading, now time.Time) bool { return r.status != nil && now.Sub(r.at) < freshFor }

// pair returns the pair that a pod has told of; nil: it has told of none. A pod has one pair that is
// declared.
func (r reading) pair() *control.Pair {
	if r.status == nil {
		return nil
	}
	at := slices.IndexFunc(r.status.Pairs, func(p control.Pair) bool { return p.Declared })
	if at < 0 {
		return nil
	}
	return &r.status.Pairs[at]
}

// status returns the pair's status: of each leg as that leg's pod tells, and with the viewers of both.
func (s *sight) status(base reading, now time.Time) *control.Pair {
	status := *base.pair()
	status.Legs = slices.Clone(status.Legs)
	status.Select, status.Viewers = string(s.object.Spec.Failover.Select), 0
	if status.Select == "" {
		status.Select = string(v1alpha1.SelectAuto)
	}
	for _, role := range objects.Roles() {
		got := s.pods[role]
		if got.pair() == nil || !isFresh(got, now) {
			continue
		}
		status.Viewers += got.pair().Viewers
		for i := range status.Legs {
			if own := legOf(got.pair().Legs, role); own != nil && status.Legs[i].Role == string(role) {
				status.Legs[i] = *own
			}
		}
	}
	return &status
}

func legOf(legs []control.Leg, role v1alpha1.Role) *control.Leg {
	at := slices.IndexFunc(legs, func(l control.Leg) bool { return l.Role == string(role) })
	if at < 0 {
		return nil
	}
	return &legs[at]
}

// measures returns the measures of each leg as that leg's pod tells, which has the thumbnails. Ages
// count from now.
func (s *sight) measures(base reading, now time.Time) *control.PairMeasures {
	if base.measures == nil || len(base.measures.Pairs) == 0 {
		return nil
	}
	measures := base.measures.Pairs[0]
	measures.Legs = slices.Clone(measures.Legs)
	for i, leg := range measures.Legs {
		from := s.pods[v1alpha1.Role(leg.Role)]
		if from.measures == nil || len(from.measures.Pairs) == 0 {
			from = base
		}
		for _, own := range from.measures.Pairs[0].Legs {
			if own.Role == leg.Role {
				measures.Legs[i] = olderBy(own, now.Sub(from.at).Milliseconds())
			}
		}
	}
	return &measures
}

func olderBy(leg control.LegMeasures, milliseconds int64) control.LegMeasures {
	if leg.AgeMilliseconds != nil {
		age := *leg.AgeMilliseconds + milliseconds
		leg.AgeMilliseconds = &age
	}
	if leg.ThumbnailTime != nil {
		leg.ThumbnailAgeMilliseconds += milliseconds
	}
	return leg
}

// warnings returns what the person on duty has to know before a Take, and what is wrong.
func (s *sight) warnings(now time.Time) []string {
	var out []string
	if s.readErr != nil {
		out = append(out, fmt.Sprintf("The StreamPair cannot be read, so a Take may fail: %v.", s.readErr))
	}
	if s.lag >= lagLimit {
		out = append(out, fmt.Sprintf("The operator has not seen the last change for %d s, so a Take may not reach the pods.", int(s.lag.Seconds())))
	}
	if s.operator != "" {
		out = append(out, s.operator)
	}
	for _, manager := range gitOpsOwners(s.object.ManagedFields) {
		out = append(out, setBackWarning(manager)+".")
	}
	for _, role := range objects.Roles() {
		if got := s.pods[role]; got.err != nil && !isFresh(got, now) {
			out = append(out, fmt.Sprintf("%s does not answer: %s.", podName(role), strings.ReplaceAll(got.err.Error(), "\n", ": ")))
		}
	}
	for _, c := range s.object.Status.Conditions {
		if unexpected(c) && c.Type != v1alpha1.ConditionOnAir {
			out = append(out, fmt.Sprintf("%s is %s: %s", c.Type, c.Status, c.Message))
		}
	}
	return out
}

// operatorWarning judges the operator's Lease, or why it cannot be read. Who may not read the Lease is
// not warned.
func operatorWarning(key client.ObjectKey, lease *coordinationv1.Lease, err error, now time.Time) string {
	switch {
	case apierrors.IsNotFound(err):
		return fmt.Sprintf("The Lease %s is missing, so no operator may act on a Take (--operator names another one).", key)
	case err != nil:
		return ""
	case lease.Spec.HolderIdentity == nil || *lease.Spec.HolderIdentity == "" || lease.Spec.RenewTime == nil || lease.Spec.LeaseDurationSeconds == nil:
		return "No operator holds the Lease " + key.String() + ", so none acts on a Take."
	}
	ends := lease.Spec.RenewTime.Add(time.Duration(*lease.Spec.LeaseDurationSeconds)*time.Second + leaseGrace)
	if now.Before(ends) {
		return ""
	}
	return fmt.Sprintf("The operator has not renewed the Lease %s for %d s, so none acts on a Take.", key, int(now.Sub(lease.Spec.RenewTime.Time).Seconds()))
}
