package fileserver

import (
	"net/netip"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// Limits on what one address or key may ask. Zero fields take the defaults.
type Limits struct {
	AddressInFlight int           // requests at once from one address (IPv6: one /64, of a /48 the first 256 of these, all others of it together); 512
	AddressRate     int           // requests a second from one address, bursts of as many; 50,000
	StrangerRate    int           // requests a second without a valid token from one address, bursts of ten times as many; 100
	KeyInFlight     int           // requests at once with one renter's key; 128
	KeyRate         int           // requests a second with one renter's key, bursts of as many; 50,000
	Patience        time.Duration // how long a peer may be silent; 30 s
}

// minRate is what a peer must manage, in bytes a second, beyond Patience.
const minRate = 16 << 10

// tableSize bounds the addresses or keys that are remembered at once.
const tableSize = 1 << 16

// networkSize bounds those of one /48, which anybody can have: otherwise it could fill the table, and every address that isn't in it is refused then.
const networkSize = 256

func (l Limits) withDefaults() Limits {
	for _, d := range []struct {
		field *int
		value int
	}{{&l.AddressInFlight, 512}, {&l.AddressRate, 50_000}, {&l.StrangerRate, 100}, {&l.KeyInFlight, 128}, {&l.KeyRate, 50_000}} {
		if *d.field <= 0 {
			*d.field = d.value
		}
	}
	if l.Patience <= 0 {
		l.Patience = 30 * time.Second
	}
	return l
}

// table limits requests at once and requests a second for each name.
type table struct {
	inFlight int
	rate     rate.Limit
	burst    int
	now      func() time.Time

	mu       sync.Mutex
	entries  map[string]*entry
	networks map[string]int // how many entries belong to each /48
}

type entry struct {
	n       int
	limiter *rate.Limiter
	network string // the /48 it is counted for; "" for none
}

func newTable(inFlight, perSecond int, now func() time.Time) *table {
	burst := perSecond
	if burst < 1000 {
		burst *= 10
	}
	return &table{inFlight: inFlight, rate: rate.Limit(perSecond), burst: burst, now: now, entries: map[string]*entry{}, networks: map[string]int{}}
}

// enter counts a request in, unless that is too much; leave counts it out.
func (t *table) enter(name string) (leave func(), ok bool) {
	now := t.now()
	t.mu.Lock()
	defer t.mu.Unlock()
	e := t.entry(name, now)
	if e == nil || e.n >= t.inFlight || !e.limiter.AllowN(now, 1) {
		return nil, false
	}
	e.n++
	return func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		e.n--
	}, true
}

// entry finds or makes the entry of a name; nil when the table is full. mu is held.
func (t *table) entry(name string, now time.Time) *entry {
	if e := t.entries[name]; e != nil {
		return e
	}
	network := networkOf(name)
	if t.networks[network] >= networkSize && network != "" {
		name, network = network, ""
		if e := t.entries[name]; e != nil {
			return e
		}
	}
	if len(t.entries) >= tableSize && !t.sweep(now) {
		return nil
	}
	e := &entry{limiter: rate.NewLimiter(t.rate, t.burst), network: network}
	t.entries[name] = e
	if network != "" {
		t.networks[network]++
	}
	return e
}

// sweep forgets names that are idle and have their whole burst again; mu is held.
func (t *table) sweep(now time.Time) bool {
	for name, e := range t.entries {
		if e.n == 0 && e.limiter.TokensAt(now) >= float64(t.burst) {
			delete(t.entries, name)
			if t.networks[e.network]--; t.networks[e.network] <= 0 {
				delete(t.networks, e.network)
			}
		}
	}
	return len(t.entries) < tableSize
}

// addressOf reduces a remote address to what its user can't change at will: an IPv4 address, or the /64 of an IPv6 one.
func addressOf(remote string) string {
	ap, err := netip.ParseAddrPort(remote)
	if err != nil {
		return "local" // a Unix socket, FastCGI or a test
	}
	ip := ap.Addr().Unmap().WithZone("")
	if ip.Is4() {
		return ip.String()
	}
	p, err := ip.Prefix(64)
	if err != nil {
		return ip.String()
	}
	return p.String()
}

// networkOf is the /48 of an IPv6 address as addressOf gives it, "" of any other name.
func networkOf(name string) string {
	if !strings.HasSuffix(name, "/64") {
		return ""
	}
	p, err := netip.ParsePrefix(name)
	if err != nil {
		return ""
	}
	if p, err = p.Addr().Prefix(48); err != nil {
		return ""
	}
	return p.String()
}
