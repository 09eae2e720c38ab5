package v1alpha1

// Condition types of a StreamPair. The operator sets all of them at its first
// reconcile of a pair. Each has the generation of the spec that it is about.
const (
	// ConditionReady: publishers and viewers are accepted. The pods are ready and the
	// addresses are known. Nobody needs to publish. Use this condition for `kubectl wait`.
	ConditionReady = "Ready"
	// ConditionOnAir: viewers get a live picture.
	ConditionOnAir = "OnAir"
	// ConditionPrimaryLive: the primary's media arrives, and viewers can begin with it.
	ConditionPrimaryLive = "PrimaryLive"
	// ConditionBackupLive: the backup's media arrives, and viewers can begin with it.
	ConditionBackupLive = "BackupLive"
	// ConditionPrimaryHealthy: the primary's picture and sound are without a fault that the
	// backup's are without.
	ConditionPrimaryHealthy = "PrimaryHealthy"
	// ConditionBackupHealthy: the backup's picture and sound are without a fault that the
	// primary's are without.
	ConditionBackupHealthy = "BackupHealthy"
	// ConditionInStep: both legs show the same moment of the programme, to within a second.
	ConditionInStep = "InStep"
	// ConditionRedundant: both legs have all their tracks, without a fault of their content,
	// on different nodes. While this
	// condition is not True, the next loss may end the picture.
	ConditionRedundant = "Redundant"
	// ConditionConverged: both pods play the same leg.
	ConditionConverged = "Converged"
	// ConditionExposed: the addresses are known, and status.playbackURL can be opened.
	ConditionExposed = "Exposed"
	// ConditionProgressing: a rollout or a planned switch is under way. If it is False with
	// a reason that begins with Waiting, a rollout is due and waits for what the reason says.
	ConditionProgressing = "Progressing"
)

// Reasons of more than one condition.
const (
	// ReasonPaused (any condition): spec.paused is true. Set spec.paused to false to go on.
	// Ready is True with this reason once the media pods have ended.
	ReasonPaused = "Paused"
	// ReasonPodNotReady (PrimaryLive, BackupLive, PrimaryHealthy, BackupHealthy, InStep,
	// Converged): the leg's media pod does
	// not run yet, or no longer runs.
	ReasonPodNotReady = "PodNotReady"
	// ReasonPodUnreachable (PrimaryLive, BackupLive, PrimaryHealthy, BackupHealthy, OnAir,
	// Redundant, Converged; status Unknown): the operator has not heard a media pod for 15 seconds. The pod may
	// still serve viewers.
	ReasonPodUnreachable = "PodUnreachable"
	// ReasonNameConflict (Ready, Exposed): an object has a name that the pair needs, and is
	// not the pair's. The operator leaves the object alone. The message says why the operator
	// does not adopt it. Delete or rename the object, or give the pair another name. Before you
	// delete the Secret NAME-keys, keep a copy. Encoders may use the tokens in it.
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
	// ReasonInvalidConfiguration: a media pod refused the pair's manifest and continues
	// with the previous one.
	ReasonInvalidConfiguration = "InvalidConfiguration"
	// ReasonImageNotAllowed: the spec names an image, and the operator does not allow that
	// (--allow-pod-images).
	ReasonImageNotAllowed = "ImageNotAllowed"
	// ReasonPodMetadataNotAllowed: the spec names labels or annotations of pods that the
	// operator does not allow (--allowed-pod-metadata). The pods are made without them.
	ReasonPodMetadataNotAllowed = "PodMetadataNotAllowed"
	// ReasonApplyFailed: the API server refused one of the pair's objects, for example by a
	// quota or a policy. Or the API server keeps failing at one of them.
	ReasonApplyFailed = "ApplyFailed"
	// ReasonReadFailed (status Unknown): the operator cannot read one of the pair's objects,
	// for example because it lacks a right. The other conditions are the last known ones.
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
	// ReasonInputLost: the leg's media has stopped. The encoder has disconnected, or it is
	// connected and sends no media.
	ReasonInputLost = "InputLost"
	// ReasonNoEntryPoint: media arrives without a key frame that a viewer can begin with.
	// Set a key frame interval of 1 or 2 seconds at the encoder.
	ReasonNoEntryPoint = "NoEntryPoint"
	// ReasonDegraded (True): media arrives, but some or all viewers cannot play one of its
	// tracks. The message says what to set at the encoder.
	ReasonDegraded = "Degraded"
	// ReasonPublisherConflict: two encoders publish to one stream id. Each takes the stream
	// from the other again and again, so a new one is refused for some time.
	ReasonPublisherConflict = "PublisherConflict"
)

// Reasons of ConditionPrimaryHealthy and ConditionBackupHealthy. The faults stand where
// spec.failover.content sets them.
const (
	// ReasonHealthy (True).
	ReasonHealthy = "Healthy"
	// ReasonBlack: the picture is black, or of one colour, and the other leg's is not. Check the
	// encoder's camera and cables.
	ReasonBlack = "Black"
	// ReasonFrozen: the picture stands still, and the other leg's moves.
	ReasonFrozen = "Frozen"
	// ReasonSilent: the sound is silent, and the other leg's is not.
	ReasonSilent = "Silent"
	// ReasonLowBitrate: the bit rate is below the limit, and the other leg's is not.
	ReasonLowBitrate = "LowBitrate"
	// ReasonLowFrameRate: the picture rate is far below the leg's usual one.
	ReasonLowFrameRate = "LowFrameRate"
	// ReasonNotLive (status Unknown): the leg has no media.
	ReasonNotLive = "NotLive"
	// ReasonNotCompared (status Unknown): the legs are not both measured now.
	ReasonNotCompared = "NotCompared"
	// ReasonNotWatched (status Unknown): a leg's picture is not measured, because the media pod has
	// no ffmpeg or no place for it, or a leg's sound cannot be decoded. The rest is measured.
	ReasonNotWatched = "NotWatched"
)

// Reasons of ConditionInStep.
const (
	// ReasonInStep (True).
	ReasonInStep = "InStep"
	// ReasonOutOfStep: the legs differ by a second or more. A switch repeats or leaves out that
	// much of the programme. Set the same delay at both encoders.
	ReasonOutOfStep = "OutOfStep"
	// ReasonStepUnknown (status Unknown): the legs' sound does not show by how much they differ:
	// silence, other sound, or a loop.
	ReasonStepUnknown = "StepUnknown"
)

// Reasons of ConditionRedundant.
const (
	// ReasonRedundant (True).
	ReasonRedundant = "Redundant"
	// ReasonPrimaryNotLive: the primary lacks media, or one of its tracks.
	ReasonPrimaryNotLive = "PrimaryNotLive"
	// ReasonBackupNotLive: the backup lacks media, or one of its tracks.
	ReasonBackupNotLive = "BackupNotLive"
	// ReasonPrimaryFaulty: the primary's content has a fault. See ConditionPrimaryHealthy.
	ReasonPrimaryFaulty = "PrimaryFaulty"
	// ReasonBackupFaulty: the backup's content has a fault. See ConditionBackupHealthy.
	ReasonBackupFaulty = "BackupFaulty"
	// ReasonSameNode: both media pods run on one node. The loss of the node would end both.
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
	// ReasonExposed (True). The message says if media goes over TCP only.
	ReasonExposed = "Exposed"
	// ReasonMediaClusterOnly (True): viewers outside can open spec.playback.externalURL, but the
	// spec brings no WebRTC media out of the cluster. Set spec.exposure.webrtc or a TURN server.
	// Neither is needed if the network routes to pods.
	ReasonMediaClusterOnly = "MediaClusterOnly"
	// ReasonClusterOnly (True): the playback URL can be opened inside the cluster only.
	// Choose another spec.exposure.http.type, or set spec.playback.externalURL.
	ReasonClusterOnly = "ClusterOnly"
	// ReasonAddressPending: a load balancer has no address yet, its host name does not
	// resolve, or a node has no address.
	ReasonAddressPending = "AddressPending"
	// ReasonInvalidTLSSecret: the certificate of spec.playback.tlsSecretName is missing,
	// cannot be used, or has expired.
	ReasonInvalidTLSSecret = "InvalidTLSSecret" // #nosec G101 -- the name of a reason
	// ReasonExposureNotAllowed: the operator does not allow this type of exposure
	// (--allowed-exposures).
	ReasonExposureNotAllowed = "ExposureNotAllowed"
)

// Reasons of ConditionProgressing.
const (
	// ReasonUpToDate (False): the media pods are up to date.
	ReasonUpToDate = "UpToDate"
	// ReasonRollingOut (True): a leg's pod is being made or replaced.
	ReasonRollingOut = "RollingOut"
	// ReasonRollingOutUpdate (True): like RollingOut, for a change by the operator, such as a
	// new default image. The operator limits how many pairs are updated at a time.
	ReasonRollingOutUpdate = "RollingOutUpdate"
	// ReasonSwitchingOver (True): a planned switch waits for the next key frame.
	ReasonSwitchingOver = "SwitchingOver"
	// ReasonWaitingForStandbyPublisher (False): the pod of the leg on air is replaced once
	// the other leg is live.
	ReasonWaitingForStandbyPublisher = "WaitingForStandbyPublisher"
	// ReasonWaitingForIdle (False): a change by the operator waits until nobody publishes or
	// watches; see spec.mediaServer.updatePolicy.
	ReasonWaitingForIdle = "WaitingForIdle"
	// ReasonWaitingForOtherRollouts (False): a change by the operator waits until fewer other
	// pairs are being updated (--max-concurrent-rollouts).
	ReasonWaitingForOtherRollouts = "WaitingForOtherRollouts"
)

// Reasons of a switch, in status.activeStream and status.lastSwitch.
const (
	// SwitchStarted: the first leg that had media.
	SwitchStarted = "Started"
	// SwitchPrimaryStarted: the primary started within ten seconds after the backup's first
	// picture.
	SwitchPrimaryStarted = "PrimaryStarted"
	// SwitchPrimaryInputLost and SwitchBackupInputLost: that leg's encoder was connected and
	// sent no media.
	SwitchPrimaryInputLost = "PrimaryInputLost"
	SwitchBackupInputLost  = "BackupInputLost"
	// SwitchPrimaryDisconnected and SwitchBackupDisconnected: that leg's encoder disconnected.
	SwitchPrimaryDisconnected = "PrimaryDisconnected"
	SwitchBackupDisconnected  = "BackupDisconnected"
	// SwitchPrimaryDegraded and SwitchBackupDegraded: that leg lost its picture or its
	// sound, and the other one had both.
	SwitchPrimaryDegraded = "PrimaryDegraded"
	SwitchBackupDegraded  = "BackupDegraded"
	// SwitchPrimaryBlack to SwitchBackupLowRate: that leg's media arrived, and its content was
	// faulty beside the other leg's. spec.failover.content.policy is Failover.
	SwitchPrimaryBlack   = "PrimaryBlack"
	SwitchBackupBlack    = "BackupBlack"
	SwitchPrimaryFrozen  = "PrimaryFrozen"
	SwitchBackupFrozen   = "BackupFrozen"
	SwitchPrimarySilent  = "PrimarySilent"
	SwitchBackupSilent   = "BackupSilent"
	SwitchPrimaryLowRate = "PrimaryLowRate"
	SwitchBackupLowRate  = "BackupLowRate"
	// SwitchPrimaryRecovered: spec.failover.mode is PreferPrimary.
	SwitchPrimaryRecovered = "PrimaryRecovered"
	// SwitchSelected: spec.failover.select names the leg.
	SwitchSelected = "Selected"
	// SwitchFollowedPeer: the other media pod plays that leg, and both pods play the same leg.
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
	// EventFailedBack (Normal): the primary has all its tracks again and is played.
	EventFailedBack = "FailedBack"
	// EventSwitchedOver (Normal): a user's choice, or a rollout, changed the leg.
	EventSwitchedOver = "SwitchedOver"
	// EventWentOnAir (Normal): viewers get a picture, and had none before.
	EventWentOnAir = "WentOnAir"
	// EventDefinitionOutdated (Warning): the cluster's definition of StreamPair is older than
	// the operator and lacks fields of the status. The status is written without these fields.
	EventDefinitionOutdated = "DefinitionOutdated"
	// EventOperatorConflict (Warning): another operator serves the pair; see status.operator.
	// The operator that records this Event leaves the pair alone.
	EventOperatorConflict = "OperatorConflict"
	// EventOperatorChanged (Normal): the operator took the pair over from another operator that
	// no longer runs.
	EventOperatorChanged = "OperatorChanged"
	// EventAdopted (Normal): the pair adopted one of its objects that had lost its owner, for
	// example in a restore. The note has the object's kind, name and UID.
	EventAdopted = "Adopted"
	// EventInputLost (Warning): a leg's media stopped.
	EventInputLost = "InputLost"
	// EventInputRecovered (Normal): a leg's media is back.
	EventInputRecovered = "InputRecovered"
	// EventContentFault (Warning): a leg's picture or sound has a fault that the other leg's has
	// not. The note says which.
	EventContentFault = "ContentFault"
	// EventContentRecovered (Normal): that fault is over.
	EventContentRecovered = "ContentRecovered"
	// EventPublisherConflict (Warning): two encoders share a stream id.
	EventPublisherConflict = "PublisherConflict"
)
