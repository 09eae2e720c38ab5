package v1alpha1

// Condition types of a StreamPair. All of them are set from the operator's first
// look at a pair, each with the generation of the spec that it speaks of.
const (
	// ConditionReady: the pods are ready and the addresses known, so publishers and
	// viewers are accepted. Nobody needs to publish: `kubectl wait` for this one.
	ConditionReady = "Ready"
	// ConditionOnAir: viewers get a live picture.
	ConditionOnAir = "OnAir"
	// ConditionPrimaryLive: the primary's media arrives, and viewers can begin with it.
	ConditionPrimaryLive = "PrimaryLive"
	// ConditionBackupLive: the backup's media arrives, and viewers can begin with it.
	ConditionBackupLive = "BackupLive"
	// ConditionRedundant: both legs have all their tracks, on different nodes. While it
	// is not True, the next loss may take the picture away.
	ConditionRedundant = "Redundant"
	// ConditionConverged: both pods play the same leg.
	ConditionConverged = "Converged"
	// ConditionExposed: the addresses are known, and status.playbackURL can be opened.
	ConditionExposed = "Exposed"
	// ConditionProgressing: a rollout or a planned switch is under way. False with a
	// reason that begins with Waiting: one is due, and waits for what the reason says.
	ConditionProgressing = "Progressing"
)

// Reasons of more than one condition.
const (
	// ReasonPaused (any condition): spec.paused is true. Set it to false to go on. Ready is
	// True with this reason once the media pods have ended.
	ReasonPaused = "Paused"
	// ReasonPodNotReady (PrimaryLive, BackupLive, Converged): the leg's media pod does
	// not run yet, or does not run any more.
	ReasonPodNotReady = "PodNotReady"
	// ReasonPodUnreachable (PrimaryLive, BackupLive, OnAir, Redundant, Converged; status
	// Unknown): the operator has had no word from a media pod for 15 seconds. The pod
	// may serve viewers all the same.
	ReasonPodUnreachable = "PodUnreachable"
	// ReasonNameConflict (Ready, Exposed): an object with a name that the pair needs
	// exists and is not the pair's. It is left alone: delete or rename it, or the pair.
	ReasonNameConflict = "NameConflict"
)

// Reasons of ConditionReady.
const (
	// ReasonReady (True).
	ReasonReady = "Ready"
	// ReasonNotExposed: see ConditionExposed.
	ReasonNotExposed = "NotExposed"
	// ReasonPodsNotReady: at least one leg has no ready media pod.
	ReasonPodsNotReady = "PodsNotReady"
	// ReasonInvalidSecret: a Secret that the spec names is missing, or a key in it is
	// missing or cannot be used.
	ReasonInvalidSecret = "InvalidSecret" // #nosec G101 -- the name of a reason
	// ReasonInvalidConfiguration: a media pod refused the pair's manifest and goes on
	// with the one before.
	ReasonInvalidConfiguration = "InvalidConfiguration"
	// ReasonImageNotAllowed: the spec names an image, and the operator was not told to
	// allow that.
	ReasonImageNotAllowed = "ImageNotAllowed"
	// ReasonApplyFailed: the API server refused one of the pair's objects, by a quota or a
	// policy for instance, or keeps failing at one.
	ReasonApplyFailed = "ApplyFailed"
	// ReasonReadFailed (status Unknown): the operator cannot read one of the pair's objects,
	// for want of a right for instance. The other conditions are as it saw them last.
	ReasonReadFailed = "ReadFailed"
)

// Reasons of ConditionOnAir.
const (
	// ReasonOnAir (True).
	ReasonOnAir = "OnAir"
	// ReasonNoLiveStream: neither leg has media. Viewers keep their sessions and the last
	// picture.
	ReasonNoLiveStream = "NoLiveStream"
)

// Reasons of ConditionPrimaryLive and ConditionBackupLive.
const (
	// ReasonLive (True).
	ReasonLive = "Live"
	// ReasonWaitingForPublisher: nobody has published since the pod started.
	ReasonWaitingForPublisher = "WaitingForPublisher"
	// ReasonInputLost: media arrived and stopped: the encoder went, or is connected and
	// silent.
	ReasonInputLost = "InputLost"
	// ReasonNoEntryPoint: media arrives, but no key frame with its parameters that a
	// viewer could begin with. Set a key frame interval of 1 or 2 seconds at the encoder.
	ReasonNoEntryPoint = "NoEntryPoint"
	// ReasonDegraded (True): media arrives, and a track of it cannot be played, or not by
	// all viewers. The message says what to set at the encoder.
	ReasonDegraded = "Degraded"
	// ReasonPublisherConflict: encoders take the stream from one another again and
	// again, so newcomers are refused for the time being. Two of them share a stream id.
	ReasonPublisherConflict = "PublisherConflict"
)

// Reasons of ConditionRedundant.
const (
	// ReasonRedundant (True).
	ReasonRedundant = "Redundant"
	// ReasonPrimaryNotLive: the primary lacks media or a track of it.
	ReasonPrimaryNotLive = "PrimaryNotLive"
	// ReasonBackupNotLive: the backup lacks media or a track of it.
	ReasonBackupNotLive = "BackupNotLive"
	// ReasonSameNode: both media pods run on one node, whose loss would take both.
	ReasonSameNode = "SameNode"
)

// Reasons of ConditionConverged.
const (
	// ReasonConverged (True).
	ReasonConverged = "Converged"
	// ReasonRelayDown: a pod does not get the other leg's media from its peer.
	ReasonRelayDown = "RelayDown"
	// ReasonPodsDisagree: the pods play different legs. They agree by themselves within
	// seconds once both see both legs.
	ReasonPodsDisagree = "PodsDisagree"
	// ReasonDirectivePending: a pod has not yet taken over the latest spec.
	ReasonDirectivePending = "DirectivePending"
)

// Reasons of ConditionExposed.
const (
	// ReasonExposed (True). The message says if WebRTC media does not leave the cluster.
	ReasonExposed = "Exposed"
	// ReasonClusterOnly (True): the playback URL can be opened inside the cluster only.
	// Choose another spec.exposure.http.type, or set spec.playback.externalURL.
	ReasonClusterOnly = "ClusterOnly"
	// ReasonAddressPending: a load balancer has no address yet, its host name does not
	// resolve, or a node has no address.
	ReasonAddressPending = "AddressPending"
	// ReasonInvalidTLSSecret: the certificate of spec.playback.tlsSecretName is missing,
	// cannot be used, or has expired.
	ReasonInvalidTLSSecret = "InvalidTLSSecret" // #nosec G101 -- the name of a reason
	// ReasonExposureNotAllowed: the operator was told not to allow this type of exposure.
	ReasonExposureNotAllowed = "ExposureNotAllowed"
)

// Reasons of ConditionProgressing.
const (
	// ReasonUpToDate (False): nothing is left to do.
	ReasonUpToDate = "UpToDate"
	// ReasonRollingOut (True): a leg's pod is being made or replaced.
	ReasonRollingOut = "RollingOut"
	// ReasonRollingOutUpdate (True): as RollingOut, for a change that the operator brings, such
	// as a new default image. Only so many pairs at a time are updated.
	ReasonRollingOutUpdate = "RollingOutUpdate"
	// ReasonSwitchingOver (True): a planned switch waits for the next key frame.
	ReasonSwitchingOver = "SwitchingOver"
	// ReasonWaitingForStandbyPublisher (False): the leg on air cannot be rolled before the
	// other one is live.
	ReasonWaitingForStandbyPublisher = "WaitingForStandbyPublisher"
	// ReasonWaitingForIdle (False): a change of the operator's waits until nobody
	// publishes or watches; see spec.mediaServer.updatePolicy.
	ReasonWaitingForIdle = "WaitingForIdle"
	// ReasonWaitingForOtherRollouts (False): a change of the operator's waits until fewer
	// other pairs are being updated (--max-concurrent-rollouts).
	ReasonWaitingForOtherRollouts = "WaitingForOtherRollouts"
)

// Reasons of a switch, in status.activeStream and status.lastSwitch.
const (
	// SwitchStarted: the first leg that had media.
	SwitchStarted = "Started"
	// SwitchPrimaryStarted: the primary came within ten seconds of the backup's first
	// picture.
	SwitchPrimaryStarted = "PrimaryStarted"
	// SwitchPrimaryInputLost and SwitchBackupInputLost: that leg's encoder was connected
	// and silent.
	SwitchPrimaryInputLost = "PrimaryInputLost"
	SwitchBackupInputLost  = "BackupInputLost"
	// SwitchPrimaryDisconnected and SwitchBackupDisconnected: that leg's encoder went.
	SwitchPrimaryDisconnected = "PrimaryDisconnected"
	SwitchBackupDisconnected  = "BackupDisconnected"
	// SwitchPrimaryDegraded and SwitchBackupDegraded: that leg lost its picture or its
	// sound, and the other one had both.
	SwitchPrimaryDegraded = "PrimaryDegraded"
	SwitchBackupDegraded  = "BackupDegraded"
	// SwitchPrimaryRecovered: spec.failover.mode is PreferPrimary.
	SwitchPrimaryRecovered = "PrimaryRecovered"
	// SwitchSelected: somebody asked for it, by spec.failover.select.
	SwitchSelected = "Selected"
	// SwitchFollowedPeer: the other media pod plays that leg, and both are to play the same.
	SwitchFollowedPeer = "FollowedPeer"
	// SwitchPrimaryDraining and SwitchBackupDraining: that leg's pod is about to end, and
	// the other leg is live.
	SwitchPrimaryDraining = "PrimaryDraining"
	SwitchBackupDraining  = "BackupDraining"
)

// Reasons of the Events about a StreamPair, each recorded once when it happens.
const (
	// EventFailedOver (Warning): the leg on air was lost, and the other one is played.
	EventFailedOver = "FailedOver"
	// EventFailedBack (Normal): the primary is whole again and is played.
	EventFailedBack = "FailedBack"
	// EventSwitchedOver (Normal): somebody's choice, or a rollout, changed the leg.
	EventSwitchedOver = "SwitchedOver"
	// EventWentOnAir (Normal): viewers get a picture, and had none before.
	EventWentOnAir = "WentOnAir"
	// EventDefinitionOutdated (Warning): the cluster's definition of StreamPair is older than
	// the operator and lacks fields of the status, which is written without them.
	EventDefinitionOutdated = "DefinitionOutdated"
	// EventInputLost (Warning): a leg's media stopped.
	EventInputLost = "InputLost"
	// EventInputRecovered (Normal): a leg's media is back.
	EventInputRecovered = "InputRecovered"
	// EventPublisherConflict (Warning): two encoders share a stream id.
	EventPublisherConflict = "PublisherConflict"
)
