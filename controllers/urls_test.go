package controllers

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"

	"github.com/streampair/streampair/api/control"
	"github.com/streampair/streampair/api/v1alpha1"
)

func TestAddresses(t *testing.T) {
	const query = "/live/play.html?name=primary&backupStreamId=backup&playOrder=webrtc%2Chls"
	type legs = map[v1alpha1.Role]string
	type media = map[v1alpha1.Role][]string
	inCluster := Addresses{
		Playback:    "http://sunday-play.live.svc:5080" + query,
		RTMP:        legs{rolePrimary: "rtmp://sunday-primary-rtmp.live.svc/live/primary", roleBackup: "rtmp://sunday-backup-rtmp.live.svc/live/backup"},
		WHIP:        legs{rolePrimary: "http://sunday-primary-pods.live.svc:5080/live/whip/primary", roleBackup: "http://sunday-backup-pods.live.svc:5080/live/whip/backup"},
		WebRTC:      media{},
		Bases:       legs{rolePrimary: "http://sunday-primary-pods.live.svc:5080", roleBackup: "http://sunday-backup-pods.live.svc:5080"},
		ClusterOnly: true,
	}
	everything := func(kind v1alpha1.ExposureType) func(*v1alpha1.StreamPairSpec) {
		return func(s *v1alpha1.StreamPairSpec) {
			s.Exposure.HTTP.Type, s.Exposure.RTMP.Type, s.Exposure.WebRTC.Type = kind, kind, kind
		}
	}
	ip := func(address string) corev1.LoadBalancerIngress { return corev1.LoadBalancerIngress{IP: address} }
	host := func(name string) corev1.LoadBalancerIngress { return corev1.LoadBalancerIngress{Hostname: name} }

	for _, test := range []struct {
		name   string
		spec   func(*v1alpha1.StreamPairSpec)
		change func(*scene)
		want   func(*Addresses) // from inCluster
	}{
		{name: "ClusterIP"},
		{
			name: "ClusterIP with a certificate",
			spec: func(s *v1alpha1.StreamPairSpec) { s.Playback.TLSSecretName = "live-tls" },
			want: func(a *Addresses) {
				a.Playback, a.Bases = "https://sunday-play.live.svc:5443"+query, legs{}
			},
		},
		{
			name: "the external URL wins, with a path of its own",
			spec: func(s *v1alpha1.StreamPairSpec) {
				s.Playback.ExternalURL = "https://live.example.com/tv/"
				s.Playback.Order = []v1alpha1.PlaybackMethod{v1alpha1.PlaybackHLS}
			},
			want: func(a *Addresses) {
				a.Playback = "https://live.example.com/tv/live/play.html?name=primary&backupStreamId=backup&playOrder=hls"
				a.WHIP = legs{rolePrimary: "https://live.example.com/tv/live/whip/primary", roleBackup: "https://live.example.com/tv/live/whip/backup"}
				a.Bases, a.ClusterOnly = legs{}, false
			},
		},
		{
			name: "NodePort: the nodes of the pods, and their own ports",
			spec: everything(v1alpha1.ExposureNodePort),
			want: func(a *Addresses) {
				*a = Addresses{
					Playback: "http://203.0.113.1:30080" + query,
					RTMP:     legs{rolePrimary: "rtmp://203.0.113.1:30935/live/primary", roleBackup: "rtmp://203.0.113.2:30935/live/backup"},
					WHIP:     legs{rolePrimary: "http://203.0.113.1:32080/live/whip/primary", roleBackup: "http://203.0.113.2:32080/live/whip/backup"},
					WebRTC:   media{rolePrimary: {"203.0.113.1:30189:31189"}, roleBackup: {"203.0.113.2:30189:31189"}},
					Bases:    legs{rolePrimary: "http://203.0.113.1:32080", roleBackup: "http://203.0.113.2:32080"},
				}
			},
		},
		{
			name:   "NodePort, and the primary has no pod: the other node answers too, but not for media",
			spec:   everything(v1alpha1.ExposureNodePort),
			change: func(s *scene) { s.seen.Pods[rolePrimary] = nil },
			want: func(a *Addresses) {
				*a = Addresses{
					Playback: "http://203.0.113.2:30080" + query,
					RTMP:     legs{rolePrimary: "rtmp://203.0.113.2:30935/live/primary", roleBackup: "rtmp://203.0.113.2:30935/live/backup"},
					WHIP:     legs{rolePrimary: "http://203.0.113.2:30080/live/whip/primary", roleBackup: "http://203.0.113.2:32080/live/whip/backup"},
					WebRTC:   media{roleBackup: {"203.0.113.2:30189:31189"}},
					Bases:    legs{roleBackup: "http://203.0.113.2:32080"},
					Pending:  []string{"the primary's pod is not on a node with an address yet"},
				}
			},
		},
		{
			name: "NodePort, and an evicted pod of the primary on another node",
			spec: everything(v1alpha1.ExposureNodePort),
			change: func(s *scene) {
				evicted := s.pod(rolePrimary, 6)
				evicted.Status.Phase = corev1.PodFailed
				s.seen.Pods[rolePrimary] = append(s.seen.Pods[rolePrimary], evicted)
			},
			want: func(a *Addresses) {
				*a = Addresses{
					Playback: "http://203.0.113.1:30080" + query,
					RTMP:     legs{rolePrimary: "rtmp://203.0.113.1:30935/live/primary", roleBackup: "rtmp://203.0.113.2:30935/live/backup"},
					WHIP:     legs{rolePrimary: "http://203.0.113.1:32080/live/whip/primary", roleBackup: "http://203.0.113.2:32080/live/whip/backup"},
					WebRTC:   media{rolePrimary: {"203.0.113.1:30189:31189"}, roleBackup: {"203.0.113.2:30189:31189"}},
					Bases:    legs{rolePrimary: "http://203.0.113.1:32080", roleBackup: "http://203.0.113.2:32080"},
				}
			},
		},
		{
			name: "HostPort",
			spec: func(s *v1alpha1.StreamPairSpec) {
				s.Exposure.WebRTC = v1alpha1.WebRTCExposure{Type: v1alpha1.ExposureHostPort, HostPorts: &v1alpha1.HostPorts{Primary: 8189, Backup: 8190}}
			},
			want: func(a *Addresses) {
				a.WebRTC = media{rolePrimary: {"203.0.113.1:8189:8189"}, roleBackup: {"203.0.113.2:8190:8190"}}
			},
		},
		{
			name: "LoadBalancer, with addresses and names",
			spec: func(s *v1alpha1.StreamPairSpec) {
				everything(v1alpha1.ExposureLoadBalancer)(s)
				s.Playback.TLSSecretName = "live-tls"
			},
			change: func(s *scene) {
				s.balancer("sunday-play", host("play.elb.example.com"))
				s.balancer("sunday-primary-rtmp", ip("198.51.100.1"))
				s.balancer("sunday-backup-rtmp", ip("2001:db8::1"))
				s.balancer("sunday-primary-media", ip("198.51.100.3"))
				s.balancer("sunday-primary-media-tcp", ip("198.51.100.4"))
				s.balancer("sunday-backup-media", host("media.elb.example.com"))
				s.balancer("sunday-backup-media-tcp", host("media.elb.example.com"))
				s.resolves("media.elb.example.com", "198.51.100.5", "2001:db8::5")
			},
			want: func(a *Addresses) {
				*a = Addresses{
					Playback: "https://play.elb.example.com" + query,
					RTMP:     legs{rolePrimary: "rtmp://198.51.100.1/live/primary", roleBackup: "rtmp://[2001:db8::1]/live/backup"},
					WHIP:     legs{rolePrimary: "https://play.elb.example.com/live/whip/primary", roleBackup: "https://play.elb.example.com/live/whip/backup"},
					WebRTC: media{
						rolePrimary: {"198.51.100.3:8189:8189", "198.51.100.4:8189:8189"},
						roleBackup:  {"198.51.100.5:8189:8189", "[2001:db8::5]:8189:8189"},
					},
					Bases: legs{}, // the certificate is not for these addresses
				}
			},
		},
		{
			name: "LoadBalancer without a certificate: signalling where the media goes over TCP",
			spec: everything(v1alpha1.ExposureLoadBalancer),
			change: func(s *scene) {
				s.balancer("sunday-play", host("play.elb.example.com"))
				s.balancer("sunday-primary-rtmp", ip("198.51.100.1"))
				s.balancer("sunday-backup-rtmp", ip("198.51.100.2"))
				s.balancer("sunday-primary-media", ip("198.51.100.3"))
				s.balancer("sunday-primary-media-tcp", ip("198.51.100.4"))
				s.balancer("sunday-backup-media", ip("198.51.100.5"))
				s.balancer("sunday-backup-media-tcp", host("media.elb.example.com"))
				s.resolves("media.elb.example.com", "2001:db8::5")
			},
			want: func(a *Addresses) {
				*a = Addresses{
					Playback: "http://play.elb.example.com" + query,
					RTMP:     legs{rolePrimary: "rtmp://198.51.100.1/live/primary", roleBackup: "rtmp://198.51.100.2/live/backup"},
					WHIP:     legs{rolePrimary: "http://198.51.100.4/live/whip/primary", roleBackup: "http://media.elb.example.com/live/whip/backup"},
					WebRTC: media{
						rolePrimary: {"198.51.100.3:8189:8189", "198.51.100.4:8189:8189"},
						roleBackup:  {"198.51.100.5:8189:8189", "[2001:db8::5]:8189:8189"},
					},
					Bases: legs{rolePrimary: "http://198.51.100.4", roleBackup: "http://media.elb.example.com"},
				}
			},
		},
		{
			name: "a page that comes by HTTPS asks nothing by HTTP",
			spec: func(s *v1alpha1.StreamPairSpec) {
				everything(v1alpha1.ExposureNodePort)(s)
				s.Playback.ExternalURL = "https://live.example.com"
			},
			want: func(a *Addresses) {
				*a = Addresses{
					Playback: "https://live.example.com" + query,
					RTMP:     legs{rolePrimary: "rtmp://203.0.113.1:30935/live/primary", roleBackup: "rtmp://203.0.113.2:30935/live/backup"},
					WHIP:     legs{rolePrimary: "http://203.0.113.1:30080/live/whip/primary", roleBackup: "http://203.0.113.1:30080/live/whip/backup"},
					WebRTC:   media{rolePrimary: {"203.0.113.1:30189:31189"}, roleBackup: {"203.0.113.2:30189:31189"}},
					Bases:    legs{},
				}
			},
		},
		{
			name: "who may not get in by the playback Service, may not by the media's",
			spec: func(s *v1alpha1.StreamPairSpec) {
				s.Exposure.HTTP.ServiceExposure = v1alpha1.ServiceExposure{
					Type: v1alpha1.ExposureLoadBalancer, LoadBalancer: &v1alpha1.LoadBalancerExposure{SourceRanges: []string{"192.0.2.0/24"}},
				}
				s.Exposure.WebRTC.Type = v1alpha1.ExposureNodePort
			},
			change: func(s *scene) { s.balancer("sunday-play", ip("198.51.100.1")) },
			want: func(a *Addresses) {
				a.Playback, a.ClusterOnly = "http://198.51.100.1"+query, false
				a.WHIP = legs{rolePrimary: "http://198.51.100.1/live/whip/primary", roleBackup: "http://198.51.100.1/live/whip/backup"}
				a.WebRTC = media{rolePrimary: {"203.0.113.1:30189:31189"}, roleBackup: {"203.0.113.2:30189:31189"}}
				a.Bases = legs{}
			},
		},
		{
			name: "LoadBalancer without an address, and with a name that does not resolve",
			spec: everything(v1alpha1.ExposureLoadBalancer),
			change: func(s *scene) {
				s.balancer("sunday-backup-media", host("media.elb.example.com"))
			},
			want: func(a *Addresses) {
				*a = Addresses{RTMP: legs{}, WHIP: legs{}, WebRTC: media{}, Bases: legs{}, Pending: []string{
					"Service sunday-backup-media-tcp has no address of its load balancer yet",
					"Service sunday-backup-rtmp has no address of its load balancer yet",
					"Service sunday-play has no address of its load balancer yet",
					"Service sunday-primary-media has no address of its load balancer yet",
					"Service sunday-primary-media-tcp has no address of its load balancer yet",
					"Service sunday-primary-rtmp has no address of its load balancer yet",
					"the name media.elb.example.com of the load balancer of Service sunday-backup-media does not resolve yet",
				}}
			},
		},
		{
			name: "addresses of the spec win over those of Services",
			spec: func(s *v1alpha1.StreamPairSpec) {
				everything(v1alpha1.ExposureNodePort)(s)
				s.Exposure.HTTP.ExternalAddresses = &v1alpha1.LegAddresses{Primary: []string{"a.example.com"}, Backup: []string{"b.example.com:8443"}}
				s.Exposure.RTMP.ExternalAddresses = &v1alpha1.LegAddresses{Primary: []string{"[2001:db8::9]"}, Backup: []string{"in.example.com:1940"}}
				s.Exposure.WebRTC.ExternalAddresses = &v1alpha1.LegAddresses{Primary: []string{"198.51.100.9:40000:40001"}}
			},
			want: func(a *Addresses) {
				*a = Addresses{
					Playback: "http://a.example.com" + query,
					RTMP:     legs{rolePrimary: "rtmp://[2001:db8::9]/live/primary", roleBackup: "rtmp://in.example.com:1940/live/backup"},
					WHIP:     legs{rolePrimary: "http://a.example.com/live/whip/primary", roleBackup: "http://b.example.com:8443/live/whip/backup"},
					WebRTC:   media{rolePrimary: {"198.51.100.9:40000:40001"}, roleBackup: {"203.0.113.2:30189:31189"}},
					Bases:    legs{rolePrimary: "http://a.example.com", roleBackup: "http://b.example.com:8443"},
				}
			},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := newScene(t, test.spec)
			if test.change != nil {
				test.change(s)
			}
			want := inCluster
			if test.want != nil {
				test.want(&want)
			}
			if diff := cmp.Diff(want, addressesOf(s.pair, s.seen)); diff != "" {
				t.Errorf("addresses (-want +got):\n%s", diff)
			}
		})
	}
}

// A port too many lets somebody in past what the spec put before the playback Service.
func TestMediaServicesHaveHTTPWhereViewersUseItAlone(t *testing.T) {
	balancer := func(b *v1alpha1.LoadBalancerExposure) v1alpha1.ServiceExposure {
		return v1alpha1.ServiceExposure{Type: v1alpha1.ExposureLoadBalancer, LoadBalancer: b}
	}
	internal := map[string]string{"example.com/scheme": "internal"}
	for _, test := range []struct {
		name   string
		http   v1alpha1.ServiceExposure
		webrtc v1alpha1.WebRTCExposure
		change func(*v1alpha1.StreamPairSpec)
		want   []string // of the primary's Service with TCP
	}{
		{name: "node ports", http: v1alpha1.ServiceExposure{Type: v1alpha1.ExposureNodePort},
			webrtc: v1alpha1.WebRTCExposure{Type: v1alpha1.ExposureNodePort}, want: []string{"webrtc-udp", "webrtc-tcp", "http"}},
		{name: "load balancers", http: balancer(nil),
			webrtc: v1alpha1.WebRTCExposure{Type: v1alpha1.ExposureLoadBalancer, LoadBalancer: &v1alpha1.LoadBalancerExposure{MixedProtocol: true}},
			want:   []string{"webrtc-udp", "webrtc-tcp", "http"}},
		{name: "load balancers of one kind, for the same networks",
			http: balancer(&v1alpha1.LoadBalancerExposure{Class: "example.com/a", Annotations: internal, SourceRanges: []string{"192.0.2.0/24", "198.51.100.0/24"}}),
			webrtc: v1alpha1.WebRTCExposure{Type: v1alpha1.ExposureLoadBalancer, LoadBalancer: &v1alpha1.LoadBalancerExposure{
				Class: "example.com/a", Annotations: internal, SourceRanges: []string{"198.51.100.0/24", "192.0.2.0/24"}}},
			want: []string{"webrtc-tcp", "http"}},
		{name: "an internal load balancer, and a public one", http: balancer(&v1alpha1.LoadBalancerExposure{Annotations: internal}),
			webrtc: v1alpha1.WebRTCExposure{Type: v1alpha1.ExposureLoadBalancer}, want: []string{"webrtc-tcp"}},
		{name: "load balancers of two classes", http: balancer(&v1alpha1.LoadBalancerExposure{Class: "example.com/a"}),
			webrtc: v1alpha1.WebRTCExposure{Type: v1alpha1.ExposureLoadBalancer}, want: []string{"webrtc-tcp"}},
		{name: "for other networks", http: balancer(&v1alpha1.LoadBalancerExposure{SourceRanges: []string{"192.0.2.0/24"}}),
			webrtc: v1alpha1.WebRTCExposure{Type: v1alpha1.ExposureLoadBalancer}, want: []string{"webrtc-tcp"}},
		{name: "ports of private nodes, and a public load balancer", http: v1alpha1.ServiceExposure{Type: v1alpha1.ExposureNodePort},
			webrtc: v1alpha1.WebRTCExposure{Type: v1alpha1.ExposureLoadBalancer}, want: []string{"webrtc-tcp"}},
		{name: "the page comes by HTTPS", http: balancer(nil), webrtc: v1alpha1.WebRTCExposure{Type: v1alpha1.ExposureLoadBalancer},
			change: func(s *v1alpha1.StreamPairSpec) { s.Playback.ExternalURL = "https://live.example.com" }, want: []string{"webrtc-tcp"}},
		{name: "viewers have another address of the leg",
			http:   v1alpha1.ServiceExposure{Type: v1alpha1.ExposureNodePort, ExternalAddresses: &v1alpha1.LegAddresses{Primary: []string{"a.example.com"}}},
			webrtc: v1alpha1.WebRTCExposure{Type: v1alpha1.ExposureNodePort}, want: []string{"webrtc-udp", "webrtc-tcp"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := newScene(t, func(spec *v1alpha1.StreamPairSpec) {
				spec.Exposure.HTTP.ServiceExposure, spec.Exposure.WebRTC = test.http, test.webrtc
				if test.change != nil {
					test.change(spec)
				}
			})
			services := mediaServices(s.pair, rolePrimary)
			var got []string
			for _, port := range services[len(services)-1].Config.(*corev1ac.ServiceApplyConfiguration).Spec.Ports {
				got = append(got, *port.Name)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("ports (-want +got):\n%s", diff)
			}
		})
	}
}

func TestAddressesThatAreNotKnownNowAreNotTakenBack(t *testing.T) {
	s := newScene(t, func(s *v1alpha1.StreamPairSpec) {
		s.Exposure.HTTP.Type, s.Exposure.WebRTC.Type = v1alpha1.ExposureLoadBalancer, v1alpha1.ExposureLoadBalancer
	})
	for _, name := range []string{"sunday-primary-media", "sunday-primary-media-tcp"} {
		s.balancer(name, corev1.LoadBalancerIngress{Hostname: "media.elb.example.com"}) // does not resolve
	}
	status := s.at(rolePrimary).State.Status
	status.Advertised = []string{"198.51.100.5:8189:8189"}
	status.BaseURLs = map[string]string{"Primary": "http://198.51.100.5", "Backup": "http://198.51.100.6"}
	s.balancer("sunday-backup-media-tcp", corev1.LoadBalancerIngress{IP: "198.51.100.7"})
	want := control.MediaAddresses{
		WebRTC: status.Advertised, HTTP: map[string]string{"Primary": "http://media.elb.example.com", "Backup": "http://198.51.100.7"},
	}
	if diff := cmp.Diff(want, s.decide().Pushes[0].Addresses); diff != "" {
		t.Errorf("a name does not resolve: told -want +got:\n%s", diff)
	}
	for _, name := range []string{"sunday-primary-media", "sunday-primary-media-tcp"} {
		s.balancer(name)
	}
	want.HTTP["Primary"] = "http://198.51.100.5"
	if diff := cmp.Diff(want, s.decide().Pushes[0].Addresses); diff != "" {
		t.Errorf("a load balancer lost its address: told -want +got:\n%s", diff)
	}
}
