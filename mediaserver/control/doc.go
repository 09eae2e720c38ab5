// Package control serves those who operate the media server: probes and metrics, status
// and commands. It reads requests and passes them on. Its Backend decides what the state
// is and what may be changed.
package control
