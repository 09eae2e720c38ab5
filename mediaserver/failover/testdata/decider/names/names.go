// Package failover is compiled by hack/previous.sh into that package of the version before. The file
// gives the version before the names by which question_test.go calls it.
package failover

// PeerView is what a server knows of its peer.
type PeerView = Accord

func (s State) withPeer(peer *Standing) State { return s.heeding(peer) }

func (s State) startedWithPeer(p Policy, peer *Standing) State { return s.adopted(p, peer) }

func known(s State) knownState {
	return knownState{
		Active: s.Active, Reason: s.Reason, Since: s.Since, FirstPicture: s.FirstPicture, Switches: s.Switches,
		PrimaryWhole: s.primaryFull, BackupWhole: s.backupFull, LastFailover: s.lastFailover, RepeatedFailovers: s.inSuccession,
		LastPlanned: s.lastPlanned, LastFollowed: s.lastFollowed, LastPinned: s.obeyed, BackupWanted: s.overruled,
	}
}

func (k knownState) state() State {
	return State{
		Active: k.Active, Reason: k.Reason, Since: k.Since, FirstPicture: k.FirstPicture, Switches: k.Switches,
		primaryFull: k.PrimaryWhole, backupFull: k.BackupWhole, lastFailover: k.LastFailover, inSuccession: k.RepeatedFailovers,
		lastPlanned: k.LastPlanned, lastFollowed: k.LastFollowed, obeyed: k.LastPinned, overruled: k.BackupWanted,
	}
}
