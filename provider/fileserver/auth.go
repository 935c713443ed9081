package fileserver

import (
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/cloudcoin/cloudcoin/crypto/token"
	"github.com/cloudcoin/cloudcoin/provider/ids"
	"github.com/cloudcoin/cloudcoin/provider/ledger"
)

const (
	nonceLife = time.Minute
	tokenLife = time.Hour
	authLabel = "cloudcoin provider auth v1"
	maxJSON   = 128 << 10 // bytes of a JSON body
)

// AuthMessage is what a renter signs to prove a key to a provider.
func AuthMessage(network string, provider, key ed25519.PublicKey, nonce string) []byte {
	return []byte(strings.Join([]string{authLabel, network, hex.EncodeToString(provider), hex.EncodeToString(key), nonce}, "\n"))
}

// nonces makes and checks challenges without remembering them: time (8), random (8), MAC (16).
type nonces struct {
	secret [32]byte
	mu     sync.Mutex
	random io.Reader
}

func newNonces(random io.Reader) (*nonces, error) {
	n := &nonces{random: random}
	_, err := io.ReadFull(random, n.secret[:])
	return n, err
}

func (n *nonces) mac(b []byte) []byte {
	m := hmac.New(sha256.New, n.secret[:])
	m.Write(b)
	return m.Sum(nil)[:16]
}

func (n *nonces) make(now time.Time) (string, error) {
	b := binary.BigEndian.AppendUint64(nil, uint64(now.UnixMilli()))
	b = append(b, make([]byte, 8)...)
	n.mu.Lock()
	_, err := io.ReadFull(n.random, b[8:])
	n.mu.Unlock()
	return base64.RawURLEncoding.EncodeToString(append(b, n.mac(b)...)), err
}

func (n *nonces) check(s string, now time.Time) bool {
	b, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil || len(b) != 32 || !hmac.Equal(b[16:], n.mac(b[:16])) {
		return false
	}
	age := now.Sub(time.UnixMilli(int64(binary.BigEndian.Uint64(b))))
	return age >= 0 && age < nonceLife
}

// challenge answers GET /v1/challenge.
func (r *request) challenge() error {
	nonce, err := r.s.nonces.make(r.s.cfg.Now())
	if err != nil {
		return fmt.Errorf("make nonce: %w", err)
	}
	return r.json(map[string]string{"nonce": nonce})
}

// tokenRequest is the body of POST /v1/tokens.
type tokenRequest struct {
	Key   string `json:"key"`
	Nonce string `json:"nonce"`
	Sig   string `json:"sig"`
}

// parse checks the form and returns the key and the signature.
func (t *tokenRequest) parse() (key ed25519.PublicKey, sig []byte, err error) {
	key, kerr := hex.DecodeString(t.Key)
	sig, serr := hex.DecodeString(t.Sig)
	if kerr != nil || serr != nil || len(key) != ed25519.PublicKeySize || len(sig) != ed25519.SignatureSize || len(t.Nonce) > 64 {
		return nil, nil, badRequest("key and sig are 64 and 128 hex digits, nonce is what /v1/challenge gave")
	}
	return key, sig, nil
}

// grantTokens answers POST /v1/tokens.
func (r *request) grantTokens() error {
	var body tokenRequest
	if err := r.readJSON(&body); err != nil {
		return err
	}
	key, sig, err := body.parse()
	if err != nil {
		return err
	}
	s := r.s
	now := s.cfg.Now()
	if !s.nonces.check(body.Nonce, now) || !ed25519.Verify(key, AuthMessage(s.cfg.Network, s.provider, key, body.Nonce), sig) {
		return problem(http.StatusUnauthorized, "unauthorized", "the proof of the key is wrong, stale, or for another provider or network")
	}
	list := []map[string]any{}
	for _, l := range s.cfg.Register.Held(key) {
		item, err := s.grantToken(l, now)
		if err != nil {
			return err
		}
		list = append(list, item)
	}
	return r.json(map[string]any{"leases": list})
}

func (s *Server) grantToken(l ledger.Lease, now time.Time) (map[string]any, error) {
	_, usage, state, err := s.cfg.Vault.Lease(l.ID)
	if err != nil {
		return nil, err
	}
	item := map[string]any{"lease": l.ID.String(), "size": l.Size, "used": usage.Bytes, "until": stamp(l.Until), "state": state}
	if state == ledger.StateEnded {
		return item, nil
	}
	rights := token.Read | token.Delete
	if state == ledger.StateOpen {
		rights |= token.Write
	}
	t := &token.Token{
		Provider: s.provider, Holder: l.Renter, Network: s.cfg.Network, Lease: l.ID, Rights: rights, Quota: l.Size,
		NotBefore: now.Truncate(time.Second), Expires: now.Truncate(time.Second).Add(tokenLife),
	}
	jwt, err := token.Issue(t, s.cfg.TokenKey)
	if err != nil {
		return nil, err
	}
	item["token"], item["expires"] = jwt, stamp(t.Expires)
	return item, nil
}

// authorize checks the token of a request about a lease and counts it against its key until leave is called.
func (r *request) authorize(addr string, id ids.Lease) (leave func(), err error) {
	t, err := r.s.tokens.verify(r)
	if err != nil {
		if leave, ok := r.s.byAnon.enter(addr); ok {
			leave()
			return nil, err
		}
		return nil, errTooMany
	}
	if t.Lease != id {
		return nil, errForbidden
	}
	if r.lease, r.usage, r.state, err = r.s.cfg.Vault.Lease(id); err != nil {
		return nil, err
	}
	switch {
	case !r.lease.Renter.Equal(t.Holder):
		return nil, errForbidden
	case r.state == ledger.StateEnded:
		return nil, errEnded
	}
	if err := r.checkRights(t.Rights); err != nil {
		return nil, err
	}
	leave, ok := r.s.byKey.enter(string(t.Holder))
	if !ok {
		return nil, errTooMany
	}
	return leave, nil
}

// checkRights compares the token's rights with what the method needs.
func (r *request) checkRights(have token.Rights) error {
	need := token.Read
	switch {
	case r.Method == http.MethodPut:
		if r.state != ledger.StateOpen {
			return problem(http.StatusPaymentRequired, "payment-required", "the lease's term is over; in its grace period it can be read and deleted from")
		}
		need = token.Write
	case r.Method == http.MethodDelete, strings.HasSuffix(r.URL.Path, ":delete"):
		need = token.Delete
	}
	if !have.Has(need) {
		return errForbidden
	}
	return nil
}

// tokenCache remembers tokens whose signature was verified, since that costs as much as a small read.
type tokenCache struct {
	mu   sync.Mutex
	seen map[string]*token.Token
}

const tokenCacheSize = 4096

// verify returns the valid token that a request carries.
func (c *tokenCache) verify(r *request) (*token.Token, error) {
	jwt, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !ok || len(jwt) > token.MaxLen {
		return nil, problem(http.StatusUnauthorized, "unauthorized", "send a token from /v1/tokens")
	}
	s, now := r.s, r.s.cfg.Now()
	c.mu.Lock()
	t := c.seen[jwt]
	c.mu.Unlock()
	if t != nil && t.Valid(now) == nil {
		return t, nil
	}
	t, err := token.Verify(jwt, s.cfg.TokenKey.Public().(ed25519.PublicKey), s.provider, s.cfg.Network, now)
	if err != nil {
		return nil, problem(http.StatusUnauthorized, "unauthorized", "the token is not valid here or not any more; get another")
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.seen == nil || len(c.seen) >= tokenCacheSize {
		c.seen = map[string]*token.Token{}
	}
	c.seen[jwt] = t
	return t, nil
}

// readJSON reads a bounded JSON body into v.
func (r *request) readJSON(v any) error {
	if r.ContentLength > maxJSON {
		return problem(http.StatusRequestEntityTooLarge, "too-large", fmt.Sprintf("a body here has at most %d bytes", maxJSON))
	}
	b, err := io.ReadAll(http.MaxBytesReader(r.w, r.Body, maxJSON))
	if err != nil {
		return bodyProblem(err)
	}
	if err := json.Unmarshal(b, v); err != nil {
		return badRequest("the body is not the JSON that belongs here: %v", err)
	}
	return nil
}
