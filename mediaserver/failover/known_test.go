package failover

// known returns s with field names that both versions have.
func known(s State) knownState {
	return knownState{
		Active: s.Active, Reason: s.Reason, Since: s.Since, FirstPicture: s.FirstPicture, Switches: s.Switches,
		PrimaryWhole: s.primaryWhole, BackupWhole: s.backupWhole, LastFailover: s.lastFailover, RepeatedFailovers: s.repeatedFailovers,
		LastPlanned: s.lastPlanned, LastFollowed: s.lastFollowed, LastPinned: s.lastPinned, BackupWanted: s.backupWanted,
	}
}

func (k knownState) state() State {
	return State{
		Active: k.Active, Reason: k.Reason, Since: k.Since, FirstPicture: k.FirstPicture, Switches: k.Switches,
		primaryWhole: k.PrimaryWhole, backupWhole: k.BackupWhole, lastFailover: k.LastFailover, repeatedFailovers: k.RepeatedFailovers,
		lastPlanned: k.LastPlanned, lastFollowed: k.LastFollowed, lastPinned: k.LastPinned, backupWanted: k.BackupWanted,
	}
}
