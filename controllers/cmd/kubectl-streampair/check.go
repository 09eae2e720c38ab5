package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/streampair/streampair/api/preflight"
	"github.com/streampair/streampair/api/v1alpha1"
	"github.com/streampair/streampair/controllers/objects"
)

// dialTimeout is how long an address may take to answer.
const dialTimeout = 5 * time.Second

// check prints what is wrong with a pair before an event.
func (p *plugin) check(ctx context.Context, pair *v1alpha1.StreamPair) error {
	if err := preflight.CheckForm(p.output); err != nil {
		return err
	}
	s := scene{pair: pair, now: time.Now()}
	if err := p.seePods(ctx, &s); err != nil {
		return err
	}
	if err := p.seeNodes(ctx, &s); err != nil {
		return err
	}
	var looking sync.WaitGroup
	if !pair.Spec.Paused {
		looking.Go(func() { s.readings = p.readLegs(ctx, pair, cmp.Or(p.readLimit, apiTimeout)) })
	}
	if !s.clusterOnly() {
		s.addresses = dialAll(ctx, addressesOf(pair))
	}
	looking.Wait()
	if err := ctx.Err(); err != nil {
		return err
	}
	if pair.Status.PlaybackURL != "" {
		fmt.Fprintf(p.errOut, "# both encoders are watched for some time, as viewers get them, by: %s\n", s.watchCommand())
	}
	return preflight.NewReport(s.now, s.subjects(), s.judge()).Print(p.out, p.output)
}

// seePods reads the pair's pods. A user who may not list them is told.
func (p *plugin) seePods(ctx context.Context, s *scene) error {
	var pods corev1.PodList
	err := p.client.List(ctx, &pods, client.InNamespace(s.pair.Namespace), client.MatchingLabels(objects.PairSelector(s.pair.Name)))
	if apierrors.IsForbidden(err) {
		s.unread = append(s.unread, "pods")
		return nil
	}
	s.pods = pods.Items
	return err
}

// seeNodes reads the nodes of both legs' pods. A user who may not read them is told.
func (p *plugin) seeNodes(ctx context.Context, s *scene) error {
	s.zones = map[string]string{}
	for _, leg := range s.pair.Status.Ingest {
		if leg.NodeName == "" {
			continue
		}
		var node corev1.Node
		err := p.client.Get(ctx, client.ObjectKey{Name: leg.NodeName}, &node)
		switch {
		case apierrors.IsForbidden(err):
			s.unread = append(s.unread, "nodes")
			return nil
		case apierrors.IsNotFound(err):
		case err != nil:
			return err
		default:
			s.zones[node.Name] = node.Labels[corev1.LabelTopologyZone]
		}
	}
	return nil
}

// errNoAnswer means that a pod was not read within the time.
var errNoAnswer = errors.New("the API server or the pod does not answer in time")

// readLegs reads the pods of both legs once, at the same time. A leg whose pod has not been read after
// limit has the error errNoAnswer.
func (p *plugin) readLegs(ctx context.Context, pair *v1alpha1.StreamPair, limit time.Duration) map[v1alpha1.Role]reading {
	ctx, stop := context.WithTimeout(ctx, limit)
	defer stop()
	type answer struct {
		role v1alpha1.Role
		reading
	}
	roles := objects.Roles()
	readings, answers := make(map[v1alpha1.Role]reading), make(chan answer, len(roles))
	for _, role := range roles {
		readings[role] = reading{err: errNoAnswer}
		go func() { answers <- answer{role, p.readLeg(ctx, pair, role)} }() // ends after ctx
	}
	for range roles {
		select {
		case one := <-answers:
			readings[one.role] = one.reading
		case <-ctx.Done():
			return readings
		}
	}
	return readings
}

// readLeg reads the pod of a leg once.
func (p *plugin) readLeg(ctx context.Context, pair *v1alpha1.StreamPair, role v1alpha1.Role) reading {
	var got reading
	pod, err := p.connect(ctx, pair, role, apiTimeout, func(error) {})
	if err == nil {
		defer pod.close()
		got = pod.read(ctx)
	} else {
		got.err = err
	}
	if got.err != nil && ctx.Err() != nil {
		got.err = errNoAnswer
	}
	return got
}

// An address is one at which encoders or viewers connect, by TCP.
type address struct {
	subject  string
	hostPort string
	tls      bool
	// err is why the address cannot be reached; nil: it can be. certificate is what it presents.
	err         error
	certificate preflight.Presented
}

// addressesOf returns the addresses of a pair's status. SRT is UDP, so nothing would answer.
func addressesOf(pair *v1alpha1.StreamPair) []address {
	var all []address
	for _, leg := range pair.Status.Ingest {
		all = appendAddress(all, objects.LegName(leg.Role)+" rtmp", leg.RTMP)
		all = appendAddress(all, objects.LegName(leg.Role)+" whip", leg.WHIP)
	}
	return appendAddress(all, "playback", pair.Status.PlaybackURL)
}

// appendAddress appends the address of a URL, unless it is there.
func appendAddress(all []address, subject, raw string) []address {
	ports := map[string]string{"rtmp": "1935", "rtmps": "443", "http": "80", "https": "443"}
	u, err := url.Parse(raw)
	if err != nil || u.Hostname() == "" || ports[u.Scheme] == "" {
		return all
	}
	hostPort := net.JoinHostPort(u.Hostname(), cmp.Or(u.Port(), ports[u.Scheme]))
	for _, known := range all {
		if known.hostPort == hostPort {
			return all
		}
	}
	return append(all, address{subject: subject, hostPort: hostPort, tls: strings.HasSuffix(u.Scheme, "s")})
}

// dialAll tries all addresses at once.
func dialAll(ctx context.Context, all []address) []address {
	ctx, stop := context.WithTimeout(ctx, dialTimeout)
	defer stop()
	var dialing sync.WaitGroup
	for i := range all {
		one := &all[i]
		dialing.Go(func() {
			if one.tls {
				one.certificate, one.err = preflight.Dial(ctx, one.hostPort)
				return
			}
			var conn net.Conn
			if conn, one.err = (&net.Dialer{}).DialContext(ctx, "tcp", one.hostPort); one.err == nil {
				_ = conn.Close()
			}
		})
	}
	dialing.Wait()
	return all
}
