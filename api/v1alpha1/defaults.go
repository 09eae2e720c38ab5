package v1alpha1

// Default values of the spec, as in the kubebuilder markers of the types, where they have one.
const (
	DefaultApp                       = "live"
	DefaultInputLossMilliseconds     = 1000
	DefaultRecoverySeconds           = 10
	DefaultMaxJitterMilliseconds     = 5000 // media servers fill it in: those of before refuse the field
	DefaultSilenceAfterSeconds       = 10   // of content: media servers fill these in too
	DefaultSilenceBelowDBFS          = -60
	DefaultBlackAfterSeconds         = 5
	DefaultFrozenAfterSeconds        = 10
	DefaultLowBitrateAfterSeconds    = 10
	DefaultLowFrameRateAfterSeconds  = 10
	DefaultLowFrameRateBelowPercent  = 50
	DefaultContentClearSeconds       = 5
	DefaultHLSSegmentSeconds         = 2
	DefaultHLSPartMilliseconds       = 250
	DefaultHLSWindowSeconds          = 30
	DefaultDrainTimeoutSeconds       = 30
	DefaultNodeLossTolerationSeconds = 30
)

// Default fills in what the spec leaves out, as the API server does from the
// CustomResourceDefinition. It is idempotent and touches nothing that is set, right
// or wrong.
func (p *StreamPair) Default() {
	setDefault(&p.Spec.App, DefaultApp)
	p.Spec.Failover.setDefaults()
	p.Spec.Playback.setDefaults()
	setDefault(&p.Spec.Publish.Auth, PublishToken)
	setDefault(&p.Spec.Exposure.HTTP.Type, ExposureClusterIP)
	setDefault(&p.Spec.Exposure.RTMP.Type, ExposureClusterIP)
	if p.Spec.Exposure.SRT != nil {
		setDefault(&p.Spec.Exposure.SRT.Type, ExposureClusterIP)
	}
	setDefault(&p.Spec.Exposure.WebRTC.Type, ExposureClusterIP)
	p.Spec.MediaServer.setDefaults()
}

func (f *Failover) setDefaults() {
	setDefault(&f.Mode, FailoverSticky)
	setDefault(&f.Select, SelectAuto)
	setDefault(&f.InputLossMilliseconds, DefaultInputLossMilliseconds)
	setDefaultPointer(&f.RecoverySeconds, DefaultRecoverySeconds)
	if f.Content != nil {
		setDefault(&f.Content.Policy, ContentObserve)
	}
}

func (p *Playback) setDefaults() {
	if p.Order == nil {
		p.Order = []PlaybackMethod{PlaybackWebRTC, PlaybackHLS}
	}
	setDefault(&p.Auth, PlaybackNone)
	setDefault(&p.LegacyClients, LegacyClientsPair)
	if p.HLS != nil {
		setDefault(&p.HLS.Mode, HLSOnDemand)
		setDefault(&p.HLS.SegmentSeconds, DefaultHLSSegmentSeconds)
		setDefault(&p.HLS.PartMilliseconds, DefaultHLSPartMilliseconds)
		setDefault(&p.HLS.WindowSeconds, DefaultHLSWindowSeconds)
	}
}

func (m *MediaServer) setDefaults() {
	setDefault(&m.AntiAffinity, AntiAffinityPreferred)
	setDefaultPointer(&m.DrainTimeoutSeconds, DefaultDrainTimeoutSeconds)
	setDefaultPointer(&m.NodeLossTolerationSeconds, DefaultNodeLossTolerationSeconds)
	setDefault(&m.UpdatePolicy, UpdateWhenIdle)
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

func setDefaultPointer[T any](field **T, value T) {
	if *field == nil {
		*field = &value
	}
}
