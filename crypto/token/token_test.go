package token

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"pgregory.net/rapid"
)

func key(b byte) ed25519.PrivateKey { return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{b}, 32)) }

func public(k ed25519.PrivateKey) ed25519.PublicKey { return k.Public().(ed25519.PublicKey) }

var (
	provider = key(1)
	signer   = key(2)
	holder   = key(3)
	start    = time.Unix(1_800_000_000, 0)
)

func sample() *Token {
	return &Token{
		Provider: public(provider), Holder: public(holder), Network: "local", Lease: [16]byte{1, 2, 3},
		Rights: Read | Write, Quota: 50 << 30, NotBefore: start, Expires: start.Add(time.Hour),
	}
}

func sampleReceipt() *Receipt {
	return &Receipt{Provider: public(provider), Network: "local", Lease: [16]byte{1, 2, 3}, Shard: [32]byte{4, 5}, Size: 4 << 20, Time: start}
}

func issue(t *testing.T) string {
	t.Helper()
	s, err := Issue(sample(), signer)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestTokenComesBack(t *testing.T) {
	got, err := Verify(issue(t), public(signer), public(provider), "local", start.Add(time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	if want := sample(); !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if err := got.Valid(start.Add(2 * time.Hour)); !errors.Is(err, ErrExpired) {
		t.Errorf("two hours later: %v", err)
	}
	if !got.Rights.Has(Read) || got.Rights.Has(Read|Delete) {
		t.Errorf("rights %q", got.Rights)
	}
}

func TestTokenIsRefused(t *testing.T) {
	s, now := issue(t), start.Add(time.Minute)
	for name, c := range map[string]struct {
		s        string
		signer   ed25519.PublicKey
		provider ed25519.PublicKey
		network  string
		now      time.Time
		want     error
	}{
		"other signer":    {s, public(holder), public(provider), "local", now, ErrInvalid},
		"no signer":       {s, nil, public(provider), "local", now, ErrInvalid},
		"other provider":  {s, public(signer), public(holder), "local", now, ErrInvalid},
		"other network":   {s, public(signer), public(provider), "signet", now, ErrInvalid},
		"expired":         {s, public(signer), public(provider), "local", start.Add(time.Hour + Skew), ErrExpired},
		"not yet":         {s, public(signer), public(provider), "local", start.Add(-Skew - time.Second), ErrNotYet},
		"expired, forged": {s, public(holder), public(provider), "local", start.Add(2 * time.Hour), ErrInvalid},
		"empty":           {"", public(signer), public(provider), "local", now, ErrInvalid},
		"too long":        {s + strings.Repeat("A", MaxLen), public(signer), public(provider), "local", now, ErrInvalid},
		"trailing bits":   {s[:len(s)-1] + "_", public(signer), public(provider), "local", now, ErrInvalid},
	} {
		if _, err := Verify(c.s, c.signer, c.provider, c.network, c.now); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
	for _, now := range []time.Time{start.Add(-Skew), start.Add(time.Hour + Skew - time.Second)} {
		if _, err := Verify(s, public(signer), public(provider), "local", now); err != nil {
			t.Errorf("within the skew: %v", err)
		}
	}
}

// Signatures by the right key over the wrong things.
func TestForgedHeadersAreRefused(t *testing.T) {
	now := start.Add(time.Minute)
	b64 := base64.RawURLEncoding.EncodeToString
	payload := strings.Split(issue(t), ".")[1]
	resign := func(header string) string {
		text := b64([]byte(header)) + "." + payload
		return text + "." + b64(ed25519.Sign(signer, []byte(text)))
	}
	if _, err := Verify(resign(`{"alg":"EdDSA","typ":"cclease+jwt"}`), public(signer), public(provider), "local", now); err != nil {
		t.Fatalf("the test's own signature: %v", err)
	}
	for _, header := range []string{
		`{"alg":"none","typ":"cclease+jwt"}`,
		`{"alg":"HS256","typ":"cclease+jwt"}`,
		`{"alg":"EdDSA","typ":"ccreceipt+jws"}`,
		`{"alg":"EdDSA"}`,
		`{"alg":"EdDSA","typ":"cclease+jwt","crit":["exp"]}`,
	} {
		if _, err := Verify(resign(header), public(signer), public(provider), "local", now); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v", header, err)
		}
	}
	hmac := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims{"lease": "x"})
	hmac.Header["typ"] = tokenType
	s, err := hmac.SignedString([]byte(public(signer)))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Verify(s, public(signer), public(provider), "local", now); !errors.Is(err, ErrInvalid) {
		t.Errorf("an HMAC keyed by the public key: %v", err)
	}
}

func TestIssueRefusesNonsense(t *testing.T) {
	for name, spoil := range map[string]func(*Token){
		"no provider":  func(t *Token) { t.Provider = nil },
		"no holder":    func(t *Token) { t.Holder = t.Holder[:31] },
		"no network":   func(t *Token) { t.Network = "" },
		"long network": func(t *Token) { t.Network = strings.Repeat("n", MaxNetwork+1) },
		"quota":        func(t *Token) { t.Quota = -1 },
		"times":        func(t *Token) { t.Expires = t.NotBefore },
	} {
		tok := sample()
		spoil(tok)
		if _, err := Issue(tok, signer); err == nil {
			t.Errorf("%s: issued", name)
		}
	}
}

func TestReceipt(t *testing.T) {
	s, err := SignReceipt(sampleReceipt(), provider)
	if err != nil {
		t.Fatal(err)
	}
	got, err := VerifyReceipt(s, public(provider), "local")
	if err != nil || !reflect.DeepEqual(got, sampleReceipt()) {
		t.Fatalf("got %+v, %v", got, err)
	}
	if _, err := VerifyReceipt(s, public(holder), "local"); !errors.Is(err, ErrInvalid) {
		t.Errorf("other provider: %v", err)
	}
	if _, err := VerifyReceipt(s, public(provider), "signet"); !errors.Is(err, ErrInvalid) {
		t.Errorf("other network: %v", err)
	}
	tok, err := Issue(sample(), provider)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := VerifyReceipt(tok, public(provider), "local"); !errors.Is(err, ErrInvalid) {
		t.Errorf("a token passes for a receipt: %v", err)
	}
	if _, err := Verify(s, public(provider), public(provider), "local", start); !errors.Is(err, ErrInvalid) {
		t.Errorf("a receipt passes for a token: %v", err)
	}
}

func TestSignReceiptRefusesNonsense(t *testing.T) {
	for name, spoil := range map[string]func(*Receipt){
		"no network":   func(r *Receipt) { r.Network = "" },
		"long network": func(r *Receipt) { r.Network = strings.Repeat("n", MaxNetwork+1) },
		"size":         func(r *Receipt) { r.Size = -1 },
		"time":         func(r *Receipt) { r.Time = time.Unix(-1, 0) },
	} {
		r := sampleReceipt()
		spoil(r)
		if _, err := SignReceipt(r, provider); err == nil {
			t.Errorf("%s: signed", name)
		}
	}
	if _, err := SignReceipt(sampleReceipt(), provider[:20]); err == nil {
		t.Error("signed with a piece of a key")
	}
}

// signed puts a payload of any bytes under a right signature.
func signed(kind string, payload []byte, k ed25519.PrivateKey) string {
	b64 := base64.RawURLEncoding.EncodeToString
	text := b64([]byte(`{"alg":"EdDSA","typ":"`+kind+`"}`)) + "." + b64(payload)
	return text + "." + b64(ed25519.Sign(k, []byte(text)))
}

// A right signature over wrong members: the provider's own mistakes, or its malice.
func TestSignedNonsenseIsRefused(t *testing.T) {
	good := func(s string) string {
		payload, err := base64.RawURLEncoding.DecodeString(strings.Split(s, ".")[1])
		if err != nil {
			t.Fatal(err)
		}
		return string(payload)
	}
	tok := good(issue(t))
	for _, change := range [][2]string{
		{`"lease":"01`, `"lease":"0g`},
		{`"lease":"01`, `"lease":"`},
		{`"quota":5`, `"quota":-5`},
		{`"exp":1`, `"exp":-1`},
		{`"exp":`, `"exq":`},
		{`"nbf":`, `"nbg":`},
		{`"sub":"ed`, `"sub":"ED`},
		{`"iss":"8a`, `"iss":"8b`},
		{`"aud":["`, `"aud":["x","`},
	} {
		bad := strings.Replace(tok, change[0], change[1], 1)
		if bad == tok {
			t.Fatalf("%s is not in %s", change[0], tok)
		}
		if _, err := Verify(signed(tokenType, []byte(bad), signer), public(signer), public(provider), "local", start); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v", bad, err)
		}
	}
	s, err := SignReceipt(sampleReceipt(), provider)
	if err != nil {
		t.Fatal(err)
	}
	rec := good(s)
	for _, change := range [][2]string{{`"size":4`, `"size":-4`}, {`"time":1`, `"time":-1`}, {`"shard":"04`, `"shard":"`}, {`"lease":"01`, `"lease":"zz`}} {
		bad := strings.Replace(rec, change[0], change[1], 1)
		if bad == rec {
			t.Fatalf("%s is not in %s", change[0], rec)
		}
		if _, err := VerifyReceipt(signed(receiptType, []byte(bad), provider), public(provider), "local"); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v", bad, err)
		}
	}
}

func TestGolden(t *testing.T) {
	receipt, err := SignReceipt(sampleReceipt(), provider)
	if err != nil {
		t.Fatal(err)
	}
	got := issue(t) + "\n" + receipt + "\n"
	want, err := os.ReadFile("testdata/signed.golden")
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("the format changed; got\n%s", got)
	}
}

func TestRights(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := Rights(rapid.IntRange(0, 7).Draw(t, "rights"))
		if got := parseRights(r.String()); got != r {
			t.Fatalf("%q is read as %q", r, got)
		}
	})
	if r := parseRights("read everything"); r != Read {
		t.Errorf("an unknown right grants %q", r)
	}
}

// Whatever is accepted must have been signed: a changed byte is refused.
func TestFlippedBytes(t *testing.T) {
	s := issue(t)
	rapid.Check(t, func(t *rapid.T) {
		b := []byte(s)
		i := rapid.IntRange(0, len(b)-1).Draw(t, "at")
		b[i] = rapid.SampledFrom([]byte("ABab01-_.=\x00")).Filter(func(c byte) bool { return c != b[i] }).Draw(t, "byte")
		if _, err := Verify(string(b), public(signer), public(provider), "local", start); err == nil {
			t.Fatalf("accepted %s", b)
		}
	})
}

func FuzzVerify(f *testing.F) {
	s, _ := Issue(sample(), signer)
	f.Add(s)
	f.Add("a.b.c")
	f.Fuzz(func(t *testing.T, in string) {
		if _, err := Verify(in, public(signer), public(provider), "local", start); err == nil && in != s {
			t.Fatalf("accepted %q", in)
		}
	})
}

func FuzzVerifyReceipt(f *testing.F) {
	s, _ := SignReceipt(sampleReceipt(), provider)
	f.Add(s)
	f.Fuzz(func(t *testing.T, in string) {
		if _, err := VerifyReceipt(in, public(provider), "local"); err == nil && in != s {
			t.Fatalf("accepted %q", in)
		}
	})
}

// FuzzSignedPayload signs whatever comes: nothing may crash, and what is accepted must be within bounds.
func FuzzSignedPayload(f *testing.F) {
	f.Add([]byte(`{"exp":1e300,"nbf":-1e300,"aud":{},"quota":1.5}`))
	f.Add([]byte(`{"exp":1800003600,"nbf":1800000000,"lease":"00"}`))
	f.Fuzz(func(t *testing.T, payload []byte) {
		if tok, err := Verify(signed(tokenType, payload, signer), public(signer), public(provider), "local", start); err == nil && tok.validate() != nil {
			t.Fatalf("accepted %s", payload)
		}
		if r, err := VerifyReceipt(signed(receiptType, payload, provider), public(provider), "local"); err == nil && (r.Size < 0 || r.Time.Unix() < 0) {
			t.Fatalf("accepted %s", payload)
		}
	})
}

func BenchmarkVerify(b *testing.B) {
	s, err := Issue(sample(), signer)
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := Verify(s, public(signer), public(provider), "local", start); err != nil {
			b.Fatal(err)
		}
	}
}
