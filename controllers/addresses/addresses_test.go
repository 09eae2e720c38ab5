package addresses_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"github.com/streampair/streampair/api/v1alpha1"
	"github.com/streampair/streampair/controllers/addresses"
	"github.com/streampair/streampair/controllers/observed/observedtest"
)

func TestAddresses(t *testing.T) {
	const query = "/live/play.html?name=primary&backupStreamId=backup&playOrder=webrtc%2Chls"
	type legs = map[v1alpha1.Role]string
	type media = map[v1alpha1.Role][]string
	inCluster := addresses.Addresses{
		Playback:    "http://sunday-play.live.svc:5080" + query,
		RTMP:        legs{v1alpha1.RolePrimary: "rtmp://sunday-primary-rtmp.live.svc/live/primary", v1alpha1.RoleBackup: "rtmp://sunday-backup-rtmp.live.svc/live/backup"},
		WHIP:        legs{v1alpha1.RolePrimary: "http://sunday-primary-pods.live.svc:5080/live/whip/primary", v1alpha1.RoleBackup: "http://sunday-backup-pods.live.svc:5080/live/whip/backup"},
		WebRTC:      media{},
		Bases:       legs{v1alpha1.RolePrimary: "http://sunday-primary-pods.live.svc:5080", v1alpha1.RoleBackup: "http://sunday-backup-pods.live.svc:5080"},
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
		change func(*observedtest.Scene)
		want   func(*addresses.Addresses) // changes what a pair inside the cluster has
	}{
		{name: "ClusterIP"},
		{
			name: "SRT inside the cluster",
			spec: func(s *v1alpha1.StreamPairSpec) {
				s.Exposure.SRT = &v1alpha1.ServiceExposure{Type: v1alpha1.ExposureClusterIP}
			},
			want: func(a *addresses.Addresses) {
				a.SRT = legs{
					v1alpha1.RolePrimary: "srt://sunday-primary-srt.live.svc:8890?streamid=publish:live/primary",
					v1alpha1.RoleBackup:  "srt://sunday-backup-srt.live.svc:8890?streamid=publish:live/backup",
				}
			},
		},
		{
			name: "SRT at other addresses",
			spec: func(s *v1alpha1.StreamPairSpec) {
				s.Exposure.SRT = &v1alpha1.ServiceExposure{Type: v1alpha1.ExposureClusterIP, ExternalAddresses: &v1alpha1.LegAddresses{
					Primary: []string{"[2001:db8::9]"}, Backup: []string{"in.example.com:1940"},
				}}
			},
			want: func(a *addresses.Addresses) {
				a.SRT = legs{
					v1alpha1.RolePrimary: "srt://[2001:db8::9]:8890?streamid=publish:live/primary",
					v1alpha1.RoleBackup:  "srt://in.example.com:1940?streamid=publish:live/backup",
				}
			},
		},
		{
			name: "ClusterIP with a certificate",
			spec: func(s *v1alpha1.StreamPairSpec) { s.Playback.TLSSecretName = "live-tls" },
			want: func(a *addresses.Addresses) {
				a.Playback, a.Bases = "https://sunday-play.live.svc:5443"+query, legs{}
			},
		},
		{
			name: "the external URL wins, with a path of its own",
			spec: func(s *v1alpha1.StreamPairSpec) {
				s.Playback.ExternalURL = "https://live.example.com/tv/"
				s.Playback.Order = []v1alpha1.PlaybackMethod{v1alpha1.PlaybackHLS}
			},
			want: func(a *addresses.Addresses) {
				a.Playback = "https://live.example.com/tv/live/play.html?name=primary&backupStreamId=backup&playOrder=hls"
				a.WHIP = legs{v1alpha1.RolePrimary: "https://live.example.com/tv/live/whip/primary", v1alpha1.RoleBackup: "https://live.example.com/tv/live/whip/backup"}
				a.Bases, a.ClusterOnly = legs{}, false
			},
		},
		{
			name: "NodePort: the nodes of the pods, and their own ports",
			spec: everything(v1alpha1.ExposureNodePort),
			want: func(a *addresses.Addresses) {
				*a = addresses.Addresses{
					Playback: "http://203.0.113.1:30080" + query,
					RTMP:     legs{v1alpha1.RolePrimary: "rtmp://203.0.113.1:30935/live/primary", v1alpha1.RoleBackup: "rtmp://203.0.113.2:30935/live/backup"},
					WHIP:     legs{v1alpha1.RolePrimary: "http://203.0.113.1:32080/live/whip/primary", v1alpha1.RoleBackup: "http://203.0.113.2:32080/live/whip/backup"},
					WebRTC:   media{v1alpha1.RolePrimary: {"203.0.113.1:30189:31189"}, v1alpha1.RoleBackup: {"203.0.113.2:30189:31189"}},
					Bases:    legs{v1alpha1.RolePrimary: "http://203.0.113.1:32080", v1alpha1.RoleBackup: "http://203.0.113.2:32080"},
				}
			},
		},
		{
			name:   "NodePort, and the primary has no pod: the other node answers too, but not for media",
			spec:   everything(v1alpha1.ExposureNodePort),
			change: func(s *observedtest.Scene) { s.Seen.Pods[v1alpha1.RolePrimary] = nil },
			want: func(a *addresses.Addresses) {
				*a = addresses.Addresses{
					Playback: "http://203.0.113.2:30080" + query,
					RTMP:     legs{v1alpha1.RolePrimary: "rtmp://203.0.113.2:30935/live/primary", v1alpha1.RoleBackup: "rtmp://203.0.113.2:30935/live/backup"},
					WHIP:     legs{v1alpha1.RolePrimary: "http://203.0.113.2:30080/live/whip/primary", v1alpha1.RoleBackup: "http://203.0.113.2:32080/live/whip/backup"},
					WebRTC:   media{v1alpha1.RoleBackup: {"203.0.113.2:30189:31189"}},
					Bases:    legs{v1alpha1.RoleBackup: "http://203.0.113.2:32080"},
					Pending:  []string{"the primary's pod is not on a node with an address yet"},
				}
			},
		},
		{
			name: "NodePort, and an evicted pod of the primary on another node",
			spec: everything(v1alpha1.ExposureNodePort),
			change: func(s *observedtest.Scene) {
				evicted := s.Pod(v1alpha1.RolePrimary, 6)
				evicted.Status.Phase = corev1.PodFailed
				s.Seen.Pods[v1alpha1.RolePrimary] = append(s.Seen.Pods[v1alpha1.RolePrimary], evicted)
			},
			want: func(a *addresses.Addresses) {
				*a = addresses.Addresses{
					Playback: "http://203.0.113.1:30080" + query,
					RTMP:     legs{v1alpha1.RolePrimary: "rtmp://203.0.113.1:30935/live/primary", v1alpha1.RoleBackup: "rtmp://203.0.113.2:30935/live/backup"},
					WHIP:     legs{v1alpha1.RolePrimary: "http://203.0.113.1:32080/live/whip/primary", v1alpha1.RoleBackup: "http://203.0.113.2:32080/live/whip/backup"},
					WebRTC:   media{v1alpha1.RolePrimary: {"203.0.113.1:30189:31189"}, v1alpha1.RoleBackup: {"203.0.113.2:30189:31189"}},
					Bases:    legs{v1alpha1.RolePrimary: "http://203.0.113.1:32080", v1alpha1.RoleBackup: "http://203.0.113.2:32080"},
				}
			},
		},
		{
			name: "HostPort",
			spec: func(s *v1alpha1.StreamPairSpec) {
				s.Exposure.WebRTC = v1alpha1.WebRTCExposure{Type: v1alpha1.ExposureHostPort, HostPorts: &v1alpha1.HostPorts{Primary: 8189, Backup: 8190}}
			},
			want: func(a *addresses.Addresses) {
				a.WebRTC = media{v1alpha1.RolePrimary: {"203.0.113.1:8189:8189"}, v1alpha1.RoleBackup: {"203.0.113.2:8190:8190"}}
			},
		},
		{
			name: "LoadBalancer, with addresses and names",
			spec: func(s *v1alpha1.StreamPairSpec) {
				everything(v1alpha1.ExposureLoadBalancer)(s)
				s.Playback.TLSSecretName = "live-tls"
			},
			change: func(s *observedtest.Scene) {
				s.Balancer("sunday-play", host("play.elb.example.com"))
				s.Balancer("sunday-primary-rtmp", ip("198.51.100.1"))
				s.Balancer("sunday-backup-rtmp", ip("2001:db8::1"))
				s.Balancer("sunday-primary-media", ip("198.51.100.3"))
				s.Balancer("sunday-primary-media-tcp", ip("198.51.100.4"))
				s.Balancer("sunday-backup-media", host("media.elb.example.com"))
				s.Balancer("sunday-backup-media-tcp", host("media.elb.example.com"))
				s.Resolves("media.elb.example.com", "198.51.100.5", "2001:db8::5")
			},
			want: func(a *addresses.Addresses) {
				*a = addresses.Addresses{
					Playback: "https://play.elb.example.com" + query,
					RTMP:     legs{v1alpha1.RolePrimary: "rtmp://198.51.100.1/live/primary", v1alpha1.RoleBackup: "rtmp://[2001:db8::1]/live/backup"},
					WHIP:     legs{v1alpha1.RolePrimary: "https://play.elb.example.com/live/whip/primary", v1alpha1.RoleBackup: "https://play.elb.example.com/live/whip/backup"},
					WebRTC: media{
						v1alpha1.RolePrimary: {"198.51.100.3:8189:8189", "198.51.100.4:8189:8189"},
						v1alpha1.RoleBackup:  {"198.51.100.5:8189:8189", "[2001:db8::5]:8189:8189"},
					},
					Bases: legs{}, // the certificate does not name these addresses
				}
			},
		},
		{
			name: "LoadBalancer without a certificate: signalling where the media goes over TCP",
			spec: everything(v1alpha1.ExposureLoadBalancer),
			change: func(s *observedtest.Scene) {
				s.Balancer("sunday-play", host("play.elb.example.com"))
				s.Balancer("sunday-primary-rtmp", ip("198.51.100.1"))
				s.Balancer("sunday-backup-rtmp", ip("198.51.100.2"))
				s.Balancer("sunday-primary-media", ip("198.51.100.3"))
				s.Balancer("sunday-primary-media-tcp", ip("198.51.100.4"))
				s.Balancer("sunday-backup-media", ip("198.51.100.5"))
				s.Balancer("sunday-backup-media-tcp", host("media.elb.example.com"))
				s.Resolves("media.elb.example.com", "2001:db8::5")
			},
			want: func(a *addresses.Addresses) {
				*a = addresses.Addresses{
					Playback: "http://play.elb.example.com" + query,
					RTMP:     legs{v1alpha1.RolePrimary: "rtmp://198.51.100.1/live/primary", v1alpha1.RoleBackup: "rtmp://198.51.100.2/live/backup"},
					WHIP:     legs{v1alpha1.RolePrimary: "http://198.51.100.4/live/whip/primary", v1alpha1.RoleBackup: "http://media.elb.example.com/live/whip/backup"},
					WebRTC: media{
						v1alpha1.RolePrimary: {"198.51.100.3:8189:8189", "198.51.100.4:8189:8189"},
						v1alpha1.RoleBackup:  {"198.51.100.5:8189:8189", "[2001:db8::5]:8189:8189"},
					},
					Bases: legs{v1alpha1.RolePrimary: "http://198.51.100.4", v1alpha1.RoleBackup: "http://media.elb.example.com"},
				}
			},
		},
		{
			name: "a page that comes by HTTPS asks nothing by HTTP",
			spec: func(s *v1alpha1.StreamPairSpec) {
				everything(v1alpha1.ExposureNodePort)(s)
				s.Playback.ExternalURL = "https://live.example.com"
			},
			want: func(a *addresses.Addresses) {
				*a = addresses.Addresses{
					Playback: "https://live.example.com" + query,
					RTMP:     legs{v1alpha1.RolePrimary: "rtmp://203.0.113.1:30935/live/primary", v1alpha1.RoleBackup: "rtmp://203.0.113.2:30935/live/backup"},
					WHIP:     legs{v1alpha1.RolePrimary: "http://203.0.113.1:30080/live/whip/primary", v1alpha1.RoleBackup: "http://203.0.113.1:30080/live/whip/backup"},
					WebRTC:   media{v1alpha1.RolePrimary: {"203.0.113.1:30189:31189"}, v1alpha1.RoleBackup: {"203.0.113.2:30189:31189"}},
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
			change: func(s *observedtest.Scene) { s.Balancer("sunday-play", ip("198.51.100.1")) },
			want: func(a *addresses.Addresses) {
				a.Playback, a.ClusterOnly = "http://198.51.100.1"+query, false
				a.WHIP = legs{v1alpha1.RolePrimary: "http://198.51.100.1/live/whip/primary", v1alpha1.RoleBackup: "http://198.51.100.1/live/whip/backup"}
				a.WebRTC = media{v1alpha1.RolePrimary: {"203.0.113.1:30189:31189"}, v1alpha1.RoleBackup: {"203.0.113.2:30189:31189"}}
				a.Bases = legs{}
			},
		},
		{
			name: "LoadBalancer without an address, and with a name that does not resolve",
			spec: everything(v1alpha1.ExposureLoadBalancer),
			change: func(s *observedtest.Scene) {
				s.Balancer("sunday-backup-media", host("media.elb.example.com"))
			},
			want: func(a *addresses.Addresses) {
				*a = addresses.Addresses{RTMP: legs{}, WHIP: legs{}, WebRTC: media{}, Bases: legs{}, Pending: []string{
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
			want: func(a *addresses.Addresses) {
				*a = addresses.Addresses{
					Playback: "http://a.example.com" + query,
					RTMP:     legs{v1alpha1.RolePrimary: "rtmp://[2001:db8::9]/live/primary", v1alpha1.RoleBackup: "rtmp://in.example.com:1940/live/backup"},
					WHIP:     legs{v1alpha1.RolePrimary: "http://a.example.com/live/whip/primary", v1alpha1.RoleBackup: "http://b.example.com:8443/live/whip/backup"},
					WebRTC:   media{v1alpha1.RolePrimary: {"198.51.100.9:40000:40001"}, v1alpha1.RoleBackup: {"203.0.113.2:30189:31189"}},
					Bases:    legs{v1alpha1.RolePrimary: "http://a.example.com", v1alpha1.RoleBackup: "http://b.example.com:8443"},
				}
			},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := observedtest.New(t, test.spec)
			if test.change != nil {
				test.change(s)
			}
			want := inCluster
			if test.want != nil {
				test.want(&want)
			}
			if diff := cmp.Diff(want, addresses.Of(s.Pair, s.Seen)); diff != "" {
				t.Errorf("addresses (-want +got):\n%s", diff)
			}
		})
	}
}
