package policy

import "github.com/poundlock/poundlock/internal/mirror"

func (l *loader) deny(entry denyEntry, signers names[signer]) deny {
	var d deny
	for _, node := range entry.Digests {
		text, _ := node.Text()
		digest, err := mirror.ParseDigest(text)
		if err != nil {
			l.problems.Add("POL014", node.Where(), "write sha256: and 64 hexadecimal digits", "deny.digests: %v", err)
			continue
		}
		d.Digests = append(d.Digests, digest)
	}
	for _, node := range entry.Repos {
		text, _ := node.Text()
		l.glob(text, node.Where(), "deny.repos")
		d.Repos = append(d.Repos, text)
	}
	for _, node := range entry.Signers {
		text, _ := node.Text()
		signers.find(node, &l.problems)
		d.Signers = append(d.Signers, text)
	}
	return d
}
