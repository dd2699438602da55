package wire

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"net/url"
)

// lookup gives all addresses of a name.
type lookup func(ctx context.Context, name string) ([]netip.Addr, error)

func systemLookup(ctx context.Context, name string) ([]netip.Addr, error) {
	return net.DefaultResolver.LookupNetIP(ctx, "ip", name)
}

// dialerFor connects to h and to its proxy. A listed host may be anywhere. Any other is connected only at
// an address that was looked up and found public here, so that a second answer of the name server cannot
// lead elsewhere.
func (w *Wire) dialerFor(h *host) func(context.Context, string, string) (net.Conn, error) {
	d := &net.Dialer{Timeout: dialTimeout}
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		if h.listed || addr != h.name { // another address is that of the configured proxy
			return d.DialContext(ctx, network, addr)
		}
		addrs, port, err := w.public(ctx, addr)
		if err != nil {
			return nil, err
		}
		var failed error
		for _, a := range addrs {
			conn, err := d.DialContext(ctx, network, net.JoinHostPort(a.String(), port))
			if err == nil {
				return conn, nil
			}
			failed = errors.Join(failed, err)
		}
		return nil, failed
	}
}

// public gives the addresses of host:port if all of them are public.
func (w *Wire) public(ctx context.Context, addr string) ([]netip.Addr, string, error) {
	name, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, "", err
	}
	addrs := []netip.Addr{}
	if ip, err := netip.ParseAddr(name); err == nil {
		addrs = append(addrs, ip)
	} else if addrs, err = w.lookup(ctx, name); err != nil {
		return nil, "", err
	}
	for _, a := range addrs {
		if !isPublic(a) {
			return nil, "", refuse(addr, "it is at "+a.String()+", which is not a public address", "if that is meant, add the host under registries")
		}
	}
	if len(addrs) == 0 {
		return nil, "", errors.New(name + " has no address")
	}
	return addrs, port, nil
}

// proxyFor keeps hosts that nobody named away from the proxy: it would connect to an address that was not
// checked here.
func (w *Wire) proxyFor(h *host) func(*http.Request) (*url.URL, error) {
	return func(req *http.Request) (*url.URL, error) {
		proxy, err := w.settings.Proxy(req)
		if err != nil || proxy == nil || h.listed || h.vendor || vendors[h.name].redirects != nil {
			return proxy, err
		}
		return nil, refuse(h.name, "through a proxy only hosts of the configuration are reached", "add it under registries")
	}
}

// special are ranges of the IANA registries that are not the public internet, besides those that netip
// knows; those that carry an IPv4 address inside are refused as a whole.
var special = func() (all []netip.Prefix) {
	for _, s := range []string{
		"0.0.0.0/8", "100.64.0.0/10", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "198.18.0.0/15",
		"198.51.100.0/24", "203.0.113.0/24", "240.0.0.0/4",
		"::/96", "64:ff9b::/96", "64:ff9b:1::/48", "100::/64", "2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20", "fec0::/10",
	} {
		all = append(all, netip.MustParsePrefix(s))
	}
	return all
}()

func isPublic(a netip.Addr) bool {
	a = a.Unmap().WithZone("")
	if !a.IsGlobalUnicast() || a.IsPrivate() {
		return false
	}
	for _, p := range special {
		if p.Contains(a) {
			return false
		}
	}
	return true
}
