package daemon

// Made gives the folder of the bytes of a package that a key is known to have signed, where that was computed before. A
// package of a GiB is so read once, whatever becomes of the policy.
func (s *State) Made(key string) (folder string, ok bool) {
	s.mu.Lock()
	folder, ok = s.signed[key]
	s.mu.Unlock()
	if ok {
		return folder, true
	}
	return s.get(bucketSigned, key)
}

// RememberMade keeps it until Flush writes it.
func (s *State) RememberMade(key, folder string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.signed == nil {
		s.signed = map[string]string{}
	}
	s.signed[key] = folder
}

// writeSigned writes what was computed since the last time.
func (s *State) writeSigned() error {
	s.mu.Lock()
	signed := s.signed
	s.signed = nil
	s.mu.Unlock()
	return s.put(bucketSigned, signed)
}
