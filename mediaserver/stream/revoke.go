package stream

import "crypto/sha256"

// CredentialInUse reports whether a publisher of this server that showed the token with this SHA-256 is
// on air or waits for its first IDR.
func (s *Stream) CredentialInUse(hash [sha256.Size]byte) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.admittedBy(s.current, hash) || s.admittedBy(s.pending, hash)
}

func (s *Stream) admittedBy(p *Publication, hash [sha256.Size]byte) bool {
	return p != nil && !p.req.Relayed && p.req.Authenticated && p.req.Credential.Hash == hash
}

// Revoke ends the publications of this server's publishers who showed the token with this SHA-256.
func (s *Stream) Revoke(hash [sha256.Size]byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range []*Publication{s.pending, s.current} {
		if s.admittedBy(p, hash) {
			s.end(p, EndRevoked, ErrRevoked)
		}
	}
}
