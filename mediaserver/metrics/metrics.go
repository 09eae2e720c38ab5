// Package metrics names every Prometheus metric of the media server, in one place,
// with its unit. It holds no logic: the packages of the media path are given a
// *Metrics and count on it.
package metrics

import "github.com/prometheus/client_golang/prometheus"

// Metrics are the collectors of one media server.
type Metrics struct {
	StreamsLive      prometheus.Gauge
	IngestBytes      *prometheus.CounterVec // app, stream, kind
	IngestBitrateBPS *prometheus.GaugeVec   // app, stream
	Publications     *prometheus.CounterVec // protocol
	PublishRefusals  *prometheus.CounterVec // protocol, reason
	GuardRefusals    *prometheus.CounterVec // reason
	PairActiveLeg    *prometheus.GaugeVec   // pair, leg
	Switches         *prometheus.CounterVec // pair, reason
	SwitchSeconds    *prometheus.HistogramVec
	Viewers          *prometheus.GaugeVec   // protocol
	ViewerRefusals   *prometheus.CounterVec // reason
	ViewersDropped   *prometheus.CounterVec // reason
	ViewerPauses     prometheus.Counter
	ViewerReductions prometheus.Counter
	// What viewers say, once a second each.
	ViewerLossRatio, ViewerJitterSeconds, ViewerRoundTripSeconds, ViewerEstimateBPS prometheus.Histogram

	ReadersStalled     *prometheus.CounterVec // door
	FramesDropped      *prometheus.CounterVec // where
	PacketsDropped     *prometheus.CounterVec // reason
	PacketsResent      prometheus.Counter
	WebRTCRefusals     *prometheus.CounterVec // reason
	CandidatesIgnored  *prometheus.CounterVec // protocol, reason
	FFmpegChildren     prometheus.Gauge
	FFmpegRestarts     *prometheus.CounterVec // reason
	HTTPRequestRefusal *prometheus.CounterVec // reason
	JWKSFetches        *prometheus.CounterVec // result
	RelayFailures      *prometheus.CounterVec // reason
	RelayRefusals      *prometheus.CounterVec // reason
	PeersConnected     *prometheus.GaugeVec   // transport
	SessionForwards    *prometheus.CounterVec // result
	CachesStarved      *prometheus.CounterVec // class
	HLSProgrammes      prometheus.Gauge
	HLSBytes           prometheus.Gauge
	HLSRequests        *prometheus.CounterVec // kind, outcome
	Panics             *prometheus.CounterVec // where
	TLSNotAfter        *prometheus.GaugeVec   // no labels: there is no series without a certificate
	AdmissionPlaces    *prometheus.GaugeVec   // door
	AdmissionRefusals  *prometheus.CounterVec // door, reason
	AdmissionEnded     *prometheus.CounterVec // door, reason

	AntMediaRefusals *prometheus.CounterVec // reason
	// See package srt.
	SRTDropped                            *prometheus.CounterVec // reason
	SRTPackets                            *prometheus.CounterVec // app, stream, what
	SRTRoundTripSeconds, SRTBufferSeconds *prometheus.GaugeVec   // app, stream

	// What players report, see package qoe.
	ViewerReports         *prometheus.CounterVec   // pair, leg, way
	ViewerStalls          *prometheus.CounterVec   // pair, leg, way
	ViewerStalledSeconds  *prometheus.CounterVec   // pair, leg, way
	ViewerJoinSeconds     *prometheus.HistogramVec // pair, leg, way
	ViewerLatencySeconds  *prometheus.HistogramVec // pair, leg, way
	ViewerPacketsLost     *prometheus.CounterVec   // pair, leg
	ViewerPacketsReceived *prometheus.CounterVec   // pair, leg
}

// New makes the metrics and registers them with reg.
func New(reg prometheus.Registerer) *Metrics {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		c := prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "streampair", Name: name, Help: help}, labels)
		reg.MustRegister(c)
		return c
	}
	gauge := func(name, help string, labels ...string) *prometheus.GaugeVec {
		g := prometheus.NewGaugeVec(prometheus.GaugeOpts{Namespace: "streampair", Name: name, Help: help}, labels)
		reg.MustRegister(g)
		return g
	}
	histograms := func(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
		h := prometheus.NewHistogramVec(prometheus.HistogramOpts{Namespace: "streampair", Name: name, Help: help, Buckets: buckets}, labels)
		reg.MustRegister(h)
		return h
	}
	histogram := func(name, help string, buckets ...float64) prometheus.Histogram {
		h := prometheus.NewHistogram(prometheus.HistogramOpts{Namespace: "streampair", Name: name, Help: help, Buckets: buckets})
		reg.MustRegister(h)
		return h
	}
	m := &Metrics{
		StreamsLive:      gauge("streams_live", "Streams that a publisher is feeding now.").WithLabelValues(),
		IngestBytes:      counter("ingest_bytes_total", "Media bytes received from publishers.", "app", "stream", "kind"),
		IngestBitrateBPS: gauge("ingest_bitrate_bits_per_second", "Media bit rate received, averaged over the last seconds.", "app", "stream"),
		Publications:     counter("publications_total", "Publications accepted.", "protocol"),
		PublishRefusals:  counter("publish_refusals_total", "Publishers refused.", "protocol", "reason"),
		GuardRefusals:    counter("guard_refusals_total", "Connections or messages the RTMP guard refused.", "reason"),
		PairActiveLeg:    gauge("pair_active_leg", "1 for the leg whose media is going out, else 0.", "pair", "leg"),
		Switches:         counter("switches_total", "Switches of the active leg.", "pair", "reason"),
		Viewers:          gauge("viewers", "Viewers connected now.", "protocol"),
		ViewerRefusals:   counter("viewer_refusals_total", "Viewers refused.", "reason"),
		ViewersDropped:   counter("viewers_dropped_total", "Viewers disconnected by the server.", "reason"),
		ViewerPauses: counter("viewer_pauses_total",
			"Pauses of sending to viewers from whose address nothing authentic came.").WithLabelValues(),
		ViewerReductions: counter("viewer_reductions_total",
			"Viewers that were given IDRs only, because more than 15 % of their packets were lost for 5 s.").WithLabelValues(),
		ViewerLossRatio: histogram("viewer_loss_ratio",
			"Share of packets lost on the way to a viewer (0 to 1), before RTX repairs it. Each viewer counts once a second.",
			.005, .01, .02, .05, .1, .15, .2, .3, .5),
		ViewerJitterSeconds: histogram("viewer_jitter_seconds",
			"Jitter of the packets that reach a viewer. Each viewer counts once a second.",
			.001, .0025, .005, .01, .025, .05, .1, .25),
		ViewerRoundTripSeconds: histogram("viewer_round_trip_seconds",
			"Round trip to a viewer. Each viewer counts once a second.",
			.005, .01, .025, .05, .1, .2, .3, .5, 1, 2.5),
		ViewerEstimateBPS: histogram("viewer_estimated_bits_per_second",
			"A viewer's own estimate of what the way to it takes. Each viewer that estimates counts once a second.",
			250e3, 500e3, 1e6, 2e6, 4e6, 8e6, 16e6, 32e6, 64e6),
		ReadersStalled: counter("readers_stalled_total",
			"Readers over TCP ended because they do not read, or read too slowly.", "door"),
		FramesDropped:  counter("frames_dropped_total", "Access units dropped.", "where"),
		PacketsDropped: counter("packets_dropped_total", "RTP packets not sent to a viewer.", "reason"),
		PacketsResent:  counter("packets_resent_total", "RTP packets sent again on a viewer's NACK.").WithLabelValues(),
		WebRTCRefusals: counter("webrtc_connections_refused_total", "WebRTC connections over TCP closed at once.", "reason"),
		CandidatesIgnored: counter("ice_candidates_ignored_total",
			"ICE candidates that clients sent after their offer and that were ignored: unreadable, unusable or surplus.", "protocol", "reason"),
		FFmpegChildren: gauge("ffmpeg_children", "ffmpeg processes running.").WithLabelValues(),
		FFmpegRestarts: counter("ffmpeg_restarts_total", "ffmpeg processes replaced.", "reason"),
		JWKSFetches: counter("jwks_fetches_total",
			"Fetches of JSON Web Key Sets from their URLs, by result: success or failure.", "result"),
		AntMediaRefusals: counter("antmedia_refusals_total",
			"What clients of Ant Media Server asked for and did not get, by the definition of the error or another reason.", "reason"),
		SRTDropped: counter("srt_datagrams_dropped_total", "Datagrams that came to the port of SRT and could not be used.", "reason"),
		SRTPackets: counter("srt_packets_total",
			"Packets of SRT publishers, by what became of them: received, retransmitted (received again because they were lost) or lost.",
			"app", "stream", "what"),
		SRTRoundTripSeconds: gauge("srt_round_trip_seconds", "Round trip to an SRT publisher.", "app", "stream"),
		SRTBufferSeconds: gauge("srt_buffer_seconds",
			"How much media of an SRT publisher waits for lost packets. The longest is the latency of the connection.", "app", "stream"),
		ViewerReports: counter("viewer_reports_total", "Reports of players on what their viewers see.", "pair", "leg", "way"),
		ViewerStalls: counter("viewer_stalls_total", "Times that playing stopped at a viewer, as players report.",
			"pair", "leg", "way"),
		ViewerStalledSeconds: counter("viewer_stalled_seconds_total", "Time that playing stood still at viewers, as players report.",
			"pair", "leg", "way"),
		ViewerJoinSeconds: histograms("viewer_join_seconds", "Time from a player's start to its first picture, as players report.",
			[]float64{.1, .25, .5, 1, 2, 4, 8, 16, 32}, "pair", "leg", "way"),
		ViewerLatencySeconds: histograms("viewer_latency_seconds", "How far viewers are behind the encoder, as players report.",
			[]float64{.05, .1, .2, .4, .8, 1.5, 3, 6, 12, 24}, "pair", "leg", "way"),
		ViewerPacketsLost: counter("viewer_packets_lost_total", "RTP packets that did not reach viewers, as players report.",
			"pair", "leg"),
		ViewerPacketsReceived: counter("viewer_packets_received_total", "RTP packets that reached viewers, as players report.",
			"pair", "leg"),
		HTTPRequestRefusal: counter("http_requests_refused_total",
			"HTTP requests refused before they did anything.", "reason"),
		RelayFailures:   counter("relay_failures_total", "Connections to the peer that failed or ended.", "reason"),
		RelayRefusals:   counter("relay_connections_refused_total", "Connections to the relay port that were refused, because the client did not prove to be the other server of the pair.", "reason"),
		PeersConnected:  gauge("peers_connected", "Media servers of the other leg that answer this one, by transport: tls or clear.", "transport"),
		SessionForwards: counter("session_forwards_total", "Requests about a session that were passed on to the other leg's server.", "result"),
		CachesStarved: counter("caches_starved_total",
			"Entry points that a stream's cache lost because the memory budget was spent.", "class"),
		HLSProgrammes: gauge("hls_programmes", "HLS playlists that are being made: of a pair, or of a single stream.").WithLabelValues(),
		HLSBytes:      gauge("hls_bytes", "Memory that the segments of all HLS playlists hold.").WithLabelValues(),
		HLSRequests:   counter("hls_requests_total", "HLS requests answered, for a playlist or for media, by outcome: ok, timeout, not_found or refused.", "kind", "outcome"),
		Panics:        counter("panics_total", "Panics that were kept to what caused them; each is a fault of the server.", "where"),
		TLSNotAfter: gauge("tls_certificate_not_after_seconds",
			"Unix time at which the given TLS certificate ends; missing while a self-signed one is served."),
		AdmissionPlaces:   gauge("admission_places_taken", "Places taken behind a door: connections, viewers, event streams and so on.", "door"),
		AdmissionRefusals: counter("admission_refusals_total", "Newcomers that got no place behind a door.", "door", "reason"),
		AdmissionEnded:    counter("admission_ended_total", "Clients without media that lost their place: to a newcomer, or because they were idle.", "door", "reason"),
	}
	m.SwitchSeconds = prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Namespace: "streampair", Name: "switch_duration_seconds",
		Help:    "Time from the loss of the active leg's last picture to the first picture of the other leg sent.",
		Buckets: []float64{.005, .01, .025, .05, .1, .25, .5, 1, 1.5, 2.5, 5, 10},
	}, []string{"urgency"})
	reg.MustRegister(m.SwitchSeconds)
	return m
}

// ForgetPair removes the series of a pair.
func (m *Metrics) ForgetPair(name string) {
	label := prometheus.Labels{"pair": name}
	for _, series := range []interface{ DeletePartialMatch(prometheus.Labels) int }{
		m.PairActiveLeg, m.Switches, m.ViewerReports, m.ViewerStalls, m.ViewerStalledSeconds,
		m.ViewerJoinSeconds, m.ViewerLatencySeconds, m.ViewerPacketsLost, m.ViewerPacketsReceived,
	} {
		series.DeletePartialMatch(label)
	}
}

// RegisterMemory registers what caches and histories hold, in bytes: the limit for all, and
// what is held now, by class.
func RegisterMemory(reg prometheus.Registerer, limit func() int64, used map[string]func() int64) {
	reg.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Namespace: "streampair", Name: "cache_limit_bytes",
		Help: "Memory that all caches and packet histories may hold together.",
	}, func() float64 { return float64(limit()) }))
	for class, bytes := range used {
		reg.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Namespace: "streampair", Name: "cache_bytes", ConstLabels: prometheus.Labels{"class": class},
			Help: "Memory that caches and packet histories hold, in chunks of 64 KiB.",
		}, func() float64 { return float64(bytes()) }))
	}
}
