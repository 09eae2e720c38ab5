package stream

import "crypto/sha256"

// CredentialInUse reports whether a publisher of this server that showed the credential is on air
// or waits for its first IDR.
func (s *Stream) CredentialInUse(credential [sha256.Size]byte) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.admittedBy(s.current, credential) || s.admittedBy(s.pending, credential)
}

func (s *Stream) admittedBy(p *Publication, credential [sha256.Size]byte) bool {
	return p != nil && !p.req.Relayed && p.req.Authenticated && p.req.Credential == credential
}

// Revoke ends the publications of this server's publishers who showed the credential.
func (s *Stream) Revoke(credential [sha256.Size]byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range []*Publication{s.pending, s.current} {
		if s.admittedBy(p, credential) {
			s.end(p, EndRevoked, ErrRevoked)
		}
	}
}
